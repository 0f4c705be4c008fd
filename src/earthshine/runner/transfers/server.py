"""Where streams with files and recordings arrive: one UNIX socket, which the control plane dials.

It lies in a folder of this user only. For whom a stream is, and what they may do in the session,
the control plane has checked; this machine's policy is asked here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, Protocol

from earthshine.net.bridge import TransportStream
from earthshine.net.transfer import TransferBrokenError, TransferLink
from earthshine.protocols.transfer import (
    MAX_PIECE,
    Answer,
    Dropped,
    DropSegment,
    FileEnded,
    GetFile,
    GetSegment,
    ListFiles,
    ListSegments,
    PieceCame,
    PutFile,
    Ready,
    Refused,
    Request,
    Said,
    Segments,
    Stored,
)
from earthshine.runner.policy.rules import Policy, PolicyRefusedError
from earthshine.runner.sockets import SocketFolder
from earthshine.runner.transfers.folders import FileError, FileFolders, Unfinished, write

MAX_STREAMS: Final = 32
"""Streams of this kind at once."""
IDLE_SECONDS: Final = 120.0
"""How long a stream may wait for its next request."""
PREFIX: Final = "earthshine-transfers-"
RECORD: Final = "transfers-folder"
log = logging.getLogger(__name__)


class Recorded(Protocol):
    """What was recorded and waits to be fetched. Reads the disk; for a thread."""

    def segments(self) -> Segments:
        """Pieces, oldest first."""
        ...

    def read(self, session_id: str, recording: str, number: int) -> tuple[IO[bytes], int]:
        """A piece's bytes and how many. Raises FileError."""
        ...

    def drop(self, session_id: str, recording: str, number: int) -> None:
        """It is stored elsewhere now."""
        ...


class TransferServer:
    """Serves them. `begin`, and `close` at the end."""

    def __init__(
        self,
        state: Path,
        folders: FileFolders,
        recorded: Recorded,
        policy: Callable[[], Policy] = Policy,
    ) -> None:
        self._sockets = SocketFolder(state / RECORD, PREFIX)
        self._folders = folders
        self._recorded = recorded
        self._policy = policy
        self._path: Path | None = None
        self._server: asyncio.Server | None = None
        self._opening = asyncio.Lock()
        self._streams = 0
        self._tasks: asyncio.TaskGroup | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Streams are served in `tasks`."""
        self._tasks = tasks

    def serves(self, path: str) -> bool:
        """Whether this is our socket."""
        return self._path is not None and str(self._path) == path

    async def place(self) -> Path:
        """The socket. Raises OSError."""
        async with self._opening:
            if self._path is None:
                folder = await asyncio.to_thread(self._sockets.make)
                path = folder / "transfers.sock"
                self._server = await asyncio.start_unix_server(self._accept, path)
                self._path = path
            return self._path

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._serve(TransportStream(reader, writer)))

    async def close(self) -> None:
        """Listen no more, and remove the socket."""
        if self._server is not None:
            self._server.close()
        await asyncio.to_thread(self._sockets.remove)

    async def _serve(self, stream: TransportStream) -> None:
        """One stream, whatever comes: a bad one must not end the runner."""
        self._streams += 1
        link = TransferLink(stream)
        try:
            if self._streams > MAX_STREAMS:
                await link.say(
                    Refused(
                        code="too-many",
                        detail=f"{MAX_STREAMS} transfers are under way",
                        remedy="try again when some have ended",
                    )
                )
            else:
                await self._answer_all(link)
        except TransferBrokenError as error:
            log.debug("a transfer ended: %s", error)
        except Exception:
            log.exception("a transfer failed")
        finally:
            self._streams -= 1
            stream.abort()

    async def _answer_all(self, link: TransferLink) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    request = await link.message(patient=True)
            except TimeoutError:
                return None
            try:
                answer = await self._carry_out(link, request)
            except (FileError, PolicyRefusedError) as error:
                answer = Refused(code=error.code, detail=error.detail, remedy=error.remedy)
                await link.say(answer)
                if isinstance(request, PutFile):
                    return await _rest(link)  # whose bytes may be on their way
            else:
                if answer is not None:
                    await link.say(answer)

    async def _carry_out(self, link: TransferLink, request: Request | Answer) -> Answer | None:
        match request:
            case PutFile():
                return await self._put(link, request)
            case GetFile(session=session, name=name, by=by):
                self._policy().check_files(by)
                opened = await asyncio.to_thread(self._folders.read, session, name)
                await _send(link, *opened)
                return None
            case ListFiles(session=session, by=by):
                self._policy().check_files(by)
                return await asyncio.to_thread(self._folders.list, session)
            case ListSegments():
                return await asyncio.to_thread(self._recorded.segments)
            case GetSegment(session=session, recording=recording, number=number):
                opened = await asyncio.to_thread(self._recorded.read, session, recording, number)
                await _send(link, *opened)
                return None
            case DropSegment(session=session, recording=recording, number=number):
                await asyncio.to_thread(self._recorded.drop, session, recording, number)
                return Dropped()
            case _:
                raise TransferBrokenError("an answer where a request was due")

    async def _put(self, link: TransferLink, request: PutFile) -> Stored:
        self._policy().check_files(request.by)
        session, replace = request.session, request.replace
        unfinished = await asyncio.to_thread(
            self._folders.begin, session, request.name, request.size, replace=replace
        )
        try:
            await link.say(Ready(size=request.size))
            await self._receive(link, unfinished)
            await asyncio.to_thread(self._folders.finish, session, unfinished, replace=replace)
        finally:
            await asyncio.to_thread(self._folders.discard, session, unfinished)
        log.info("a file came", extra={"session": session, "bytes": request.size})
        return Stored(path=str(unfinished.path))

    async def _receive(self, link: TransferLink, unfinished: Unfinished) -> None:
        received = 0
        while True:
            match await link.hear():
                case PieceCame(data):
                    received += len(data)
                    if received > unfinished.size:
                        raise FileError("size", "more bytes came than were announced")
                    await asyncio.to_thread(write, unfinished, data)
                case FileEnded():
                    if received != unfinished.size:
                        raise FileError("size", "fewer bytes came than were announced")
                    return
                case Said():
                    raise TransferBrokenError("a message in the middle of a file")


async def _send(link: TransferLink, file: IO[bytes], size: int) -> None:
    """A file's bytes as they are now; one that shrinks meanwhile breaks the stream off."""
    try:
        await link.say(Ready(size=size))
        left = size
        while left:
            data = await asyncio.to_thread(file.read, min(left, MAX_PIECE))
            if not data:
                raise TransferBrokenError("the file became shorter")
            left -= len(data)
            await link.send(data)
        await link.end()
    except OSError as error:
        if isinstance(error, TransferBrokenError):
            raise
        raise TransferBrokenError(f"the file cannot be read: {error.strerror}") from None
    finally:
        file.close()


async def _rest(link: TransferLink) -> None:
    """Until whoever sends has heard our word and hangs up."""
    with contextlib.suppress(TransferBrokenError):
        while True:
            await link.hear()
