"""The viewer protocol, byte by byte; and what a viewer may not send."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import viewer
from earthshine.protocols.viewer import (
    MAX_FROM_VIEWER,
    AskForControl,
    Attach,
    Audio,
    Button,
    Clipboard,
    ClipboardKind,
    CursorShape,
    Deframer,
    DesktopIs,
    Exact,
    FrameFlag,
    GiveControl,
    Key,
    KeyFrameWanted,
    Ping,
    PixelFormat,
    Pointer,
    PointerAt,
    PointerBy,
    Pong,
    Preset,
    Problem,
    ReleaseAll,
    Resize,
    RoleIs,
    Seen,
    SetLayout,
    SetPreset,
    Statistics,
    Still,
    TakeControl,
    Text,
    Touch,
    TouchPhase,
    Video,
    ViewerError,
    ViewerIs,
    Viewers,
    Watch,
    Wheel,
)

FROM_DESKTOP = [
    Video(FrameFlag.KEY, 7, 1_000_000, 4_200, b"\0\0\0\1\x67"),
    Exact(7, 10, 20, 300, 40, PixelFormat.PNG, b"png"),
    Still(8, 1_000_000, 9_000, 1280, 720, PixelFormat.JPEG, b"jpeg"),
    Audio(3, 1_000_000, b"opus"),
    CursorShape(1, 2, b""),
    PointerAt(0, 640, 360),
    Pong(5, 6),
    Clipboard(ClipboardKind.TEXT, "grüße".encode()),
    DesktopIs(state="ready", width=1280, height=720, codec="avc1.42c01f", rate=30),
    Viewers(viewers=[ViewerIs(number=1, name="Anna", role="owner", you=True)], control=1),
    Statistics(capture_ms=1, encode_ms=4, frames=30, skipped=0, bytes=9, encoder="x264"),
    Problem(code="no-resize", detail="This display has a fixed size."),
]
WATCHING: list[viewer.FromViewer] = [
    Seen(7, 12_000),
    KeyFrameWanted(),
    Ping(5),
    Watch(audio=True, statistics=True),
]
CONTROLLING: list[viewer.FromViewer] = [
    Key(1, 0x61, 30),
    Text("é".encode()),
    Pointer(640, 360, Button.LEFT | Button.RIGHT),
    PointerBy(-5, 3, 0),
    Wheel(0, -120),
    Touch(0, TouchPhase.DOWN, 1, 2),
    ReleaseAll(),
    Clipboard(ClipboardKind.PNG, b"\x89PNG"),
    TakeControl(),
    AskForControl(),
    GiveControl(to=2),
    Resize(width=800, height=600),
    SetLayout(layout="de", variant="nodeadkeys"),
    SetPreset(preset=Preset.MOTION),
]
FROM_CONTROL = [
    Attach(viewer="v1", name="Anna", role="owner", may_control=True),
    RoleIs(role="viewer", may_control=False),
]


def test_a_video_frame_byte_by_byte():
    message = Video(FrameFlag.KEY, 7, 1_000_000, 4_200, b"\x65")
    assert viewer.encode(message).hex(" ") == (
        "01 01 00 00 00 07 00 00 00 00 00 0f 42 40 00 00 10 68 65"
    )


def test_a_key_byte_by_byte():
    assert viewer.encode(Key(1, 0x61, 30)).hex(" ") == "41 01 00 00 00 61 00 1e"


def test_a_note():
    assert viewer.encode(GiveControl(to=2)) == b'\0{"type":"give-control","to":2}'


@pytest.mark.parametrize("message", FROM_DESKTOP, ids=lambda m: type(m).__name__)
def test_what_a_desktop_sends(message):
    assert viewer.decode_from_desktop(viewer.encode(message)) == message


@pytest.mark.parametrize("message", WATCHING + CONTROLLING, ids=lambda m: type(m).__name__)
def test_what_a_viewer_sends(message):
    assert viewer.decode_from_viewer(viewer.encode(message)) == message
    assert viewer.decode_from_control(viewer.encode(message)) == message


@pytest.mark.parametrize("message", FROM_CONTROL, ids=lambda m: type(m).__name__)
def test_what_only_the_control_plane_may_say(message):
    assert viewer.decode_from_control(viewer.encode(message)) == message
    with pytest.raises(ViewerError):
        viewer.decode_from_viewer(viewer.encode(message))


def test_watching_needs_no_control_and_everything_else_does():
    assert not any(viewer.needs_control(message) for message in WATCHING)
    assert all(viewer.needs_control(message) for message in CONTROLLING)
    tested = {type(message) for message in WATCHING + CONTROLLING}
    assert tested == set(viewer.FromViewer.__args__), "a new message is entered here"


@pytest.mark.parametrize("message", FROM_DESKTOP, ids=lambda m: type(m).__name__)
def test_a_viewer_cannot_send_what_a_desktop_sends(message):
    if isinstance(message, Clipboard):
        return
    with pytest.raises(ViewerError):
        viewer.decode_from_viewer(viewer.encode(message))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x7f",
        b"\x41\x01",
        viewer.encode(Key(1, 0x61, 30)) + b"x",
        viewer.encode(Key(2, 0x61, 30)),
        viewer.encode(Touch(0, 9, 1, 1)),
        viewer.encode(Text(b"\xff")),
        viewer.encode(Text(b"x" * 4097)),
        viewer.encode(Clipboard(ClipboardKind.TEXT, b"\xff")),
        viewer.encode(Clipboard(7, b"x")),
        b"\x08\x01" + bytes(MAX_FROM_VIEWER),
        b"\0",
        b"\0[]",
        b'\0{"type":"resize","width":0,"height":1}',
        b'\0{"type":"resize","width":20000,"height":1}',
        b'\0{"type":"watch","video":"av1"}',
        b"\0" + b"[" * 100_000,
    ],
    ids=range(17),
)
def test_what_a_viewer_may_not_send(message):
    with pytest.raises(ViewerError):
        viewer.decode_from_viewer(message)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_a_viewer_error(data):
    for decode in (
        viewer.decode_from_viewer,
        viewer.decode_from_desktop,
        viewer.decode_from_control,
    ):
        try:
            message = decode(data)
        except ViewerError:
            continue
        assert isinstance(message, msgspec.Struct)
        if not isinstance(message, viewer.Note):
            assert viewer.encode(message) == data


@given(
    st.lists(st.sampled_from(WATCHING + CONTROLLING), max_size=8),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_a_stream_is_the_same_however_it_is_cut(messages, cuts):
    stream = b"".join(viewer.framed(viewer.encode(message)) for message in messages)
    deframer = Deframer(MAX_FROM_VIEWER)
    found, position = [], 0
    while position < len(stream):
        size = cuts[position % len(cuts)]
        found += deframer.feed(stream[position : position + size])
        position += size
    assert [viewer.decode_from_viewer(message) for message in found] == messages


@pytest.mark.parametrize("length", [0, MAX_FROM_VIEWER + 1, 2**32 - 1])
def test_a_stream_with_an_impossible_length_ends(length):
    with pytest.raises(ViewerError):
        Deframer(MAX_FROM_VIEWER).feed(length.to_bytes(4, "big"))


@given(
    st.lists(st.tuples(*[st.integers(0, 65535)] * 4), max_size=255),
    st.binary(max_size=64),
)
def test_damage_comes_before_the_access_unit(boxes, unit):
    assert viewer.split_damage(viewer.with_damage(boxes, unit)) == (boxes, unit)


@given(st.binary(max_size=64))
def test_damage_that_is_cut_short(data):
    with contextlib.suppress(ViewerError):
        boxes, unit = viewer.split_damage(data)
        assert viewer.with_damage(boxes, unit) == data
