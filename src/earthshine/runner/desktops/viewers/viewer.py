"""One viewer: a connection that speaks the viewer protocol, and its own stream from the worker.

Pictures wait for this viewer's line and for nobody else's: while it takes no more bytes its stream
is not read, and the worker skips it to a later key frame. What it types goes to the room, past all
pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from earthshine.protocols import viewer as v
from earthshine.protocols.viewer import Attach, DesktopIs, ViewerError
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.stream import DesktopStream, StreamGoneError
from earthshine.runner.desktops.viewers import pictures
from earthshine.runner.desktops.viewers.pace import Pace
from earthshine.runner.desktops.viewers.stills import Stills

if TYPE_CHECKING:
    from earthshine.runner.desktops.viewers.room import Room

MAX_UNSENT: Final = 24 * 1024 * 1024
"""Bytes that may wait for a viewer; one that reads nothing at all is let go."""
LIGHT: Final = 64 * 1024
"""Waiting bytes above which a viewer is not told of every movement of the pointer."""
LOOK_SECONDS: Final = 0.1
"""Between looks whether a viewer is behind, while something is on its way to it."""
KEY_SECONDS: Final = 0.5
"""At most one key frame in this time for one viewer: it costs all viewers bytes."""
RETRY_SECONDS: Final = 0.2
"""Between attempts to open a stream that should be there."""


class _LeftError(Exception):
    """The viewer has gone, or there is nothing to show any more."""


class Viewer:
    """Somebody who watches. `serve` is its life."""

    def __init__(
        self, room: Room, number: int, attach: Attach, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.attach = attach
        self.refused_because = ""
        """What this viewer was last told about why it may not type."""
        self._room = room
        self._writer = writer
        self._wants = v.Watch(video="none")
        self._watched = asyncio.Event()
        self._stream: DesktopStream | None = None
        self._pace = Pace()
        self._under_way = asyncio.Event()
        self._flowing = False
        self._needs_key = True
        self._damage = pictures.Damage()
        self._frame = 0
        self._frame_size = (0, 0)
        self._size = (0, 0)
        self._layout = ""
        self._told: DesktopIs | None = None
        self._key_at = float("-inf")
        self._sound = pictures.Sound()
        self._stills = Stills(self._tell, self._show_still)
        self._figures = _Figures()

    @property
    def busy(self) -> bool:
        """Whether its line is behind: what is soon outdated need not be said."""
        return self._writer.transport.get_write_buffer_size() > LIGHT

    def say(self, message: v.FromDesktop) -> None:
        """Send a message. Never waits, never raises."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNSENT:
            transport.abort()
            return
        data = v.framed(v.encode(message))
        self._figures.bytes += len(data)
        self._writer.write(data)

    async def serve(self, messages: AsyncIterator[v.FromControlPlane | v.FromViewer]) -> None:
        """Until the viewer leaves or the desktop has ended. Raises ViewerError."""
        self._tell_state()
        wrong: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._show())
                tasks.create_task(self._stills.run())
                tasks.create_task(self._keep_pace())
                tasks.create_task(self._count())
                async for message in messages:
                    self._heard(message)
                raise _LeftError
        except* (_LeftError, OSError):
            pass
        except* ViewerError as group:
            wrong = group.exceptions[0]
        if wrong is not None:
            raise wrong

    # --- from the viewer -------------------------------------------------------------------------

    def _heard(self, message: v.FromControlPlane | v.FromViewer) -> None:
        match message:
            case v.Attach():
                raise ViewerError("the stream is for somebody already")
            case v.RoleIs():
                self._room.role_changed(self, message)
            case v.Watch():
                self._wants = message
                self._watched.set()
                self._arrange()
            case v.Seen(frame=frame):
                self._stills.seen(frame)
                self._pace.seen(frame, time.monotonic())
                self._consider()
            case v.KeyFrameWanted():
                self._want_key()
            case v.Ping(sent=sent):
                self.say(v.Pong(sent, _micros()))
            case _:
                self._room.obey(self, message)

    def _want_key(self) -> None:
        """The viewer's decoder was lost: as if it had just come, with exact pixels all anew."""
        now = time.monotonic()
        if self._flowing and now - self._key_at >= KEY_SECONDS:
            self._key_at = now
            self._needs_key = True
            self._damage.began_anew()
            self._tell(m.Pause())
            self._tell(m.Continue())

    def _tell(self, message: msgspec.Struct) -> None:
        if self._stream is not None:
            with contextlib.suppress(StreamGoneError):  # `_show` hears of it too
                self._stream.tell(message)

    def _watch(self) -> m.Watch:
        moving = self._wants.video == "h264"
        return m.Watch(video=moving, repaint=moving, cursor=True, audio=self._wants.audio)

    def _arrange(self) -> None:
        """The viewer wants something else than before."""
        self._tell(self._watch())
        self._stills.want(self._wants.video == "stills")
        self._flow()
        self.tell_desktop()

    def _flow(self) -> None:
        """Video runs while it is wanted and its viewer keeps up."""
        flowing = self._wants.video == "h264" and not self._pace.paused
        if flowing == self._flowing:
            return
        self._flowing = flowing
        self._needs_key = True
        self._damage.began_anew()
        self._tell(m.Continue() if flowing else m.Pause())

    def _consider(self) -> None:
        if self._pace.verdict(time.monotonic()) is not None:
            self._flow()

    async def _keep_pace(self) -> None:
        while True:
            if self._pace.idle:
                self._under_way.clear()
                await self._under_way.wait()
            await asyncio.sleep(LOOK_SECONDS)
            self._consider()

    # --- from the worker -------------------------------------------------------------------------

    async def _show(self) -> None:
        await self._watched.wait()
        while await self._room.until_up(self._tell_state):
            try:
                async with self._room.desktop.stream(self._watch()) as stream:
                    self._begin(stream)
                    async for message in stream:
                        await self._translate(message)
            except (StreamGoneError, FileNotFoundError):
                pass
            finally:
                self._stream = None
                self._stills.answered(None)
            self._interrupted()
            await asyncio.sleep(RETRY_SECONDS)
        with contextlib.suppress(OSError):
            await self._writer.drain()
        raise _LeftError

    def _begin(self, stream: DesktopStream) -> None:
        self._stream = stream
        self._stills.answered(None)
        self._pace.began_anew()
        self._flowing = self._wants.video == "h264"
        self._needs_key = True
        self._damage.began_anew()

    async def _translate(self, message: m.FromWorker) -> None:
        match message:
            case m.Video():
                await self._video(message)
            case m.Repaint():
                await self._repaint(message)
            case m.Cursor():
                self.say(pictures.cursor(message))
            case m.Audio():
                if self._wants.audio and not self.busy:
                    self.say(self._sound.packet(message, _micros()))
            case m.Screen():
                self._size = (message.width, message.height)
                self._figures.encoder = message.encoder
                self._layout = message.layout
                if self._room.codec or self._wants.video != "h264":
                    self._tell_desktop("ready")
            case m.Still():
                self._stills.answered(message)
            case m.Trouble():
                self._trouble(message)

    def _trouble(self, message: m.Trouble) -> None:
        if message.request_id is not None:
            self._stills.answered(None)
            return
        self.say(pictures.problem(message))
        if message.code == "capture":  # no video: the viewer will ask for stills
            self._room.codec = ""
            self._tell_desktop("ready")

    async def _repaint(self, message: m.Repaint) -> None:
        # Nothing exact goes over old video; after a pause all of it comes again.
        if not self._flowing or self._needs_key:
            return
        exact = pictures.exact(message, self._frame)
        if exact is not None:
            self._damage.settled(message.box)
            self.say(exact)
            await self._writer.drain()

    async def _video(self, message: m.Video) -> None:
        if not self._flowing or (self._needs_key and not message.key):
            self._figures.skipped += 1
            return
        if message.key:
            if self._frame_size != (message.width, message.height):
                self._frame_size = (message.width, message.height)
                self._damage.began_anew()
            self._room.codec = pictures.codec(message.data)
            self._tell_desktop("ready")
        if not self._needs_key:
            self._figures.skipped += max(0, message.frame_id - self._frame - 1)
        now = _micros()
        frame = pictures.video(message, now, self._damage.of(message, now))
        self._needs_key = False
        self._frame = message.frame_id
        self._figures.frame(message)
        self._pace.sent(frame.frame, len(frame.data), time.monotonic())
        self._under_way.set()
        self.say(frame)
        await self._writer.drain()
        self._consider()

    async def _show_still(self, still: v.Still) -> None:
        self.say(still)
        await self._writer.drain()

    # --- how the desktop is ----------------------------------------------------------------------

    def _interrupted(self) -> None:
        if self._told is not None and self._told.state == "ready":
            self._tell_desktop("restarting", "Its picture was interrupted.", "It comes back.")

    def _tell_state(self) -> None:
        """While there is no stream: why, in words."""
        state, detail, remedy = _words(self._room.desktop.status)
        if state == "starting" and self._told is not None and self._told.state == "restarting":
            return
        self._tell_desktop(state, detail, remedy)

    def tell_desktop(self) -> None:
        """Something about the desktop has changed: say it again."""
        if self._told is not None and self._told.state == "ready":
            self._tell_desktop("ready")

    def _tell_desktop(self, state: State, detail: str = "", remedy: str = "") -> None:
        room = self._room
        status = DesktopIs(
            state=state,
            detail=detail,
            remedy=remedy,
            width=self._size[0],
            height=self._size[1],
            codec=room.codec,
            rate=room.rate,
            preset=v.Preset(room.preset),
            audio="PULSE_SERVER" in room.desktop.status.environment,
            layout=self._layout,
        )
        if status != self._told:
            self._told = status
            self.say(status)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(1)
            figures, self._figures = self._figures, _Figures(self._figures.encoder)
            if self._wants.statistics:
                self.say(figures.note())


