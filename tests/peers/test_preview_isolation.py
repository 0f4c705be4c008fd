"""What a hostile preview page, or another site, must not be able to do."""

import asyncio
import contextlib
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from earthshine.control.access import RULE, Permission
from earthshine.control.errors import NotAllowedError, NotFoundError, TooManyError
from earthshine.control.previews import book as book_module
from earthshine.control.previews.listener import PreviewSettings
from earthshine.control.previews.service import PreviewService
from tests.peers.preview_world import ANNA, BEN, CONTROL_ORIGIN, previews
from tests.peers.revdial_world import serving


async def hostile(request):
    """Tries what a page's server can try with response headers."""
    response = Response("hi")
    for cookie in (
        "mine=1; Path=/",
        "wide=1; Domain=preview.localhost; Path=/; HttpOnly",
        "tossed=1; domain = .localhost",
        "earthshine_sign_in=stolen; Path=/",
        "EarthShine_Sign_In=stolen; Path=/",
        "__Host-earthshine_sign_in=stolen; Path=/; Secure",
        "__Secure-earthshine-preview=stolen; Secure",
        "=earthshine_sign_in=nameless",
    ):
        response.raw_headers.append((b"set-cookie", cookie.encode()))
    for name, value in (
        ("clear-site-data", '"cookies"'),
        ("strict-transport-security", "max-age=99999999"),
        ("alt-svc", 'h3=":1"'),
        ("x-own", "kept"),
        ("connection", "x-hop, close"),
        ("x-hop", "dropped"),
    ):
        response.raw_headers.append((name.encode(), value.encode()))
    return response


async def headers_seen(request):
    return JSONResponse([[k.decode(), v.decode()] for k, v in request.headers.raw])


APP = Starlette(
    routes=[
        Route("/hostile", hostile),
        Route("/{path:path}", headers_seen, methods=["GET", "POST", "OPTIONS"]),
    ]
)


@contextlib.asynccontextmanager
async def opened(settings=None, **options):
    async with serving(APP) as port, previews(settings, **options) as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            yield here, browser, preview


@pytest.fixture(params=["host", "port"])
def settings(request):
    return PreviewSettings(mode=request.param)


async def test_nothing_without_the_cookie(settings):
    async with opened(settings) as (_here, browser, _preview):
        for method in ("GET", "POST", "OPTIONS"):
            answer = await browser.request(method, "/")
            assert answer.status_code == 401
            assert "not open in this browser" in answer.text
            assert "set-cookie" not in answer.headers
            assert answer.headers["x-frame-options"] == "DENY"


async def test_cookies_that_are_not_this_previews(settings):
    async with opened(settings) as (here, browser, preview):
        cookie = await here.enter(browser, preview)
        name, _, value = cookie.partition("=")
        other = await here.service.open(ANNA, "session-1", 9)
        for wrong in (
            f"{name}=guess",
            f"{name}=",
            f"earthshine-preview-{other.id}={value}",
            f"{name}={value}; {name}={value}",  # tossed beside the real one: nobody's
            f"{name}x={value}",
            f"earthshine_sign_in={value}",
        ):
            assert (await browser.get("/", headers={"cookie": wrong})).status_code == 401
        async with here.browser(other) as there:
            assert (await there.get("/", headers={"cookie": cookie})).status_code == 401


async def test_the_ticket_works_once_for_one_preview_and_briefly(settings):
    now = time.time()
    async with opened(settings, clock=lambda: now) as (here, browser, preview):
        other = await here.service.open(ANNA, "session-1", 9)

        async def enter(client, ticket):
            answer = await client.post("/.earthshine/enter", data={"ticket": ticket})
            return answer.status_code

        async with here.browser(other) as there:
            assert await enter(there, preview.ticket) == 403
        assert await enter(browser, preview.ticket) == 403  # spent by the attempt
        again = await here.service.open(ANNA, "session-1", preview.port)
        assert again.id == preview.id
        assert await enter(browser, again.ticket) == 303
        assert await enter(browser, again.ticket) == 403
        late = await here.service.open(ANNA, "session-1", preview.port)
        now += book_module.TICKET_SECONDS
        assert await enter(browser, late.ticket) == 403


async def test_the_ticket_comes_in_a_form_and_from_the_control_plane(settings):
    async with opened(settings) as (_here, browser, preview):
        path = "/.earthshine/enter"
        ticket = preview.ticket
        assert (await browser.get(f"{path}?ticket={ticket}")).status_code == 403
        assert (await browser.post(f"{path}?ticket={ticket}")).status_code == 403
        assert (await browser.post(path, json={"ticket": ticket})).status_code == 403
        text = {"content-type": "text/plain"}
        assert (
            await browser.post(path, content=f"ticket={ticket}", headers=text)
        ).status_code == 403
        assert (await browser.post(path, data={"ticket": "x" * 2000})).status_code == 403
        for origin in ("https://evil.example", preview.url.rstrip("/")):
            answer = await browser.post(path, data={"ticket": ticket}, headers={"origin": origin})
            assert answer.status_code == 403
        answer = await browser.post(
            path, data={"ticket": ticket}, headers={"origin": CONTROL_ORIGIN}
        )
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert "; HttpOnly" in cookie
        assert "; SameSite=Lax" in cookie
        assert "domain" not in cookie.lower()
        assert ticket not in str(answer.headers)
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"


