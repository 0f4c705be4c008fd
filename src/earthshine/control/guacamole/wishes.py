"""What a page asks of a Guacamole tunnel, in the query of its WebSocket."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from starlette.datastructures import QueryParams

from earthshine.control.errors import InvalidRequestError
from earthshine.protocols.guacamole import Screen

Protocol = Literal["vnc", "rdp", "ssh"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("vnc", "rdp", "ssh")
SIZES: Final = range(64, 8193)
"""Pixels of a side."""
RESOLUTIONS: Final = range(48, 481)
"""Pixels per inch."""
MAX_TYPES: Final = 8
IMAGES: Final = ("image/png", "image/jpeg")
_TYPE: Final = re.compile(r"(audio|image)/[a-zA-Z0-9.+-]{1,40}(;[a-z]+=[a-z0-9]{1,8}){0,4}")
_TIMEZONE: Final = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_YES: Final = frozenset({"1", "true", "yes"})


@dataclass(frozen=True, slots=True)
class Wish:
    """A new connection by `protocol`, or to `join` one that runs."""

    protocol: Protocol = "vnc"
    screen: Screen = field(default_factory=lambda: Screen(1024, 768))
    timezone: str | None = None
    audio: tuple[str, ...] = ()
    image: tuple[str, ...] = IMAGES
    read_only: bool = False
    join: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> Wish:
        """Raises InvalidRequestError."""
        protocol = query.get("protocol", "vnc")
        if protocol not in PROTOCOLS:
            raise InvalidRequestError(f"`protocol` is one of {', '.join(PROTOCOLS)}.")
        timezone = query.get("timezone") or None
        if timezone is not None and not _TIMEZONE.fullmatch(timezone):
            raise InvalidRequestError("`timezone` is a name such as Europe/Berlin.")
        return cls(
            protocol=protocol,
            screen=Screen(
                _number(query, "width", SIZES, 1024),
                _number(query, "height", SIZES, 768),
                _number(query, "dpi", RESOLUTIONS, 96),
            ),
            timezone=timezone,
            audio=_types(query, "audio"),
            image=_types(query, "image") or IMAGES,
            read_only=query.get("read_only", "").lower() in _YES,
            join=query.get("join", "")[:80],
        )


def _number(query: QueryParams, name: str, allowed: range, default: int) -> int:
    text = query.get(name) or str(default)
    # Not isdigit alone: that takes digits which int() does not.
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) in allowed):
        raise InvalidRequestError(f"`{name}` is from {allowed[0]} to {allowed[-1]}.")
    return int(text)


def _types(query: QueryParams, name: str) -> tuple[str, ...]:
    """Media types in order of preference; the parameter comes again for each."""
    found = tuple(text for text in query.getlist(name) if text)
    if len(found) > MAX_TYPES or not all(_TYPE.fullmatch(one) for one in found):
        raise InvalidRequestError(f"`{name}` is a media type, at most {MAX_TYPES} times.")
    return found
