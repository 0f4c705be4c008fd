"""How a gateway ends: orderly, or with an error that names the part and the remedy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from enum import Enum
from typing import Any, Final

from .browser import BrowserLeftError

MAX_CLOSE_REASON: Final = 123
"""Bytes of a WebSocket's close reason (RFC 6455, 5.5)."""
CLOSE_FAILED: Final = 1011
CLOSE_REFUSED: Final = 1008


class Part(Enum):
    """What failed."""

    BROWSER = "browser"
    VNC_SERVER = "VNC server"
    RDP_SERVER = "RDP server"
    GUACD = "guacd"
    DESKTOP = "desktop behind guacd"


class Ending(Enum):
    """Which side ended an orderly connection."""

    BROWSER = "browser"
    SERVER = "server"


class GatewayError(Exception):
    """A gateway could not do its work: `part` failed, `detail` says how, `remedy` what to do.

    `close` are code and reason for the browser's WebSocket.
    """

    def __init__(
        self,
        part: Part,
        detail: str,
        *,
        remedy: str | None = None,
        close: tuple[int, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.part = part
        self.detail = detail
        self.remedy = remedy
        self.close = close or (CLOSE_FAILED, close_reason(detail))


def close_reason(text: str) -> str:
    """As much of a text as fits into a close reason."""
    return text.encode("utf-8", "replace")[:MAX_CLOSE_REASON].decode("utf-8", "ignore")


@contextlib.asynccontextmanager
async def stage(
    part: Part, awaited: str, seconds: float, *, remedy: str | None = None
) -> AsyncIterator[None]:
    """What happens inside must be done within `seconds`, or it is a GatewayError of `part`.

    BrowserLeftError passes; other breaks of a connection are those of `part`.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise GatewayError(
            part, f"The {part.value} did not send {awaited} within {seconds:g} s.", remedy=remedy
        ) from None
    except BrowserLeftError:
        raise
    except OSError as error:
        raise GatewayError(
            part, f"The connection to the {part.value} broke while waiting for {awaited}."
        ) from error


class _Over(Exception):  # noqa: N818 - not an error: one direction has ended
    def __init__(self, ending: Ending) -> None:
        self.ending = ending


async def until_one_ends(*directions: Coroutine[Any, Any, Ending]) -> Ending:
    """Run the directions of a connection until the first ends or fails; then stop the others."""

    async def run(direction: Coroutine[Any, Any, Ending]) -> None:
        raise _Over(await direction)

    endings: list[Ending] = []
    failures: list[GatewayError] = []
    try:
        async with asyncio.TaskGroup() as group:
            for direction in directions:
                group.create_task(run(direction))
    except* _Over as over:
        endings = [one.ending for one in over.exceptions if isinstance(one, _Over)]
    except* GatewayError as errors:
        failures = [one for one in errors.exceptions if isinstance(one, GatewayError)]
    if failures:
        raise failures[0]
    return endings[0]
