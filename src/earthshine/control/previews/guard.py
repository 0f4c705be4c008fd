"""Who may pass: the checks before anything of a request reaches a development server.

Preview pages share a site (`preview.localhost`), and in port mode even a host, with each other and
perhaps with the control plane. SameSite cookies are therefore no boundary; exact Host, a cookie of
the preview's own, Origin and Sec-Fetch-Site are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from earthshine.control.access import Access, Permission
from earthshine.control.errors import DomainError

from . import pages
from .book import Preview, PreviewBook, Visit
from .headers import Header, cookies_named
from .pages import Page

RECHECK_SECONDS: Final = 10.0
"""A permission that was taken away ends a visit within this time."""

REQUESTS = Counter("earthshine_preview_requests", "Requests to previews, by fate", ["fate"])


class PageError(Exception):
    """The request ends here, with a page."""

    def __init__(self, page: Page, fate: str) -> None:
        super().__init__(page.title)
        self.page = page
        REQUESTS.labels(fate).inc()


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the checks look at. Header names are in lower case."""

    method: str
    headers: Sequence[Header]
    listening_port: int

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def wants_html(self) -> bool:
        """Whether a person will look at the answer."""
        return any(b"text/html" in value for value in self.values(b"accept"))


class Guard:
    """Every method raises PageError."""

    def __init__(self, book: PreviewBook, access: Access, control_origins: frozenset[str]) -> None:
        self.book = book
        self._access = access
        self._control_origins = control_origins

    def locate(self, arrival: Arrival) -> Preview:
        """The preview that is addressed: by exactly one, exactly known Host."""
        hosts = arrival.values(b"host")
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        preview = self.book.at(host, arrival.listening_port)
        if preview is None:
            raise PageError(pages.UNKNOWN, "unknown-host")
        return preview

    def check_entrance(self, arrival: Arrival) -> None:
        """For the form that brings a ticket: the control plane's own page sent it.

        "null" is what browsers state when that page asks for no referrer; the ticket decides.
        """
        allowed = self._control_origins | {"null"}
        if any(origin.decode("latin-1") not in allowed for origin in arrival.values(b"origin")):
            raise PageError(pages.FOREIGN, "foreign-entrance")

    async def check(self, preview: Preview, arrival: Arrival, *, websocket: bool = False) -> Visit:
        """For everything else: the browser has entered, may still, and asks for itself."""
        visit = self.book.visit(preview, cookies_named(arrival.headers, preview.cookie))
        if visit is None:
            raise PageError(pages.SIGN_IN, "no-visit")
        self._check_origin(preview, arrival, websocket=websocket)
        if not await self._still_may(preview, visit):
            raise PageError(pages.SIGN_IN, "not-allowed")
        REQUESTS.labels("passed").inc()
        return visit

    async def recheck(self) -> None:
        """Put out everybody who may not be here any more, and whatever they have open."""
        for preview in self.book.open_previews():
            for visit in list(preview.visits.values()):
                if visit.enders:
                    await self._still_may(preview, visit)

    async def _still_may(self, preview: Preview, visit: Visit) -> bool:
        now = self.book.now()
        if visit.checked <= now < visit.checked + RECHECK_SECONDS:
            return True
        try:
            await self._access.require(visit.actor, Permission.SESSION_CONTROL, preview.session_id)
        except DomainError:
            self.book.put_out(preview, visit)
            return False
        visit.checked = now
        return True

    def _check_origin(self, preview: Preview, arrival: Arrival, *, websocket: bool) -> None:
        origins = arrival.values(b"origin")
        if any(origin != preview.origin.encode() for origin in origins) or len(origins) > 1:
            raise PageError(pages.FOREIGN, "foreign-origin")
        if websocket and not origins:
            raise PageError(pages.FOREIGN, "foreign-origin")
        for site in arrival.values(b"sec-fetch-site"):
            if site in {b"same-origin", b"none"} or _is_navigation(arrival):
                continue
            raise PageError(pages.FOREIGN, "foreign-site")


def _is_navigation(arrival: Arrival) -> bool:
    """Following a link from elsewhere, in a window of its own, is what links are for."""
    return (
        arrival.method in {"GET", "HEAD"}
        and arrival.values(b"sec-fetch-mode") == [b"navigate"]
        and arrival.values(b"sec-fetch-dest") == [b"document"]
    )
