"""A control plane with previews, a runner, and somebody's browser (httpx), all real but the access
rules (`Rules`, a fake) and the control connection (see `revdial_world`)."""

import contextlib
from urllib.parse import urlsplit

import httpx

from earthshine.control.access import Actor, Permission, Role
from earthshine.control.audit.kinds import NoTrail
from earthshine.control.errors import NotAllowedError
from earthshine.control.previews.book import PreviewBook
from earthshine.control.previews.listener import PreviewListener, PreviewSettings
from earthshine.control.previews.service import PreviewService
from tests.peers.revdial_world import World, world

CONTROL_ORIGIN = "http://127.0.0.1:7180"
ANNA = Actor("p1", "Anna", Role.MEMBER, sign_in_id="s1")
BEN = Actor("p2", "Ben", Role.MEMBER, sign_in_id="s2")


class Rules:
    """A fake Access: Anna controls session-1; Ben may look at it."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

    async def require(self, actor, permission, resource_id):
        rank = {"p1": 2, "p2": 1}.get(actor.person_id, 0)
        needed = 2 if permission is Permission.SESSION_CONTROL else 1
        if actor.person_id in self.refused or resource_id != "session-1" or rank < needed:
            raise NotAllowedError("no")


class Here:
    """What `previews()` yields."""

    net: World
    rules: Rules
    book: PreviewBook
    listener: PreviewListener
    service: PreviewService

    def browser(self, preview, **options) -> httpx.AsyncClient:
        """An HTTP client that finds *.localhost, as browsers do; `.cookies` is its cookie jar."""
        parts = urlsplit(preview.url)
        return httpx.AsyncClient(
            base_url=f"{parts.scheme}://127.0.0.1:{parts.port}",
            headers={"host": parts.netloc, "accept": "text/html"},
            timeout=10,
            **options,
        )

    async def enter(self, browser: httpx.AsyncClient, preview) -> str:
        """POST the ticket; the client sends the cookie from then on. Returns the cookie."""
        answer = await browser.post(
            "/.earthshine/enter",
            data={"ticket": preview.ticket},
            headers={"origin": CONTROL_ORIGIN},
        )
        assert answer.status_code == 303, answer.text
        cookie = answer.headers["set-cookie"].partition(";")[0]
        browser.cookies.clear()
        browser.headers["cookie"] = cookie
        return cookie


@contextlib.asynccontextmanager
async def previews(settings=None, *, clock=None, **options):
    async with world(**options) as net:
        here = Here()
        here.net = net
        here.rules = Rules()
        here.book = PreviewBook(*([clock] if clock else []))

        async def runner_of(session_id):
            return "runner-1"

        async with PreviewListener(
            settings or PreviewSettings(),
            here.book,
            here.rules,
            net.service,
            net.control_relay,
            frozenset({CONTROL_ORIGIN}),
        ) as here.listener:
            here.service = PreviewService(
                here.rules, here.book, here.listener, runner_of, NoTrail()
            )
            yield here
