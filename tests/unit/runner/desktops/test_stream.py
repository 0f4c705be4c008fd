"""A desktop as its consumers see it, through the worker's socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import pytest

from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops import x11
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.messages import Watch
from earthshine.runner.desktops.stream import STREAM_SOCKET, DesktopStream, StreamGoneError
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.test_capture import Decoder
from tests.unit.runner.desktops.test_keeper import Runner, runner

__all__ = ["runner"]
Eventually = Callable[..., Awaitable[Any]]
Heard = TypeVar("Heard", bound=m.Message)
PATIENCE = 15.0


class Viewer:
    """Reads a stream all the time and keeps what came."""

    def __init__(self, stream: DesktopStream) -> None:
        self.stream = stream
        self.heard: list[m.FromWorker] = []
        self._news = asyncio.Event()
        self._read = 0

    async def listen(self) -> None:
        with contextlib.suppress(StreamGoneError):
            async for message in self.stream:
                self.heard.append(message)
                self._news.set()

    async def next(self, kind: type[Heard], met: Callable[[Heard], bool] = lambda _: True) -> Heard:
        """The next message of this kind that nobody has asked for yet."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self._read < len(self.heard):
                    message = self.heard[self._read]
                    self._read += 1
                    if isinstance(message, kind) and met(message):
                        return message
                self._news.clear()
                await self._news.wait()

    def skip(self) -> None:
        """What has come so far is of no interest."""
        self._read = len(self.heard)


@pytest.fixture
async def desktop(runner: Runner) -> AsyncIterator[Desktop]:
    """A desktop without programs, to which this process' environment points."""
    async with runner.running(programs=[], window_manager="off") as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        yield desktop


@pytest.fixture
async def watch(desktop: Desktop) -> AsyncIterator[Callable[..., Awaitable[Viewer]]]:
    """`await watch(control=True, ...)`: one more viewer."""
    async with contextlib.AsyncExitStack() as stack:
        tasks: list[asyncio.Task[None]] = []

        async def join(**wants: Any) -> Viewer:
            stream = await stack.enter_async_context(desktop.stream(Watch(**wants)))
            viewer = Viewer(stream)
            tasks.append(asyncio.create_task(viewer.listen()))
            return viewer

        yield join
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Watching = Callable[..., Awaitable[Viewer]]


