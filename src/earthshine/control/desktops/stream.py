"""One viewer's stream: messages between a WebSocket and the desktop's own stream on the runner.

Two directions, each with backpressure of its own, so that input never queues behind pictures. What
a viewer may not send is dropped here; whoever the stream is for was said to the desktop before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control.access import Permission
from earthshine.control.errors import DomainError
from earthshine.control.sessions.watching import Watcher
from earthshine.net.bridge import ByteStream
from earthshine.protocols import viewer
from earthshine.protocols.viewer import Attach, Deframer, Problem, RoleIs, ViewerError

CLOSE_NOT_ALLOWED: Final = 4003
CLOSE_PROTOCOL: Final = 4009
CLOSE_BROKEN: Final = 4011
"""The stream to the runner ended: come again."""
MAX_REFUSED: Final = 50
"""Messages that are not this protocol before the stream is closed."""
log = logging.getLogger(__name__)


class _EndedError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class DesktopStream:
    """Serves one viewer until either side ends."""

    def __init__(
        self,
        websocket: WebSocket,
        stream: ByteStream,
        watcher: Watcher,
        viewer_id: str,
        steered: Callable[[int], None],
    ) -> None:
        """`steered` hears the bytes of each message that steers, for the audit log."""
        self._websocket = websocket
        self._stream = stream
        self._watcher = watcher
        self._viewer_id = viewer_id
        self._steered = steered
        self._refused = 0

    async def serve(self) -> None:
        """Until the end. The WebSocket has been accepted; it is closed with words."""
        ended: _EndedError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._attach()
                tasks.create_task(self._pictures())
                tasks.create_task(self._input())
                tasks.create_task(self._roles())
        except* _EndedError as group:
            first = group.exceptions[0]
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            assert isinstance(first, _EndedError)
            ended = first
        except* (WebSocketDisconnect, RuntimeError, OSError):
            ended = None  # the viewer has gone
        finally:
            self._stream.abort()
        if ended is not None:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._websocket.close(ended.code, ended.reason)

    async def _attach(self) -> None:
        watcher = self._watcher
        await self._send(
            Attach(
                viewer=self._viewer_id,
                name=watcher.name[:200],
                role=watcher.role,
                may_control=watcher.may(Permission.SESSION_CONTROL),
            )
        )

    async def _send(self, message: viewer.Message) -> None:
        try:
            await self._stream.write(viewer.framed(viewer.encode(message)))
        except OSError:
            raise _broken() from None

    async def _pictures(self) -> None:
        """From the desktop. Nothing is queued here: a slow viewer stops the reading."""
        deframer = Deframer(viewer.MAX_FROM_DESKTOP)
        while True:
            try:
                data = await self._stream.read()
                messages = deframer.feed(data)
            except OSError:
                raise _broken() from None
            except ViewerError as error:
                log.warning("a desktop sent what cannot be read: %s", error)
                raise _broken() from None
            if not data:
                raise _broken()
            for message in messages:
                await self._websocket.send_bytes(message)

    async def _input(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            data: bytes = message.get("bytes") or b""
            try:
                wish = viewer.decode_from_viewer(data)
            except ViewerError as error:
                await self._refuse("invalid-message", str(error))
                continue
            if viewer.needs_control(wish):
                if not self._watcher.may(Permission.SESSION_CONTROL):
                    await self._refuse("not-allowed", "You may watch this desktop, not steer it.")
                    continue
                try:
                    self._steered(len(data))
                except DomainError as error:
                    await self._refuse(error.code, error.detail)
                    continue
            await self._send(wish)

    async def _refuse(self, code: str, detail: str) -> None:
        self._refused += 1
        if self._refused > MAX_REFUSED:
            raise _EndedError(CLOSE_PROTOCOL, "too many messages that could not be taken")
        problem = Problem(code=code, detail=detail[:300])
        await self._websocket.send_bytes(viewer.encode(problem))

    async def _roles(self) -> None:
        watcher = self._watcher
        told = (watcher.role, watcher.may(Permission.SESSION_CONTROL))
        while True:
            await watcher.changed.wait()
            watcher.changed.clear()
            if watcher.put_out.is_set():
                raise _EndedError(CLOSE_NOT_ALLOWED, "the session is not shared with you any more")
            role = (watcher.role, watcher.may(Permission.SESSION_CONTROL))
            if role != told:
                told = role
                await self._send(RoleIs(role=role[0], may_control=role[1]))


def _broken() -> _EndedError:
    return _EndedError(CLOSE_BROKEN, "the stream to the runner ended; come again")