async def test_exact_host(settings):
    async with opened(settings) as (here, browser, preview):
        await here.enter(browser, preview)
        right = browser.headers["host"]
        port = right.rpartition(":")[2]
        for wrong in (
            "127.0.0.1" if ":" in right else "x",
            f"localhost:{port}",
            f"x{right}",
            f"{right}.evil.example",
            right.rpartition(":")[0],
            f"preview.localhost:{port}",
            f"rebound.example:{port}",
            "",
        ):
            answer = await browser.get("/", headers={"host": wrong})
            assert answer.status_code == 421, wrong
        assert (await browser.get("/", headers={"host": right.upper()})).status_code == 200


async def test_other_sites_and_other_previews_cannot_use_the_cookie(settings):
    async with opened(settings) as (here, browser, preview):
        await here.enter(browser, preview)
        own = preview.url.rstrip("/")
        framed = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
        refused = [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": CONTROL_ORIGIN},
            {"origin": own + "0"},
            # Another preview: same site, so SameSite would let it pass.
            {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
            {"sec-fetch-site": "same-site", **framed},
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
        ]
        for headers in refused:
            assert (await browser.get("/", headers=headers)).status_code == 403, headers
        document = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (
            await browser.post("/", headers={"sec-fetch-site": "cross-site", **document})
        ).status_code == 403
        for headers in (
            {"origin": own, "sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "none", **document},
            {"sec-fetch-site": "cross-site", **document},
        ):
            assert (await browser.get("/", headers=headers)).status_code == 200, headers


async def test_the_control_planes_cookies_never_reach_the_page(settings):
    async with opened(settings) as (here, browser, preview):
        cookie = await here.enter(browser, preview)
        sent = f"a=1; earthshine_sign_in=secret; {cookie}; __Host-Earthshine_x=secret; b=2"
        answer = await browser.get(
            "/",
            headers={
                "cookie": sent,
                "x-forwarded-for": "1.2.3.4",
                "forwarded": "for=1.2.3.4",
                "connection": "keep-alive, x-hop",
                "x-hop": "1",
                "proxy-authorization": "Basic x",
            },
        )
        seen = answer.json()
        assert ["cookie", "a=1; b=2"] in seen
        assert "secret" not in answer.text
        names = {name for name, _ in seen}
        assert not names & {"x-forwarded-for", "forwarded", "x-hop", "proxy-authorization"}


async def test_the_page_cannot_set_them_either(settings):
    async with opened(settings) as (here, browser, preview):
        await here.enter(browser, preview)
        answer = await browser.get("/hostile")
        assert answer.headers.get_list("set-cookie") == [
            "mine=1; Path=/",
            "wide=1; Path=/; HttpOnly",
            "tossed=1",
        ]
        for name in ("clear-site-data", "strict-transport-security", "alt-svc", "x-hop"):
            assert name not in answer.headers
        assert answer.headers["x-own"] == "kept"


async def test_who_may_open_list_and_close():
    async with opened() as (here, _browser, preview):
        with pytest.raises(NotAllowedError):
            await here.service.open(BEN, "session-1", 3000)
        with pytest.raises(NotAllowedError):
            await here.service.close(BEN, "session-1", preview.id)
        listed = await here.service.list(BEN, "session-1")
        assert [p.id for p in listed.previews] == [preview.id]
        assert "ticket" not in listed.model_dump_json()
        with pytest.raises(NotAllowedError):
            await here.service.list(ANNA, "session-2")
        with pytest.raises(NotFoundError):
            await here.service.close(ANNA, "session-1", "no-such")
        rules = {name: getattr(getattr(PreviewService, name), RULE) for name in ("open", "close")}
        assert set(rules.values()) == {Permission.SESSION_CONTROL}


async def test_a_permission_taken_away_ends_the_visit():
    now = time.time()
    async with opened(clock=lambda: now) as (here, browser, preview):
        await here.enter(browser, preview)
        here.rules.refused.add("p1")
        assert (await browser.get("/")).status_code == 200
        now += 10
        assert (await browser.get("/")).status_code == 401
        here.rules.refused.clear()
        assert (await browser.get("/")).status_code == 401  # it is over, not paused


async def test_signing_out_and_ending_the_session():
    async with opened() as (here, browser, preview):
        await here.enter(browser, preview)
        waiting = await here.service.open(ANNA, "session-1", preview.port)
        here.book.end_sign_in("s1")
        assert (await browser.get("/")).status_code == 401
        answer = await browser.post("/.earthshine/enter", data={"ticket": waiting.ticket})
        assert answer.status_code == 403
        here.book.end_session("session-1")
        assert (await browser.get("/")).status_code == 421


async def test_previews_and_their_number_are_bounded():
    now = time.time()
    async with opened(clock=lambda: now) as (here, browser, preview):
        for port in range(1, book_module.MAX_PER_SESSION):
            await here.service.open(ANNA, "session-1", port)
        with pytest.raises(TooManyError):
            await here.service.open(ANNA, "session-1", 9999)
        await here.enter(browser, preview)
        now += book_module.PREVIEW_SECONDS
        assert (await browser.get("/")).status_code == 421
        assert here.book.of_session("session-1") == []


async def test_two_openings_at_once_make_one_preview():
    async with previews() as here:
        both = await asyncio.gather(
            here.service.open(ANNA, "session-1", 3000), here.service.open(ANNA, "session-1", 3000)
        )
        assert both[0].id == both[1].id
        assert both[0].ticket != both[1].ticket


async def test_https_makes_the_cookie_secure_and_host_only():
    settings = PreviewSettings(public_scheme="https", public_port=443, base_domain="p.example.org")
    async with previews(settings) as here:
        preview = await here.service.open(ANNA, "session-1", 3000)
        assert preview.url == f"https://{preview.id}.p.example.org/"
        found = here.book.of_session("session-1")[0]
        assert found.cookie.startswith("__Host-")
        assert "; Secure" in found.set_cookie
