"""The pages a preview shows instead of the development server's: what failed, and what to do."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from earthshine.control.errors import DialFailedError, DomainError, RunnerUnavailableError

from .headers import Header

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem}
h1{font-size:1.25rem;margin:0 0 .75rem}p{margin:.5rem 0}.remedy{opacity:.75}
button{font:inherit;padding:.35rem .9rem;margin-top:1rem}
"""
_RELOAD: Final = '<form method="get"><button>Try again</button></form>'
_POLICY: Final = b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"


@dataclass(frozen=True, slots=True)
class Page:
    """A failure in words."""

    status: HTTPStatus
    title: str
    detail: str
    remedy: str = ""
    reload: bool = False


UNKNOWN: Final = Page(
    HTTPStatus.MISDIRECTED_REQUEST,
    "No preview here",
    "No preview is open at this address; it may have been closed.",
    "Open the port again from the session's page.",
)
SIGN_IN: Final = Page(
    HTTPStatus.UNAUTHORIZED,
    "This preview is not open in this browser",
    "A preview can be seen only after it was opened from its session's page, in the same browser.",
    "Go to the session and open the port from there.",
)
BAD_TICKET: Final = Page(
    HTTPStatus.FORBIDDEN,
    "This link has been used or is too old",
    "A preview is opened with a ticket that works once and for a minute.",
    "Go back to the session and open the port again.",
)
FOREIGN: Final = Page(
    HTTPStatus.FORBIDDEN,
    "Refused",
    "Another site's page asked for this. Previews answer only to themselves.",
)


def for_error(error: DomainError) -> Page:
    """The page for a dial that failed."""
    if isinstance(error, RunnerUnavailableError):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    elif isinstance(error, DialFailedError):
        status = HTTPStatus.BAD_GATEWAY
    else:
        status = HTTPStatus.FORBIDDEN
    return Page(status, error.title, error.detail, error.remedy or "", reload=True)


def broken(detail: str) -> Page:
    """The page for a development server that answers wrongly or leaves."""
    return Page(
        HTTPStatus.BAD_GATEWAY,
        "The program behind this preview did not answer properly",
        detail,
        "Look at its output in the session's terminal.",
        reload=True,
    )


def render(page: Page, *, as_html: bool) -> tuple[list[Header], bytes]:
    """Headers (with the length) and body; problem details (RFC 9457) for programs."""
    if as_html:
        kind = b"text/html; charset=utf-8"
        remedy = f'<p class="remedy">{html.escape(page.remedy)}</p>' if page.remedy else ""
        body = (
            f'<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width">'
            f"<title>{html.escape(page.title)}</title><style>{_STYLE}</style>"
            f"<h1>{html.escape(page.title)}</h1><p>{html.escape(page.detail)}</p>{remedy}"
            f"{_RELOAD if page.reload else ''}</html>"
        ).encode()
    else:
        kind = b"application/problem+json"
        problem = {"title": page.title, "status": page.status.value, "detail": page.detail}
        body = json.dumps(problem | ({"remedy": page.remedy} if page.remedy else {})).encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
    ]
    return headers, body
