"""Answers whose bytes come from elsewhere, and may stop coming."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from earthshine.control.errors import DomainError

log = logging.getLogger(__name__)


class Streamed(StreamingResponse):
    """Lets go of what it holds however the answer ends, also before its first byte.

    Once an answer has begun an error can only break it off: the server closes the connection of
    one that is left incomplete, so nobody takes a part for the whole.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        kept: contextlib.AsyncExitStack | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pieces, **options)
        self._kept = kept or contextlib.AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `StreamingResponse`."""
        try:
            async with self._kept:
                await super().__call__(scope, receive, send)
        except (DomainError, OSError) as error:
            log.info("an answer was broken off: %s", error)
