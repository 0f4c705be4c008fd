"""The open previews, the tickets that are out, and the browsers that have entered.

In memory: after a restart of the control plane a preview is opened again, which takes a click.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from earthshine.control.access import Actor
from earthshine.control.errors import NotFoundError, TooManyError

from .headers import Names

PREVIEW_SECONDS: Final = 12 * 3600.0
TICKET_SECONDS: Final = 60.0
MAX_PREVIEWS: Final = 500
MAX_PER_SESSION: Final = 20
MAX_TICKETS: Final = 1000
MAX_VISITS: Final = 100
"""Browsers in one preview; the oldest is put out for a new one."""
SECRET_BYTES: Final = 32
ID_BYTES: Final = 15


@dataclass(slots=True, eq=False)
class Visit:
    """One browser in one preview."""

    actor: Actor
    expires: float
    checked: float
    """When its permission was last confirmed."""
    enders: set[Callable[[], None]] = field(default_factory=set)
    """Each ends one request or stream that is under way."""

    def end(self) -> None:
        """End whatever is under way."""
        for ender in list(self.enders):
            ender()
        self.enders.clear()


@dataclass(slots=True, eq=False)
class Preview:
    """A port of a session's runner and the address it is shown at."""

    id: str
    session_id: str
    runner_id: str
    port: int
    origin: str
    listening_port: int
    """The local port on which its requests arrive."""
    expires: float
    visits: dict[bytes, Visit] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The exact Host of its requests."""
        return self.origin.partition("://")[2]

    @property
    def names(self) -> Names:
        """For rewriting headers."""
        return Names(self.origin, self.port)

    @property
    def cookie(self) -> str:
        """The name of its cookie. Hosts share cookies among ports, so the name tells them apart."""
        prefix = "__Host-" if self.origin.startswith("https:") else ""
        return f"{prefix}earthshine-preview-{self.id}"

    @property
    def set_cookie(self) -> str:
        """Its attributes. Host-only, and out of reach of the page's scripts."""
        secure = "; Secure" if self.origin.startswith("https:") else ""
        return f"; Path=/; HttpOnly; SameSite=Lax; Max-Age={int(PREVIEW_SECONDS)}{secure}"


@dataclass(frozen=True, slots=True)
class _Ticket:
    preview: Preview
    actor: Actor
    expires: float


class PreviewBook:
    """Belongs to one event loop. Only digests of secrets are kept."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._previews: dict[str, Preview] = {}
        self._by_host: dict[str, Preview] = {}
        self._tickets: dict[bytes, _Ticket] = {}
        self.on_removed: list[Callable[[Preview], None]] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def new_id(self) -> str:
        """A preview's id: a DNS label nobody else has."""
        return b32encode(secrets.token_bytes(ID_BYTES)).decode().lower()

    def of_session(self, session_id: str) -> list[Preview]:
        """The open previews of a session."""
        self._expire()
        return [p for p in self._previews.values() if p.session_id == session_id]

    def find(self, session_id: str, port: int) -> Preview | None:
        """The open preview of a port."""
        return next((p for p in self.of_session(session_id) if p.port == port), None)

    def check_room(self, session_id: str) -> None:
        """Raises TooManyError where one more preview would be too many."""
        if len(self.of_session(session_id)) >= MAX_PER_SESSION:
            raise TooManyError(f"This session has {MAX_PER_SESSION} previews; close one first.")
        if len(self._previews) >= MAX_PREVIEWS:
            raise TooManyError("This server has as many previews as it can carry.")

    def add(self, preview: Preview) -> None:
        """Open it."""
        self._previews[preview.id] = preview
        self._by_host[preview.host.lower()] = preview

    def remove(self, session_id: str, preview_id: str) -> None:
        """Close it. Raises NotFoundError."""
        preview = self._previews.get(preview_id)
        if preview is None or preview.session_id != session_id:
            raise NotFoundError("There is no such preview.")
        self._drop(preview)

    def end_session(self, session_id: str) -> None:
        """Close all previews of a session that has ended."""
        for preview in self.of_session(session_id):
            self._drop(preview)

    def end_sign_in(self, sign_in_id: str) -> None:
        """Put out the browsers of a sign-in that has ended, and void its tickets."""
        for preview in self._previews.values():
            for key, visit in list(preview.visits.items()):
                if visit.actor.sign_in_id == sign_in_id:
                    del preview.visits[key]
                    visit.end()
        self._tickets = {
            key: t for key, t in self._tickets.items() if t.actor.sign_in_id != sign_in_id
        }

    def doubt(self, session_id: str) -> None:
        """Somebody's rights may have changed: the next look asks again."""
        for preview in self.of_session(session_id):
            for visit in preview.visits.values():
                visit.checked = -math.inf

    def close(self) -> None:
        """Close all previews."""
        for preview in list(self._previews.values()):
            self._drop(preview)

    def _drop(self, preview: Preview) -> None:
        del self._previews[preview.id]
        self._by_host.pop(preview.host.lower(), None)
        self._tickets = {k: t for k, t in self._tickets.items() if t.preview is not preview}
        for visit in preview.visits.values():
            visit.end()
        preview.visits.clear()
        for told in self.on_removed:
            told(preview)

    def open_previews(self) -> list[Preview]:
        """All of them."""
        self._expire()
        return list(self._previews.values())

    def _expire(self) -> None:
        now = self._clock()
        for preview in [p for p in self._previews.values() if p.expires <= now]:
            self._drop(preview)

    # --- Tickets and visits -----------------------------------------------------------------------

    def issue_ticket(self, preview: Preview, actor: Actor) -> tuple[str, float]:
        """A single-use ticket for one person and one preview, and when it expires."""
        now = self._clock()
        self._tickets = {key: t for key, t in self._tickets.items() if t.expires > now}
        if len(self._tickets) >= MAX_TICKETS:
            raise TooManyError("Too many previews are being opened; try again in a minute.")
        text = secrets.token_urlsafe(SECRET_BYTES)
        expires = now + TICKET_SECONDS
        self._tickets[_digest(text)] = _Ticket(preview, actor, expires)
        return text, expires

    def at(self, host: str, listening_port: int) -> Preview | None:
        """The preview with exactly this Host, if it belongs to the port the request came in by."""
        preview = self._by_host.get(host.lower())
        if preview is None or preview.listening_port != listening_port:
            return None
        if preview.expires <= self._clock():
            self._drop(preview)
            return None
        return preview

    def enter(self, preview: Preview, ticket: str) -> str | None:
        """Trade a ticket for the value of the preview's cookie; None if it is not good here."""
        out = self._tickets.pop(_digest(ticket), None)
        if out is None or out.preview is not preview or out.expires <= self._clock():
            return None
        while len(preview.visits) >= MAX_VISITS:
            preview.visits.pop(next(iter(preview.visits))).end()
        value = secrets.token_urlsafe(SECRET_BYTES)
        now = self._clock()
        preview.visits[_digest(value)] = Visit(out.actor, preview.expires, now)
        return value

    def visit(self, preview: Preview, cookies: list[str]) -> Visit | None:
        """The visit that a request's cookie belongs to. Two such cookies are nobody's."""
        if len(cookies) != 1:
            return None
        key = _digest(cookies[0])
        visit = preview.visits.get(key)
        if visit is not None and visit.expires <= self._clock():
            del preview.visits[key]
            visit.end()
            return None
        return visit

    def put_out(self, preview: Preview, visit: Visit) -> None:
        """End one browser's visit."""
        for key, other in list(preview.visits.items()):
            if other is visit:
                del preview.visits[key]
        visit.end()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
