"""The log as server-sent events (WHATWG HTML, 9.2): for `curl` and scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from earthshine.control.access import Actor
from earthshine.control.authorization import SessionRole
from earthshine.control.sessions.channel import Channel, Viewer
from earthshine.control.sessions.schemas import EventView
from earthshine.control.sessions.service import SessionService
from earthshine.protocols.events import Event

KEEP_ALIVE: Final = 15.0
"""Seconds of silence after which a comment is sent, for proxies and dead lines."""
PAGE: Final = 256 * 1024


async def server_sent_events(
    service: SessionService,
    channel: Channel,
    actor: Actor,
    role: SessionRole,
    cursor: int,
    view: Callable[[Event], EventView],
) -> AsyncIterator[bytes]:
    """Entries behind `cursor`, then those to come; ends when the session's log has ended."""
    viewer = Viewer(actor, role)
    channel.viewers.add(viewer)
    try:
        yield b": earthshine\n\n"
        while not viewer.put_out.is_set():
            viewer.changed.clear()
            page = await service.log.page(channel.record.id, cursor, PAGE)
            for event in page:
                cursor = event.seq
                body = view(event).model_dump_json(by_alias=True)
                yield f"id: {event.seq}\nevent: {view(event).kind}\ndata: {body}\n\n".encode()
            if page:
                continue
            if channel.record.is_final and cursor >= channel.last_seq:
                yield b"event: end\ndata: {}\n\n"
                return
            if cursor < channel.last_seq:
                await asyncio.sleep(0.02)  # being stored this moment
                continue
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    await viewer.changed.wait()
            except TimeoutError:
                yield b": still here\n\n"
    finally:
        channel.viewers.discard(viewer)
