"""What people can do with a session's files: send, list, fetch.

Bytes pass through and are never kept here: each piece waits until the next hop has taken the one
before. A file is recorded in the audit log before it is complete on the runner, or before the
first byte of it is told, so that nothing moves that was not recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.errors import ConflictError, InvalidRequestError, TooManyError
from earthshine.control.sessions.channel import Channel
from earthshine.control.transfers.links import TransferLinks, broken, refusal
from earthshine.control.transfers.schemas import FileList, FileStored, FileView
from earthshine.net.transfer import TransferBrokenError, TransferLink
from earthshine.protocols import filenames
from earthshine.protocols.transfer import (
    Answer,
    Event,
    Files,
    GetFile,
    ListFiles,
    PutFile,
    Ready,
    Refused,
    Request,
    Said,
    Stored,
)

MAX_TRANSFERS: Final = 16
"""Of one person at once."""
BODY_SECONDS: Final = 60.0
"""A sender from whom nothing comes for so long is given up."""
_MAX_TIME: Final = 253402300799000


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on its way out."""

    name: str
    size: int
    pieces: AsyncIterator[bytes]


class FileService:
    """Sending, listing, fetching."""

    def __init__(
        self,
        access: Access,
        links: TransferLinks,
        channel: Callable[[str], Awaitable[Channel]],
        trail: Trail,
    ) -> None:
        """`channel` of a session, as `SessionService` gives it."""
        self.access = access
        self._links = links
        self._channel = channel
        self._trail = trail
        self._under_way: dict[str, int] = {}

    @permits(Permission.SESSION_CONTROL)
    async def list(self, actor: Actor, session_id: str) -> FileList:
        """What can be fetched."""
        record = (await self._channel(session_id)).record
        async with self._links.opened(record.runner_id) as link:
            answer = await _ask(link, ListFiles(session=session_id, by=actor.name))
        if not isinstance(answer, Files):
            raise broken(TransferBrokenError("it answered something else"))
        return FileList(
            folder=answer.folder,
            files=[
                FileView(
                    name=entry.name,
                    size=entry.size,
                    modified_at=datetime.fromtimestamp(
                        min(max(entry.modified, 0), _MAX_TIME) / 1000, UTC
                    ),
                )
                for entry in answer.files
                if filenames.is_fine(entry.name)
            ],
            unlisted=answer.unlisted,
            max_file=answer.max_file,
            max_total=answer.max_total,
        )

    @permits(Permission.SESSION_CONTROL)
    async def put(
        self,
        actor: Actor,
        session_id: str,
        name: str,
        size: int,
        body: AsyncIterator[bytes],
        *,
        replace: bool,
    ) -> FileStored:
        """Send a file of `size` bytes. A `body` that breaks off leaves nothing.

        Raises ConflictError for a name that is taken, where it is not to be replaced.
        """
        _check(name)
        record = (await self._channel(session_id)).record
        if record.is_final:
            raise ConflictError(
                "The session has ended: nobody would read the file.", remedy="Start a new one."
            )
        with self._one_more(actor):
            async with self._links.opened(record.runner_id) as link:
                wanted = PutFile(
                    session=session_id, name=name, size=size, replace=replace, by=actor.name
                )
                if not isinstance(await _ask(link, wanted), Ready):
                    raise broken(TransferBrokenError("it answered something else"))
                answering = asyncio.ensure_future(link.hear(patient=True))
                try:
                    whole = await _pass_on(link, body, answering)
                    if whole:
                        # The runner has every byte and gives the file its name after this only.
                        await self._record(
                            AuditKind.FILE_UPLOADED, actor, record.runner_id, session_id, name, size
                        )
                        await link.end()
                    answer = _said(await answering)
                finally:
                    answering.cancel()
                    await asyncio.gather(answering, return_exceptions=True)
        if not isinstance(answer, Stored):
            raise broken(TransferBrokenError("it answered something else"))
        return FileStored(name=name, size=size, path=answer.path)

    @contextlib.asynccontextmanager
    async def fetching(self, actor: Actor, session_id: str, name: str) -> AsyncIterator[Fetched]:
        """A file, for as long as the context lasts."""
        runner_id = await self.readable(actor, session_id)
        _check(name)
        with self._one_more(actor):
            async with self._links.opened(runner_id) as link:
                answer = await _ask(link, GetFile(session=session_id, name=name, by=actor.name))
                if not isinstance(answer, Ready):
                    raise broken(TransferBrokenError("it answered something else"))
                await self._record(
                    AuditKind.FILE_DOWNLOADED, actor, runner_id, session_id, name, answer.size
                )
                yield Fetched(name, answer.size, link.pieces())

    @permits(Permission.SESSION_CONTROL)
    async def readable(self, actor: Actor, session_id: str) -> str:
        """The runner that has the session's files, for somebody who may fetch them."""
        return (await self._channel(session_id)).record.runner_id

    async def _record(
        self, kind: AuditKind, actor: Actor, runner_id: str, session_id: str, name: str, size: int
    ) -> None:
        await self._trail.record(
            kind,
            actor,
            subject=name,
            session_id=session_id,
            runner_id=runner_id,
            details={"name": name, "size": size},
        )

    @contextlib.contextmanager
    def _one_more(self, actor: Actor) -> Iterator[None]:
        count = self._under_way.get(actor.person_id, 0)
        if count >= MAX_TRANSFERS:
            raise TooManyError(
                f"{MAX_TRANSFERS} of your transfers are under way.",
                remedy="Try again when some have ended.",
            )
        self._under_way[actor.person_id] = count + 1
        try:
            yield
        finally:
            self._under_way[actor.person_id] -= 1
            if not self._under_way[actor.person_id]:
                del self._under_way[actor.person_id]


async def _pass_on(
    link: TransferLink, body: AsyncIterator[bytes], answering: asyncio.Future[Event]
) -> bool:
    """All of the body; False where the runner has spoken before its end."""
    pieces = aiter(body)
    while True:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                data = await anext(pieces, None)
        except TimeoutError:
            raise InvalidRequestError(
                f"Nothing came for {BODY_SECONDS:.0f} s: the file was given up.",
                remedy="Send it again.",
            ) from None
        if answering.done():
            return False
        if data is None:
            return True
        await link.send(data)


async def _ask(link: TransferLink, request: Request) -> Answer | Request:
    await link.say(request)
    return _said(await link.hear())


def _said(event: Event) -> Answer | Request:
    if not isinstance(event, Said):
        raise TransferBrokenError("a message was due")
    if isinstance(event.message, Refused):
        raise refusal(event.message)
    return event.message


def _check(name: str) -> None:
    try:
        filenames.check(name)
    except ValueError as error:
        words = str(error) or "that is no name for a file"
        raise InvalidRequestError(
            f"{words[:1].upper()}{words[1:]}.", remedy="Rename the file and send it again."
        ) from None