State = Literal["starting", "ready", "paused", "restarting", "failed", "stopped"]


def _words(status: m.Status) -> tuple[State, str, str]:
    match status.phase:
        case "starting" if status.restarts:
            return "restarting", "It is starting again.", ""
        case "stopped":
            return "stopped", "Somebody stopped it, or nobody used it for long.", "Open it again."
        case "failed":
            return "failed", status.detail, status.remedy or ""
        case "ended":
            detail = status.detail or "The session's desktop has ended."
            return "stopped", detail, "Start a new session to have another."
    return "starting", "", ""


def _micros() -> int:
    return time.monotonic_ns() // 1000


class _Figures:
    """Of one second, for one viewer."""

    def __init__(self, encoder: str = "") -> None:
        self.encoder = encoder
        self.frames = 0
        self.skipped = 0
        self.bytes = 0
        self._capture = 0
        self._encode = 0

    def frame(self, message: m.Video) -> None:
        """A frame went out."""
        self.frames += 1
        grabbed = message.grabbed or message.captured
        self._capture += grabbed - message.captured
        self._encode += message.encoded - grabbed

    def note(self) -> v.Statistics:
        """What the viewer is told."""
        return v.Statistics(
            capture_ms=round(self._capture / 1000 / max(1, self.frames), 2),
            encode_ms=round(self._encode / 1000 / max(1, self.frames), 2),
            frames=self.frames,
            skipped=self.skipped,
            bytes=self.bytes,
            encoder=self.encoder,
        )
