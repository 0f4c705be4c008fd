"""The format between runner, holder and worker."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.runner.desktops import messages as m


@pytest.mark.parametrize(
    "message",
    [
        m.Watch(control=True, audio=True),
        m.Key(keysym=0x01000394, down=True),
        m.Wheel(vertical=-120),
        m.PutClipboard(mime="image/png", data=b"\0\1"),
        m.TakeStill(request_id="1", box=(0, 0, 10, 10)),
    ],
)
def test_what_is_packed_is_read_again(message: m.ToWorker) -> None:
    (body,) = m.Unpacker(m.MAX_COMMAND).feed(m.pack(message))
    assert m.to_worker.decode(body) == message


@pytest.mark.parametrize(
    "body",
    [
        {"action": "key", "keysym": -1, "down": True},
        {"action": "key", "keysym": 2**31, "down": True},
        {"action": "pointer", "x": 40_000, "y": 0},
        {"action": "button", "button": 0, "down": True},
        {"action": "resize", "width": 63, "height": 480},
        {"action": "resize", "width": 640, "height": 100_000},
        {"action": "type", "text": "x" * (m.MAX_TEXT + 1)},
        {"action": "putclipboard", "mime": "text/html", "data": b""},
        {"action": "putclipboard", "mime": "text/plain", "data": b"x" * (m.MAX_CLIPBOARD + 1)},
        {"action": "layout", "layout": "us; rm -rf"},
        {"action": "layout", "layout": ""},
        {"action": "touch", "finger": 99, "phase": "down", "x": 0, "y": 0},
        {"action": "takestill", "request_id": "x" * 200},
        {"action": "wake"},
        {"action": "nonsense"},
        {},
        [],
    ],
)
def test_what_is_out_of_bounds_is_refused(body: object) -> None:
    with pytest.raises(msgspec.MsgspecError):
        m.to_worker.decode(msgspec.msgpack.encode(body))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_message_or_a_known_error(data: bytes) -> None:
    try:
        for body in m.Unpacker(m.MAX_COMMAND).feed(data):
            m.to_worker.decode(body)
    except (m.MessageError, msgspec.MsgspecError):
        pass


def test_a_message_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(m.MessageError):
        m.Unpacker(m.MAX_COMMAND).feed((m.MAX_COMMAND + 1).to_bytes(4, "big"))


def test_who_only_watches_may_not_say_what_changes_something() -> None:
    changing = {m.Key, m.Type, m.Button, m.Pointer, m.PutClipboard, m.Resize, m.Layout, m.Tune}
    assert changing.isdisjoint(m.VIEWING)
