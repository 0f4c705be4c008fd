"""Encoded messages that the browser's codec is tested with: both hold the same truth.

After a change, `python -m tests.unit.protocols.viewer.test_vectors` writes the file again.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from earthshine.protocols import viewer

VECTORS = Path(__file__).parents[4] / "web/tests/desktop/viewer-vectors.json"
TOP = 2**53 - 1
"""The largest time that a browser's numbers hold."""

FROM_DESKTOP: list[viewer.FromDesktop] = [
    viewer.Video(1, 7, 1_000_000, 4_200, b"\0\0\0\1\x67"),
    viewer.Video(2, 2**32 - 1, TOP, 0, viewer.with_damage([(1, 2, 300, 40)], b"\0\0\0\1\x41")),
    viewer.Exact(7, 10, 20, 300, 40, 0, b"png"),
    viewer.Still(8, 1_000_000, 9_000, 1280, 720, 1, b"jpeg"),
    viewer.Audio(3, 1_000_000, b"opus"),
    viewer.CursorShape(1, 2, b"\x89PNG"),
    viewer.CursorShape(0, 0, b""),
    viewer.PointerAt(2, 640, 360),
    viewer.Pong(5, 6),
    viewer.Clipboard(0, "grüße".encode()),
    viewer.Clipboard(1, b"\x89PNG"),
    viewer.DesktopIs(
        state="ready", width=1280, height=720, codec="avc1.42c01f", rate=30, audio=True, layout="de"
    ),
    viewer.DesktopIs(state="failed", detail="There is no X server.", remedy="Install one."),
    viewer.Viewers(
        viewers=[
            viewer.ViewerIs(number=1, name="Anna", role="owner", you=True),
            viewer.ViewerIs(number=2, name="Ola", role="controller", asks=True),
        ],
        control=1,
    ),
    viewer.Statistics(
        capture_ms=1.5, encode_ms=4, frames=30, skipped=1, bytes=90_000, encoder="x264"
    ),
    viewer.Problem(code="no-resize", detail="This display has a fixed size."),
]
FROM_VIEWER: list[viewer.FromViewer] = [
    viewer.Key(1, 0x61, 30),
    viewer.Key(0, 0x010020AC, 0),
    viewer.Text("é€😀".encode()),
    viewer.Pointer(640, 360, 5),
    viewer.PointerBy(-5, 3, 0),
    viewer.Wheel(0, -120),
    viewer.Touch(1, 3, 1, 2),
    viewer.ReleaseAll(),
    viewer.Seen(2**32 - 1, 12_000),
    viewer.KeyFrameWanted(),
    viewer.Ping(TOP),
    viewer.Clipboard(0, b"text"),
    viewer.Watch(video="stills", audio=True, statistics=True),
    viewer.TakeControl(),
    viewer.AskForControl(),
    viewer.GiveControl(to=2),
    viewer.Resize(width=1600, height=900),
    viewer.SetPreset(preset=viewer.Preset.MOTION),
]


def _vector(message: viewer.Message) -> dict[str, Any]:
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    fields.pop("type", None)
    return {
        "kind": type(message).__name__,
        "bytes": viewer.encode(message).hex(),
        "fields": {
            name: {"hex": value.hex()} if isinstance(value, bytes) else value
            for name, value in fields.items()
        },
    }


def vectors() -> str:
    """The file's content."""
    found = {
        "fromDesktop": [_vector(message) for message in FROM_DESKTOP],
        "fromViewer": [_vector(message) for message in FROM_VIEWER],
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def test_the_browser_is_tested_with_what_this_codec_says():
    assert VECTORS.read_text() == vectors(), "run this file as a module to write it again"


if __name__ == "__main__":
    VECTORS.parent.mkdir(exist_ok=True)
    VECTORS.write_text(vectors())
