"""Streams to runners on which files and recordings are carried (`protocols.transfer`)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import msgspec

from earthshine.control.dialing.service import DialService
from earthshine.control.errors import (
    ConflictError,
    DomainError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    RunnerUnavailableError,
)
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.net.bridge import TransportStream
from earthshine.net.transfer import TransferBrokenError, TransferLink
from earthshine.protocols.envelope import OpenTransfers, TransferPlace
from earthshine.protocols.transfer import Refused

_KINDS: dict[str, type[DomainError]] = {
    "no-file": NotFoundError,
    "no-folder": NotFoundError,
    "no-piece": NotFoundError,
    "bad-name": InvalidRequestError,
    "too-large": InvalidRequestError,
    "size": InvalidRequestError,
    "refused-by-policy": NotAllowedError,
}
_OPEN = OpenTransfers(request_id="")


class TransferLinks:
    """Opens them."""

    def __init__(self, runners: RunnerDirectory, dialing: DialService) -> None:
        self._runners = runners
        self._dialing = dialing

    @contextlib.asynccontextmanager
    async def opened(self, runner_id: str) -> AsyncIterator[TransferLink]:
        """A stream of one's own. Raises DomainError, also for one that breaks while in use."""
        answer = await self._runners.request(runner_id, None, _OPEN)
        try:
            place = msgspec.convert(answer, TransferPlace)
        except msgspec.ValidationError:
            raise RunnerUnavailableError(
                "The runner's answer makes no sense.",
                remedy="Its version may be another than this server's.",
            ) from None
        dialed = await self._dialing.dial(runner_id, place.destination)
        connection = dialed.take()
        stream = await TransportStream.on_socket(connection.sock, connection.early)
        try:
            yield TransferLink(stream)
        except TransferBrokenError as error:
            raise broken(error) from None
        finally:
            stream.abort()
            del dialed  # until here: revoking the runner ends the stream through it


def broken(error: TransferBrokenError) -> DomainError:
    """The stream to the runner is of no use any more."""
    return RunnerUnavailableError(
        f"The connection to the runner broke: {error}.", remedy="Try again in a moment."
    )


def refusal(refused: Refused) -> DomainError:
    """A runner's refusal, as people are told of it."""
    kind = _KINDS.get(refused.code, ConflictError)
    detail = refused.detail[:500].strip() or "The runner refused."
    remedy = refused.remedy[:300] if refused.remedy else None
    return kind(_sentence(detail), remedy=None if remedy is None else _sentence(remedy))


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")
