"""What viewers say to a worker, and what a worker says to viewers."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import viewer as v
from earthshine.protocols.viewer import FrameFlag
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.viewers import hands, pictures
from earthshine.runner.desktops.viewers.hands import Hands, TooLargeError

u16, i16 = st.integers(0, 65535), st.integers(-32768, 32767)
INPUT = st.one_of(
    st.builds(v.Key, st.integers(0, 1), st.integers(0, 2**32 - 1), u16),
    st.builds(v.Text, st.text(max_size=1024).map(str.encode)),
    st.builds(v.Pointer, u16, u16, u16),
    st.builds(v.PointerBy, i16, i16, u16),
    st.builds(v.Wheel, i16, i16),
    st.builds(v.Touch, st.integers(0, 255), st.integers(0, 3), u16, u16),
    st.just(v.ReleaseAll()),
    st.builds(v.Clipboard, st.integers(0, 1), st.binary(max_size=100)),
)


@given(st.lists(INPUT, max_size=8))
def test_whatever_a_viewer_does_the_worker_can_read(messages):
    side = Hands()
    for message in messages:
        for command in side.commands(message):
            assert m.to_worker.decode(msgspec.msgpack.encode(command)) == command


@given(st.integers(1, 16384), st.integers(1, 16384))
def test_any_window_has_a_size_that_a_display_may_have(width, height):
    command = hands.resize(v.Resize(width=width, height=height))
    assert m.to_worker.decode(msgspec.msgpack.encode(command)) == command


def test_a_key_is_pressed_by_its_symbol_else_by_its_place():
    side = Hands()
    assert side.commands(v.Key(1, 0x61, 30)) == [m.Key(keysym=0x61, down=True)]
    assert side.commands(v.Key(0, 0, 30)) == [m.ScanCode(code=30, down=False)]
    assert side.commands(v.Key(1, 0, 0)) == []


def test_buttons_are_told_one_by_one_and_once():
    side = Hands()
    place = m.Pointer(x=5, y=6)
    assert side.commands(v.Pointer(5, 6, 1)) == [place, m.Button(button=1, down=True)]
    assert side.commands(v.Pointer(5, 6, 1)) == [place]
    assert side.commands(v.Pointer(5, 6, 4 | 8)) == [
        place,
        m.Button(button=1, down=False),
        m.Button(button=3, down=True),
        m.Button(button=8, down=True),
    ]


def test_after_letting_go_a_button_can_go_down_again():
    side = Hands()
    side.commands(v.Pointer(5, 6, 1))
    assert side.release() == m.ReleaseAll()
    assert m.Button(button=1, down=True) in side.commands(v.Pointer(5, 6, 1))


def test_down_and_right_are_positive_for_viewers_and_up_for_the_worker():
    assert Hands().commands(v.Wheel(10, -120)) == [m.Wheel(vertical=120, horizontal=10)]


def test_a_clipboard_that_is_too_large():
    with pytest.raises(TooLargeError):
        Hands().commands(v.Clipboard(1, bytes(m.MAX_CLIPBOARD + 1)))


@pytest.mark.parametrize(
    ("message", "takes"),
    [
        (v.Pointer(1, 2, 0), False),
        (v.Pointer(1, 2, 1), True),
        (v.PointerBy(1, 2, 0), False),
        (v.Wheel(0, 120), False),
        (v.Key(1, 0x61, 0), True),
        (v.Key(0, 0x61, 0), False),
        (v.Text(b"x"), True),
        (v.Clipboard(0, b"x"), True),
        (v.Touch(0, 0, 1, 1), True),
        (v.Touch(0, 1, 1, 1), False),
        (v.ReleaseAll(), False),
    ],
)
def test_what_takes_control_that_nobody_has(message, takes):
    assert hands.takes_control(message) is takes


def video(**other: object) -> m.Video:
    fields = {
        "frame_id": 7, "key": False, "data": b"unit", "width": 640, "height": 480,
        "captured": 1000, "encoded": 3000, **other,
    }  # fmt: skip
    return m.Video(**fields)  # type: ignore[arg-type]


def test_a_frame_says_what_is_new_in_it():
    damage = pictures.Damage()
    damage.of(video(), 4000)
    dirty = [(10, 20, 30, 40), (-5, -5, 10, 10), (630, 470, 100, 100), (700, 0, 5, 5)]
    new = video(dirty=dirty)
    found = pictures.video(new, 5000, damage.of(new, 5000))
    assert found.flags == FrameFlag.DAMAGE
    boxes = [(10, 20, 30, 40), (0, 0, 5, 5), (630, 470, 10, 10)]
    assert viewer_boxes(found) == (boxes, b"unit")
    assert (found.captured, found.spent) == (1000, 4000)


def test_the_first_frame_is_new_everywhere():
    first = video(key=True, dirty=[(1, 1, 1, 1)])
    found = pictures.video(first, 5000, pictures.Damage().of(first, 5000))
    assert (found.flags, found.data) == (FrameFlag.KEY, b"unit")


def frames(damage: pictures.Damage, *shown: tuple[int, int, list[v.Box]]) -> list[Any]:
    """What is new in frames captured at one time, gone out at another, with these places dirty."""
    return [damage.of(video(captured=at, dirty=dirty), now) for at, now, dirty in shown]


A, B = (0, 0, 10, 10), (100, 100, 10, 10)


def test_a_place_is_new_until_a_frame_that_was_captured_after_it_was_known():
    damage = pictures.Damage()
    found = frames(
        damage,
        (0, 5, []),
        (10, 35, [A]),  # drawn perhaps at 20: this frame does not show it
        (30, 40, [B]),  # captured before A was known, so it may not either
        (50, 55, []),  # this one shows both
        (70, 75, []),
    )
    assert found == [None, [A], [B, A], [A, B], []]


def test_exact_pixels_are_not_drawn_over_by_what_was_known_before():
    damage = pictures.Damage()
    frames(damage, (0, 5, []), (10, 35, [A, B]))
    damage.settled((0, 0, 64, 64))
    assert frames(damage, (400, 410, [])) == [[B]]


def test_many_places_become_one():
    damage = pictures.Damage()
    many = [(x, 0, 1, 1) for x in range(0, 66, 2)]
    found = frames(damage, (0, 5, []), (10, 35, many), (30, 40, [B]))
    assert found[-1] == [(0, 0, 110, 110)]


def viewer_boxes(found: v.Video) -> tuple[list[v.Box], bytes]:
    return v.split_damage(found.data)


@pytest.mark.parametrize(
    ("unit", "named"),
    [
        (bytes.fromhex("00000001 6742c01f 89"), "avc1.42c01f"),
        (bytes.fromhex("000001 09f0 000001 6764002a ac"), "avc1.64002a"),
        (bytes.fromhex("00000001 6742"), ""),
        (bytes.fromhex("00000001 6588"), ""),
        (b"", ""),
        (b"\0\0\1", ""),
    ],
)
def test_the_codec_is_read_from_the_parameter_set(unit, named):
    assert pictures.codec(unit) == named


def test_sound_has_even_times_and_begins_anew_after_silence():
    sound = pictures.Sound()
    first = sound.packet(m.Audio(pts=480, data=b"a"), 50_000)
    late = sound.packet(m.Audio(pts=960, data=b"b"), 75_000)
    assert (first.number, first.captured) == (1, 50_000)
    assert (late.number, late.captured) == (2, 60_000), "10 ms on, however late it came"
    again = sound.packet(m.Audio(pts=1440, data=b"c"), 9_000_000)
    assert again.captured == 9_000_000
