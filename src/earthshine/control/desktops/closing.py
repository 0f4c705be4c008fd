"""How desktops' sockets end: a close code, and words that name the part and the remedy."""

from __future__ import annotations

from typing import Final

from earthshine.control.errors import (
    ConflictError,
    DialFailedError,
    DomainError,
    PartMissingError,
    RunnerUnavailableError,
)
from earthshine.control.problems import close_code
from earthshine.control.runners.connection import CommandRefusedError
from earthshine.net.desktop_gateways import GatewayError, Part

CLOSE_NOT_ALLOWED: Final = 4003
CLOSE_NOT_FOUND: Final = 4004
CLOSE_PROTOCOL: Final = 4009
CLOSE_BROKEN: Final = 4011
"""Something on the way broke: come again."""
CLOSE_PART_MISSING: Final = 4013
"""A program that is needed is not there: the reason names it and what to do."""
MAX_REASON: Final = 120
"""Bytes of a close reason."""
NOT_SHARED: Final = (CLOSE_NOT_ALLOWED, "the session is not shared with you any more")
ENDED: Final = (CLOSE_BROKEN, "the desktop ended the connection; come again")
_MISSING: Final = frozenset({"no-vnc", "rdp-missing", "rdp-not-possible", "desktops-off"})
"""Why runners refuse, where something has to be installed or set."""
_GUACD_SILENT: Final = "514"
"""guacd's way of saying that it lacks the plugin: nothing."""


def closing(error: DomainError | GatewayError) -> tuple[int, str]:
    """Code and reason for an error."""
    return _code(error), reason(error.detail, error.remedy)


def reason(detail: str, remedy: str | None) -> str:
    """As much as fits, the remedy before the end of the detail."""
    words = detail if not remedy else f"{detail} {remedy}"
    if remedy and len(words.encode()) > MAX_REASON:
        room = MAX_REASON - len(remedy.encode()) - 1
        words = f"{cut(detail, room)} {remedy}" if room > MAX_REASON // 3 else detail
    return cut(words)


def cut(text: str, size: int = MAX_REASON) -> str:
    """As many whole characters as fit into `size` bytes."""
    return text.encode()[:size].decode("utf-8", "ignore")


def _code(error: DomainError | GatewayError) -> int:
    match error:
        case GatewayError(part=Part.BROWSER):
            return CLOSE_PROTOCOL
        case GatewayError(part=Part.GUACD) if error.close[1].startswith(_GUACD_SILENT):
            return CLOSE_PART_MISSING
        case GatewayError() | RunnerUnavailableError() | DialFailedError():
            return CLOSE_BROKEN
        case PartMissingError():
            return CLOSE_PART_MISSING
        case CommandRefusedError() if error.reason in _MISSING:
            return CLOSE_PART_MISSING
        case CommandRefusedError() if error.reason != "no-desktop":
            return CLOSE_BROKEN
        case ConflictError():
            return CLOSE_NOT_FOUND
        case _:
            return close_code(error)
