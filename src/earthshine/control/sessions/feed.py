"""One viewer's feed: stored entries, then live ones, without a seam; commands back.

Two tasks: one sends, at the pace of this viewer's line and screen, one receives. Nothing is queued
for a viewer but what the kernel holds: a slow one simply reads later, from the ring or from the
database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control import metrics
from earthshine.control.access import Actor, Permission
from earthshine.control.authorization import SessionRole
from earthshine.control.errors import DomainError, InvalidRequestError, NotAllowedError
from earthshine.control.problems import close_code
from earthshine.control.sessions.channel import Channel, Entry, Viewer
from earthshine.control.sessions.service import SessionService
from earthshine.protocols import feed
from earthshine.protocols.feed import FeedError

BATCH: Final = 128 * 1024
"""Bytes of records in one message."""
PAGE: Final = 1024 * 1024
"""Bytes read from the database at once."""
MAX_VIEWERS: Final = 200
"""Viewers of one session."""
CURSOR_WAIT: Final = 30.0
"""Seconds that a cursor may be ahead of the log: after our restart its runner may yet replay."""
MAX_REFUSED: Final = 50
"""Messages that are not this protocol before the feed is closed."""
CLOSE_AHEAD: Final = 4010
CLOSE_NOT_ALLOWED: Final = 4003
CLOSE_PROTOCOL: Final = 4009
CLOSE_TOO_MANY: Final = 4008
log = logging.getLogger(__name__)


class _ClosedError(Exception):
    """The feed ends with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Feed:
    """Serves one viewer."""

    def __init__(
        self,
        websocket: WebSocket,
        service: SessionService,
        actor: Actor,
        channel: Channel,
        *,
        after: int,
        window: int | None,
        role: SessionRole,
    ) -> None:
        self._websocket = websocket
        self._service = service
        self._actor = actor
        self._channel = channel
        self._cursor = after
        self._live_from = channel.last_seq
        self._told_live = False
        self._told_lead: tuple[bool, str] | None = None
        self._window = window
        self._acked_bytes = 0
        self._sent_bytes = 0
        self._page: list[Entry] = []
        """Entries read from the database and not sent yet."""
        self._under_way: list[tuple[int, int]] = []
        self._viewer = Viewer(actor, role)
        self._told_role = role
        self._refused = 0
        self._to_say: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=64)

    async def serve(self) -> None:
        """Until either side ends it."""
        channel = self._channel
        if len(channel.viewers) >= MAX_VIEWERS:
            await self._websocket.close(CLOSE_TOO_MANY, "too many viewers")
            return
        channel.viewers.add(self._viewer)
        metrics.VIEWERS.inc()
        try:
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(self._receive(tasks))
                tasks.create_task(self._send(receiving))
                tasks.create_task(self._until_put_out())
        except* _ClosedError as group:
            closed = group.exceptions[0]
            while isinstance(closed, BaseExceptionGroup):
                closed = closed.exceptions[0]
            assert isinstance(closed, _ClosedError)
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._websocket.close(closed.code, closed.reason)
        except* (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the viewer has gone
        finally:
            channel.viewers.discard(self._viewer)
            metrics.VIEWERS.dec()
            if channel.leader is self._viewer:
                self._service.lead(channel, None)

    # --- to the viewer ---------------------------------------------------------------------------

    async def _send(self, receiving: asyncio.Task[None]) -> None:
        await self._say(
            {
                "type": "hello",
                "session": await self._session(),
                "firstSeq": 1,
                "lastSeq": self._channel.last_seq,
                **self._role(),
            }
        )
        self._viewer.session_changed = False
        await self._settle_cursor()
        while not receiving.done():
            self._viewer.changed.clear()
            while not self._to_say.empty():
                await self._say(self._to_say.get_nowait())
            await self._tell_changes()
            if await self._send_entries():
                continue
            if not self._told_live and self._cursor >= self._live_from:
                self._told_live = True
                await self._say({"type": "live", "seq": self._cursor})
                continue
            await self._viewer.changed.wait()

    def _role(self) -> dict[str, Any]:
        viewer = self._viewer
        self._told_role = viewer.role
        return {"role": viewer.role, "canControl": viewer.may(Permission.SESSION_CONTROL)}

    async def _until_put_out(self) -> None:
        """Ends the feed also when it is held up by a viewer that does not read."""
        await self._viewer.put_out.wait()
        raise _ClosedError(CLOSE_NOT_ALLOWED, "the session is not shared with you any more")

    async def _settle_cursor(self) -> None:
        """A cursor ahead of the log: its entries come again, or it belongs to another log."""
        channel = self._channel
        if self._cursor <= channel.last_seq:
            return
        try:
            async with asyncio.timeout(0 if channel.record.is_final else CURSOR_WAIT):
                while self._cursor > channel.last_seq:
                    self._viewer.changed.clear()
                    await self._viewer.changed.wait()
                    await self._tell_changes()
        except TimeoutError:
            raise _ClosedError(CLOSE_AHEAD, "the cursor is ahead of the log") from None

    async def _tell_changes(self) -> None:
        channel = self._channel
        if self._viewer.session_changed:
            self._viewer.session_changed = False
            if self._service.is_removed(channel):
                raise _ClosedError(4004, "the session was deleted")
            await self._say({"type": "session", "session": await self._session()})
        if self._viewer.role is not self._told_role:
            await self._say({"type": "role", **self._role()})
        lead = (channel.leader is self._viewer, channel.leader.name if channel.leader else "")
        if lead != self._told_lead:
            self._told_lead = lead
            await self._say({"type": "lead", "you": lead[0], "name": lead[1]})

    async def _send_entries(self) -> bool:
        """Send some entries; False when there are none, or none may be sent now."""
        limit = BATCH
        if self._window is not None:
            limit = min(limit, self._window - (self._sent_bytes - self._acked_bytes))
            if limit <= 0:
                return False
        entries = self._page or self._channel.after(self._cursor, limit)
        if entries is None:
            entries = self._page = await self._stored()
        if not entries:
            return False
        count = size = 0
        while count < len(entries) and (count == 0 or size + len(entries[count].data) <= limit):
            size += len(entries[count].data)
            count += 1
        last = entries[count - 1].seq
        message = b"".join([entry.data for entry in entries[:count]])
        self._page = self._page[count:]
        await self._websocket.send_bytes(message)
        self._cursor = last
        if self._window is not None:
            self._sent_bytes += len(message)
            self._under_way.append((last, self._sent_bytes))
        return True

    async def _stored(self) -> list[Entry]:
        page = await self._service.log.page(self._channel.record.id, self._cursor, PAGE)
        return [Entry(event.seq, event.seq, feed.record(event)) for event in page]

    async def _session(self) -> dict[str, Any]:
        view = await self._service.view(self._channel)
        return view.model_dump(by_alias=True, mode="json")

    async def _say(self, message: dict[str, Any]) -> None:
        await self._websocket.send_text(msgspec.json.encode(message).decode())

    def _answer(self, message: dict[str, Any]) -> None:
        """Say something from the receiving side; a viewer that does not read loses the answer."""
        with contextlib.suppress(asyncio.QueueFull):
            self._to_say.put_nowait(message)
        self._viewer.changed.set()

    # --- from the viewer -------------------------------------------------------------------------

    async def _receive(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            data, text = message.get("bytes"), message.get("text")
            try:
                if data is not None:
                    self._type(data)
                elif text is not None:
                    self._obey(feed.decode(text), tasks)
            except FeedError as error:
                self._refuse({"code": "invalid-message", "detail": str(error)[:300]})
            except DomainError as error:
                # Typing while the runner is away is no reason to be thrown out.
                metrics.REFUSED_FEED.inc()
                self._answer({"type": "error", **_words(error)})

    def _refuse(self, words: dict[str, Any]) -> None:
        metrics.REFUSED_FEED.inc()
        self._refused += 1
        if self._refused > MAX_REFUSED:
            raise _ClosedError(CLOSE_PROTOCOL, "too many messages that could not be taken")
        self._answer({"type": "error", **words})

    def _type(self, data: bytes) -> None:
        self._require_control()
        if len(data) > feed.MAX_INPUT:
            raise InvalidRequestError(f"At most {feed.MAX_INPUT} bytes of input at once.")
        if data:
            self._service.lead(self._channel, self._viewer)
            self._service.type_into(self._channel, data)

    def _require_control(self) -> None:
        if not self._viewer.may(Permission.SESSION_CONTROL):
            raise NotAllowedError("You may watch this session, not control it.")

    def _obey(self, message: feed.FromClient, tasks: asyncio.TaskGroup) -> None:
        match message:
            case feed.Ack():
                self._acked(message.seq)
            case feed.Ping():
                self._answer({"type": "pong", "ts": message.ts})
            case feed.Resize():
                self._resize(message.cols, message.rows)
            case feed.Lead():
                self._require_control()
                self._service.lead(self._channel, self._viewer)
            case feed.Prompt() | feed.Interrupt():
                self._require_control()
                tasks.create_task(self._steer(message))

    def _acked(self, seq: int) -> None:
        done = 0
        for last, size in self._under_way:
            if last > seq:
                break
            self._acked_bytes = size
            done += 1
        del self._under_way[:done]
        self._viewer.changed.set()

    def _resize(self, cols: int, rows: int) -> None:
        self._viewer.size = (cols, rows)
        if not self._viewer.may(Permission.SESSION_CONTROL):
            return
        if self._channel.leader is None:
            self._service.lead(self._channel, self._viewer)
        elif self._channel.leader is self._viewer:
            self._service.resize_terminal(self._channel, cols, rows)

    async def _steer(self, message: feed.Prompt | feed.Interrupt) -> None:
        session_id, command_id = self._channel.record.id, message.command_id
        try:
            if isinstance(message, feed.Prompt):
                await self._service.prompt(self._actor, session_id, message.text, command_id)
            else:
                await self._service.interrupt(self._actor, session_id, command_id)
        except DomainError as error:
            self._answer({"type": "error", "commandId": command_id, **_words(error)})
        else:
            self._answer({"type": "accepted", "commandId": command_id})


def _words(error: DomainError) -> dict[str, Any]:
    words = {"code": error.code, "detail": error.detail}
    return words | {"remedy": error.remedy} if error.remedy else words


async def open_feed(
    websocket: WebSocket, service: SessionService, actor: Actor, session_id: str
) -> None:
    """Check the request and serve the feed. The socket has been accepted."""
    try:
        after, window = _position(websocket)
        channel = await service.watch(actor, session_id)
        role = await service.role(actor, session_id)
    except DomainError as error:
        await websocket.close(close_code(error), error.detail[:100])
        return
    await Feed(websocket, service, actor, channel, after=after, window=window, role=role).serve()


def _position(websocket: WebSocket) -> tuple[int, int | None]:
    after = _number(websocket.query_params.get("after", "0"), "after", 0, 2**62)
    text = websocket.query_params.get("window")
    if text is None:
        return after, None
    return after, _number(text, "window", feed.MIN_WINDOW, feed.MAX_WINDOW)


def _number(text: str, name: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise InvalidRequestError(f"{name} is not a number.")
    if not least <= int(text) <= most:
        raise InvalidRequestError(f"{name} must be from {least} to {most}.")
    return int(text)