async def run(desktop: Desktop, *argv: str, data: bytes | None = None) -> bytes:
    """What a program in the display prints."""
    program = await asyncio.create_subprocess_exec(
        *argv,
        env={**os.environ, **desktop.status.environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await program.communicate(data)
    return out


@contextlib.asynccontextmanager
async def scene(desktop: Desktop, rate: float, pictures: int) -> AsyncIterator[None]:
    """The barcode in the desktop, drawn before this begins when it is one picture."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        barcode.__file__,
        str(rate),
        str(pictures),
        env={**os.environ, **desktop.status.environment},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if pictures == 1:
            assert program.stdout is not None
            await program.stdout.readline()
        yield
    finally:
        program.kill()
        await program.communicate()


def picture(data: bytes) -> Any:
    """A PNG's pixels, height x width x (red, green, blue, alpha)."""
    codec: Any = av.CodecContext.create("png", "r")
    (frame,) = codec.decode(av.Packet(data))
    return frame.to_ndarray(format="rgba")


# --- pictures ------------------------------------------------------------------------------------


async def test_a_viewer_gets_size_pointer_and_picture_at_once(watch: Watching) -> None:
    viewer = await watch()
    screen = await viewer.next(m.Screen)
    assert (screen.width, screen.height, screen.pointer_drawn) == (640, 480, False)
    cursor = await viewer.next(m.Cursor)
    assert picture(cursor.data).shape[2] == 4
    video = await viewer.next(m.Video)
    assert video.key
    assert (video.width, video.height) == (640, 480)


async def test_the_stream_shows_the_display(desktop: Desktop, watch: Watching) -> None:
    async with scene(desktop, 30, 1):
        viewer = await watch()
        video = await viewer.next(m.Video)
        assert barcode.read(Decoder().luma(video)) is not None  # type: ignore[arg-type]


async def test_who_joins_later_sees_the_same(desktop: Desktop, watch: Watching) -> None:
    async with scene(desktop, 30, 1):
        first = await watch()
        await first.next(m.Video)
        late = await watch()
        video = await late.next(m.Video)
        assert video.key
        assert barcode.read(Decoder().luma(video)) is not None  # type: ignore[arg-type]


async def test_what_is_wanted_can_change_but_not_into_control(watch: Watching) -> None:
    viewer = await watch(repaint=False, cursor=False)
    await viewer.next(m.Video)
    assert not any(isinstance(heard, m.Repaint | m.Cursor) for heard in viewer.heard)
    viewer.stream.tell(Watch(control=True))
    await viewer.next(m.Cursor)
    await viewer.next(m.Repaint)
    viewer.stream.tell(m.Key(keysym=0x61, down=True))
    assert (await viewer.next(m.Trouble)).code == "forbidden"


async def test_a_viewer_that_does_not_read_slows_nobody(desktop: Desktop, watch: Watching) -> None:
    async with desktop.stream(Watch()), scene(desktop, 30, 90):
        viewer = await watch()
        shown = []
        decoder = Decoder()
        for _ in range(30):
            video = await viewer.next(m.Video)
            shown.append(barcode.read(decoder.luma(video)))  # type: ignore[arg-type]
        assert len({time for time in shown if time is not None}) > 15


async def test_a_still_screen_is_repainted_with_exact_pixels(
    desktop: Desktop, watch: Watching
) -> None:
    async with scene(desktop, 30, 1):
        viewer = await watch()
        canvas = np.zeros((480, 640, 4), np.uint8)
        painted = np.zeros((480, 640), bool)
        while not painted.all():
            repaint = await viewer.next(m.Repaint)
            x, y, width, height = repaint.box
            canvas[y : y + height, x : x + width] = picture(repaint.data)
            painted[y : y + height, x : x + width] = True
        exact = grabbed(desktop)
        assert (canvas[:, :, :3] == exact).all()


def grabbed(desktop: Desktop) -> Any:
    """The display's pixels, asked of the server itself: height x width x (red, green, blue)."""
    variables = desktop.status.environment
    connection = x11.connect(variables["DISPLAY"], variables["XAUTHORITY"])
    try:
        width, height = x11.screen_size(connection)
        image = connection.screen().root.get_image(0, 0, width, height, x11.X.ZPixmap, 0xFFFFFFFF)
        pixels = np.frombuffer(image.data, np.uint8).reshape(height, width, 4)
        return pixels[:, :, 2::-1]
    finally:
        x11.disconnect(connection)


async def test_exact_pixels_are_void_where_something_is_drawn(
    desktop: Desktop, watch: Watching
) -> None:
    viewer = await watch()
    await viewer.next(m.Repaint)
    await asyncio.sleep(1)
    viewer.skip()
    async with scene(desktop, 30, 5):
        video = await viewer.next(m.Video, lambda video: bool(video.dirty))
        _, y, width, _ = video.dirty[0]
        assert y == 0
        assert width <= barcode.WIDTH
        repaint = await viewer.next(m.Repaint)
        assert repaint.box[1] == 0


async def test_a_pause_ends_the_video_of_one_viewer(desktop: Desktop, watch: Watching) -> None:
    viewer = await watch()
    await viewer.next(m.Video)
    viewer.stream.tell(m.Pause())
    still = m.TakeStill(request_id="1", box=(0, 0, 64, 64))
    viewer.stream.tell(still)
    await viewer.next(m.Still)
    async with scene(desktop, 30, 10):
        await asyncio.sleep(0.5)
        viewer.stream.tell(m.Continue())
        video = await viewer.next(m.Video)
        assert video.key


async def test_a_key_frame_on_demand(watch: Watching) -> None:
    viewer = await watch()
    await viewer.next(m.Video)
    await asyncio.sleep(1)
    viewer.skip()
    viewer.stream.tell(m.KeyFrame())
    assert (await viewer.next(m.Video)).key


async def test_a_still_of_a_part_is_exact(desktop: Desktop, watch: Watching) -> None:
    async with scene(desktop, 30, 1):
        viewer = await watch(video=False)
        viewer.stream.tell(m.TakeStill(request_id="part", box=(10, 2, 200, 20)))
        still = await viewer.next(m.Still)
        assert (still.request_id, still.box) == ("part", (10, 2, 200, 20))
        assert (picture(still.data)[:, :, :3] == grabbed(desktop)[2:22, 10:210]).all()
        viewer.stream.tell(m.TakeStill(request_id="all", format="jpeg"))
        still = await viewer.next(m.Still)
        assert still.data.startswith(b"\xff\xd8")
        viewer.stream.tell(m.TakeStill(request_id="outside", box=(5000, 0, 10, 10)))
        assert (await viewer.next(m.Trouble)).request_id == "outside"


async def test_the_pointer_is_drawn_for_who_cannot_draw_it(watch: Watching) -> None:
    viewer = await watch(cursor=False)
    await viewer.next(m.Screen, lambda screen: screen.pointer_drawn)


async def test_another_size(watch: Watching) -> None:
    viewer = await watch(control=True)
    await viewer.next(m.Video)
    viewer.stream.tell(m.Resize(width=801, height=602))
    screen = await viewer.next(m.Screen)
    assert (screen.width, screen.height) == (800, 602)
    video = await viewer.next(m.Video, lambda video: video.width == 800)
    assert video.key
    assert Decoder().luma(video).shape == (602, 800)  # type: ignore[arg-type]


# --- input ---------------------------------------------------------------------------------------


async def test_typing_through_the_stream_reaches_a_program(
    desktop: Desktop, watch: Watching, tmp_path: Path, eventually: Eventually
) -> None:
    viewer = await watch(control=True)
    typed = tmp_path / "typed"
    program = await asyncio.create_subprocess_exec(
        "xterm", "-geometry", "80x24+0+0",
        "-e", f"sh -c ': > {typed}; echo > {typed}.ready; cat > {typed}'",
        env={**os.environ, **desktop.status.environment}, stderr=-3,
    )  # fmt: skip
    await eventually(Path(f"{typed}.ready").exists)
    viewer.stream.tell(m.Pointer(x=100, y=100))  # the focus follows it without a window manager
    viewer.stream.tell(m.Type(text="typed from afar ✓\n"))
    await eventually(lambda: "\n" in typed.read_text())
    assert typed.read_text().startswith("typed from afar")
    program.kill()
    await program.wait()


async def test_who_may_only_watch_changes_nothing(desktop: Desktop, watch: Watching) -> None:
    viewer = await watch()
    for message in (
        m.Pointer(x=5, y=5),
        m.Key(keysym=97, down=True),
        m.Resize(width=100, height=100),
    ):
        viewer.stream.tell(message)
        assert (await viewer.next(m.Trouble)).code == "forbidden"


async def test_keys_go_up_when_the_one_who_holds_them_leaves(
    desktop: Desktop, eventually: Eventually
) -> None:
    variables = desktop.status.environment
    connection = x11.connect(variables["DISPLAY"], variables["XAUTHORITY"])
    try:
        async with desktop.stream(Watch(control=True)) as stream:
            stream.tell(m.Key(keysym=0xFFE1, down=True))
            stream.tell(m.Button(button=1, down=True))
            await eventually(lambda: any(connection.query_keymap()))
        await eventually(lambda: not any(connection.query_keymap()))
        pointer = connection.screen().root.query_pointer
        await eventually(lambda: not pointer().mask & x11.X.Button1Mask)
    finally:
        x11.disconnect(connection)


# --- clipboard -----------------------------------------------------------------------------------

LARGE = "".join(f"line {i} ✓\n" for i in range(40_000)).encode()
DOT = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac"
    b"\xfc\xcf\xc0P\x0f\0\4\x85\1\x80\x84\xa9\x8c!\0\0\0\0IEND\xaeB`\x82"
)


@pytest.mark.parametrize("data", ["grüße ✓".encode(), LARGE], ids=["short", "in parts"])
async def test_text_from_the_viewer_to_a_program(
    desktop: Desktop, watch: Watching, data: bytes, eventually: Eventually
) -> None:
    viewer = await watch(control=True, clipboard=True)
    viewer.stream.tell(m.PutClipboard(mime="text/plain", data=data))
    await owned(desktop, eventually)
    taken = await run(desktop, "xclip", "-selection", "clipboard", "-o", "-t", "UTF8_STRING")
    assert taken == data


async def test_a_picture_from_the_viewer_to_a_program(
    desktop: Desktop, watch: Watching, eventually: Eventually
) -> None:
    viewer = await watch(control=True, clipboard=True)
    viewer.stream.tell(m.PutClipboard(mime="image/png", data=DOT))
    await owned(desktop, eventually)
    assert await run(desktop, "xclip", "-selection", "clipboard", "-o", "-t", "image/png") == DOT
    targets = await run(desktop, "xclip", "-selection", "clipboard", "-o", "-t", "TARGETS")
    assert b"image/png" in targets
    assert b"UTF8_STRING" not in targets


async def owned(desktop: Desktop, eventually: Eventually) -> None:
    """Until somebody owns the display's clipboard."""
    variables = desktop.status.environment
    connection = x11.connect(variables["DISPLAY"], variables["XAUTHORITY"])
    try:
        clipboard = connection.intern_atom("CLIPBOARD")
        await eventually(lambda: connection.get_selection_owner(clipboard) != 0)
    finally:
        x11.disconnect(connection)


@pytest.mark.parametrize(
    ("mime", "target", "data"),
    [
        ("text/plain", "UTF8_STRING", "kopiert ✓".encode()),
        ("text/plain", "UTF8_STRING", LARGE),
        ("image/png", "image/png", DOT),
    ],
    ids=["short", "in parts", "picture"],
)
async def test_what_a_program_copies_reaches_the_viewer(
    desktop: Desktop, watch: Watching, mime: str, target: str, data: bytes
) -> None:
    viewer = await watch(clipboard=True)
    other = await watch(clipboard=False)
    program = await asyncio.create_subprocess_exec(
        "xclip", "-quiet", "-selection", "clipboard", "-i", "-t", target,
        env={**os.environ, **desktop.status.environment},
        stdin=asyncio.subprocess.PIPE, stderr=-3,
    )  # fmt: skip
    assert program.stdin is not None
    program.stdin.write(data)
    program.stdin.close()
    copied = await viewer.next(m.Clipboard)
    assert (copied.mime, copied.data) == (mime, data)
    assert not any(isinstance(message, m.Clipboard) for message in other.heard)
    program.kill()
    await program.wait()


async def test_a_copy_that_is_too_large_is_not_passed_on(desktop: Desktop, watch: Watching) -> None:
    viewer = await watch(clipboard=True)
    for data in (b"x" * (m.MAX_CLIPBOARD + 1), b"small"):
        program = await asyncio.create_subprocess_exec(
            "xclip", "-quiet", "-selection", "clipboard", "-i",
            env={**os.environ, **desktop.status.environment},
            stdin=asyncio.subprocess.PIPE, stderr=-3,
        )  # fmt: skip
        assert program.stdin is not None
        program.stdin.write(data)
        program.stdin.close()
        if data != b"small":
            await asyncio.sleep(1)
            program.kill()
            await program.wait()
    assert (await viewer.next(m.Clipboard)).data == b"small"
    program.kill()
    await program.wait()


# --- the socket ----------------------------------------------------------------------------------


async def test_nonsense_is_answered_and_hung_up_on(desktop: Desktop, watch: Watching) -> None:
    viewer = await watch()
    for nonsense in (
        b"\xff\xff\xff\xff",
        b"\0\0\0\1\xc1",
        m.pack(m.KeyFrame()),  # before `watch`
        b"\0\0\0\x05hello",
    ):
        reader, writer = await asyncio.open_unix_connection(str(desktop.folder / STREAM_SOCKET))
        writer.write(nonsense)
        said = await asyncio.wait_for(reader.read(), PATIENCE)
        assert isinstance(m.from_worker.decode(m.Unpacker().feed(said)[0]), m.Trouble)
        writer.close()
    await viewer.next(m.Video)


async def test_the_stream_is_for_its_user_only(desktop: Desktop) -> None:
    for name in (STREAM_SOCKET, "holder.sock"):
        assert (desktop.folder / name).stat().st_mode & 0o777 == 0o600
    assert desktop.folder.stat().st_mode & 0o077 == 0


# --- sound ---------------------------------------------------------------------------------------


async def test_what_a_program_plays_is_heard(runner: Runner, tmp_path: Path) -> None:
    seconds = np.arange(48_000 * 12) / 48_000  # the capture begins meanwhile
    tone = (np.sin(2 * np.pi * 440 * seconds) * 20_000).astype("<i2")
    raw = tmp_path / "tone.raw"
    raw.write_bytes(np.repeat(tone, 2).tobytes())
    async with runner.running(programs=[], window_manager="off", audio="auto") as keeper:
        desktop = await runner.start(keeper)
        status = await desktop.wake()
        assert not [note for note in status.notes if "sound" in note]
        async with desktop.stream(Watch(video=False, repaint=False, audio=True)) as stream:
            viewer = Viewer(stream)
            task = asyncio.create_task(viewer.listen())
            player = await asyncio.create_subprocess_exec(
                "pacat", "--raw", "--rate=48000", "--channels=2", "--format=s16le", str(raw),
                env={**os.environ, **status.environment},
            )  # fmt: skip
            codec: Any = av.CodecContext.create("libopus", "r")
            codec.sample_rate, codec.layout = 48_000, "stereo"
            heard: list[Any] = []
            pts = []
            while len(heard) < 60:
                packet = await viewer.next(m.Audio)
                pts.append(packet.pts)
                for frame in codec.decode(av.Packet(packet.data)):
                    samples = frame.to_ndarray().astype(float).reshape(-1)[::2]
                    heard.append(samples)
            wave = np.concatenate(heard[20:])
            spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
            loudest = np.fft.rfftfreq(len(wave), 1 / 48_000)[int(np.argmax(spectrum))]
            assert np.median(np.diff(pts)) == 480  # 10 ms
            assert abs(loudest - 440) < 15
            player.kill()
            await player.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_where_there_is_no_sound_server_it_is_said(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runner.running(
        programs=[], audio="auto", programs_path={"pulseaudio": "/no/such/pulseaudio"}
    ) as keeper:
        desktop = await runner.start(keeper)
        assert any(note.startswith("no sound") for note in desktop.status.notes)
