"""A scripted session of the fake control plane: its view, its log and who watches it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.websockets import WebSocket

KINDS = {
    "output": 1,
    "started": 2,
    "resized": 3,
    "prompted": 4,
    "interrupted": 5,
    "stopping": 6,
    "exited": 7,
    "failed": 8,
    "gap": 9,
}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Record:
    seq: int
    ts: int
    kind: str
    data: bytes

    def packed(self) -> bytes:
        return struct.pack(">QQBI", self.seq, self.ts, KINDS[self.kind], len(self.data)) + self.data


@dataclass
class FakeSession:
    view: dict[str, Any]
    log: list[Record] = field(default_factory=list)
    feeds: set[FakeFeed] = field(default_factory=set)
    leader: FakeFeed | None = None
    typed: bytearray = field(default_factory=bytearray)
    prompts: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    commands: dict[str, int] = field(default_factory=dict)
    on_typed: Callable[[FakeSession, bytes], None] = lambda _session, _data: None
    on_resized: Callable[[FakeSession], bytes] = lambda _session: b""
    """What the program prints after a resize."""


@dataclass(eq=False)
class FakeFeed:
    socket: WebSocket
    cursor: int
    window: int
    acked: int = 0
    live: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    close_with: int | None = None
