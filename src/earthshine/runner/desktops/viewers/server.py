"""Where viewers' streams arrive: a UNIX socket for each desktop that somebody wants to see.

The sockets lie in a folder of their own, for this user only, with a short path: their addresses
have room for 107 bytes. The control plane may dial exactly these.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from earthshine.protocols import viewer as v
from earthshine.protocols.viewer import MAX_FROM_VIEWER, Attach, Deframer, Problem, ViewerError
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.viewers.room import LOOK_SECONDS, FullError, Room
from earthshine.runner.sockets import SocketFolder

ATTACH_SECONDS: Final = 10.0
"""How long a connection may take to say for whom it is."""
READ: Final = 64 * 1024
PREFIX: Final = "earthshine-viewers-"
RECORD: Final = "viewers-folder"
"""In the folder of state: where the sockets of a runner were that was killed."""
log = logging.getLogger(__name__)


class _Place:
    """A desktop's socket."""

    def __init__(self, path: Path, room: Room, server: asyncio.Server) -> None:
        self.path = path
        self.room = room
        self.server = server


class ViewerServer:
    """Shows the desktops of this runner. `begin`, and `close` at the end."""

    def __init__(
        self,
        state: Path,
        settings: DesktopSettings,
        typing_refused: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`typing_refused` says why this machine lets nobody of this name type; empty: it does."""
        self._sockets = SocketFolder(state / RECORD, PREFIX)
        self._settings = settings
        self._typing_refused = typing_refused
        self._folder: Path | None = None
        self._places: dict[str, _Place] = {}
        self._opening = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._last = 0

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Connections are served in `tasks`."""
        self._tasks = tasks

    def serves(self, path: str) -> bool:
        """Whether this is the socket of a desktop here."""
        return any(str(place.path) == path for place in self._places.values())

    async def place(self, desktop: Desktop) -> Path:
        """The socket on which this desktop can be seen. Raises OSError."""
        async with self._opening:
            known = self._places.get(desktop.desktop_id)
            if known is None or known.room.desktop is not desktop:
                if known is not None:
                    await self._drop(known)
                known = await self._listen(desktop)
            return known.path

    async def _listen(self, desktop: Desktop) -> _Place:
        assert self._tasks is not None
        if self._folder is None:
            self._folder = await asyncio.to_thread(self._sockets.make)
        tasks = self._tasks
        room = Room(desktop, self._settings, self._typing_refused, tasks)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.create_task(_serve(room, reader, writer))

        self._last += 1
        path = self._folder / f"{self._last}.sock"
        server = await asyncio.start_unix_server(accept, path)
        place = _Place(path, room, server)
        self._places[desktop.desktop_id] = place
        tasks.create_task(self._until_ended(place))
        return place

    async def _until_ended(self, place: _Place) -> None:
        desktop = place.room.desktop
        while not desktop.ended:
            with contextlib.suppress(TimeoutError):
                await desktop.until(lambda status: status.phase == "ended", LOOK_SECONDS)
        await self._drop(place)

    async def _drop(self, place: _Place) -> None:
        desktop_id = place.room.desktop.desktop_id
        if self._places.get(desktop_id) is place:
            del self._places[desktop_id]
        place.server.close()
        await asyncio.to_thread(place.path.unlink, missing_ok=True)

    async def close(self) -> None:
        """Listen no more, and remove the sockets."""
        for place in list(self._places.values()):
            place.server.close()
        self._places.clear()
        if self._folder is not None:
            await asyncio.to_thread(self._sockets.remove)


async def _serve(room: Room, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, whatever comes: a bad one must not end the runner."""
    try:
        await _attend(room, reader, writer)
    except (ViewerError, TimeoutError) as error:
        log.warning("a viewer's stream ended: %s", str(error) or "it did not say for whom")
    except Exception:
        log.exception("showing a desktop failed")
    finally:
        writer.close()


async def _attend(room: Room, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    messages = _messages(reader)
    async with asyncio.timeout(ATTACH_SECONDS):
        attach = await anext(messages, None)
    if attach is None:
        return
    if not isinstance(attach, Attach):
        raise ViewerError("the first message is `attach`")
    try:
        viewer = room.enter(attach, writer)
    except FullError:
        full = Problem(code="too-many-viewers", detail="This desktop has too many viewers already.")
        writer.write(v.framed(v.encode(full)))
        return
    try:
        await viewer.serve(messages)
    finally:
        room.leave(viewer)


async def _messages(
    reader: asyncio.StreamReader,
) -> AsyncIterator[v.FromControlPlane | v.FromViewer]:
    """What comes, until the end. Raises ViewerError."""
    deframer = Deframer(MAX_FROM_VIEWER)
    with contextlib.suppress(OSError):
        while data := await reader.read(READ):
            for message in deframer.feed(data):
                yield v.decode_from_control(message)
