"""Exact Host, exact Origin, JSON only, a limit on size."""

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from earthshine.control import metrics
from earthshine.control.origins import (
    MAX_BODY,
    AllowedOrigins,
    OriginGuard,
    SecurityHeaders,
    loopback_origins,
)


def refused(why):
    return metrics.REFUSED_REQUESTS.labels(why)._value.get()


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        ("https://earth.example", {"earth.example", "earth.example:443"}),
        ("http://earth.example", {"earth.example", "earth.example:80"}),
        ("http://earth.example:7180", {"earth.example:7180"}),
        ("http://[::1]:7180", {"[::1]:7180"}),
        ("http://[::1]", {"[::1]", "[::1]:80"}),
    ],
)
def test_an_origin_allows_exactly_its_host(origin, hosts):
    assert AllowedOrigins([origin]).hosts == hosts


def test_the_names_of_this_machine():
    assert loopback_origins("http", 7180) == [
        "http://127.0.0.1:7180",
        "http://localhost:7180",
        "http://[::1]:7180",
    ]
    assert loopback_origins("https", 443)[0] == "https://127.0.0.1"


async def ask(here, method="GET", path="/api/v1/me", *, content=None, **headers):
    sent = here.member.headers | {k.replace("_", "-"): v for k, v in headers.items()}
    async with here.anonymous() as client:
        return await client.request(method, path, content=content, headers=sent)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_our_own_names_are_answered(here, name, method):
    path = "/api/v1/me" if method == "GET" else "/api/v1/sign-out"
    assert (await ask(here, method, path, host=f"{name}:{here.port}")).is_success


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
        "evil.example:{port}",
        "localhost.:{port}",
        "x@127.0.0.1:{port}",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "127.0.0.1:{port},evil.example",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/me", "/healthz", "/metrics", "/api/clients/stream"])
async def test_another_host_is_refused_everywhere(here, host, path):
    before = refused("host")
    answer = await ask(here, path=path, host=host.format(port=here.port))
    assert answer.status_code == 421
    assert answer.json()["code"] == "wrong-host"
    assert refused("host") == before + 1


@pytest.mark.parametrize("path", ["/", "/api/v1/me", "/api/v1/sessions"])
async def test_dns_rebinding(here, path):
    """A page on rebound.example, whose name now leads to this machine, is same-origin with itself.

    It may send its own Host, its own Origin and any header that a proxy would; it stays outside.
    """
    name = f"rebound.example:{here.port}"
    ours = f"127.0.0.1:{here.port}"
    page = {"host": name, "origin": f"http://{name}", "sec_fetch_site": "same-origin"}
    forged = {"x_forwarded_host": ours, "x_forwarded_for": "127.0.0.1", "forwarded": f"host={ours}"}
    for method, headers in (("GET", page), ("POST", page), ("GET", page | forged)):
        answer = await ask(here, method, path, **headers)
        assert answer.status_code == 421
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}.evil.example",
        "http://preview.localhost:{port}",
        "http://LOCALHOST:{port}",
        "file://",
        "",
        "http://127.0.0.1:{port} http://evil.example",
    ],
)
async def test_another_origin_changes_nothing_and_opens_no_socket(here, runner, origin):
    origin = origin.format(port=here.port)
    before = refused("origin")
    answer = await ask(here, "POST", "/api/v1/sign-out", origin=origin)
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong-origin")
    assert (await ask(here)).status_code == 200, "still signed in"
    for path in ("/api/v1/updates", "/api/v1/sessions/x/feed", "/api/clients/stream"):
        with pytest.raises(InvalidStatus) as caught:
            await connect(
                f"ws://127.0.0.1:{here.port}{path}",
                additional_headers=here.member.headers | {"origin": origin},
            )
        assert caught.value.response.status_code == 403
    assert refused("origin") == before + 4


async def test_our_own_origin_and_programs_without_one_may_change_things(here):
    for name in ("127.0.0.1", "localhost", "[::1]"):
        answer = await ask(
            here, "POST", "/api/v1/sign-in-codes", content=b"{}",
            content_type="application/json", origin=f"http://{name}:{here.port}",
        )  # fmt: skip
        assert answer.status_code == 201
    answer = await ask(
        here, "POST", "/api/v1/sign-in-codes", content=b"{}", content_type="application/json"
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
async def test_a_browser_that_names_no_origin_but_another_site(here, site):
    answer = await ask(here, "POST", "/api/v1/sign-out", sec_fetch_site=site)
    assert answer.status_code == 403


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_browser_on_our_own_pages(here, site):
    assert (await ask(here, "POST", "/api/v1/sign-out", sec_fetch_site=site)).status_code == 204


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
             "text/plain; application/json", ""],
)  # fmt: skip
async def test_what_a_form_can_send_is_not_read(here, kind):
    before = refused("content-type")
    answer = await ask(
        here, "POST", "/api/v1/sessions", content=b'{"agent":"shell"}', content_type=kind
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
    assert refused("content-type") == before + 1


async def test_an_oversized_body_is_refused_by_its_length(here):
    before = refused("size")
    answer = await ask(
        here, "POST", "/api/v1/sessions", content=b" " * (MAX_BODY + 1),
        content_type="application/json",
    )  # fmt: skip
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert refused("size") == before + 1


async def test_an_oversized_body_without_a_length_is_refused_on_the_way(here):
    async def body():
        for _ in range(MAX_BODY // 65536 + 2):
            yield b" " * 65536

    answer = await ask(
        here, "POST", "/api/v1/sessions", content=body(), content_type="application/json"
    )
    assert answer.status_code == 413


# --- what no client of ours can send: straight into the middleware --------------------------------


async def through(headers, method="POST", kind="http"):
    async def app(scope, receive, send):
        body = await Request(scope, receive).body()
        await JSONResponse(len(body))(scope, receive, send)

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    scope = {"type": kind, "method": method, "path": "/", "headers": headers, "query_string": b""}
    await SecurityHeaders(OriginGuard(app, AllowedOrigins(["http://a"])))(scope, receive, send)
    return sent[0]["status"]


JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"host", b"a"), JSON, (b"content-length", b"2")], 200),
        ([(b"host", b"a:80"), JSON, (b"content-length", b"2")], 200),
        ([JSON, (b"content-length", b"2")], 421),
        ([(b"host", b"a"), (b"host", b"a"), JSON], 421),
        ([(b"host", b"a"), (b"origin", b"http://a"), (b"origin", b"http://a")], 403),
        ([(b"host", b"a"), JSON, (b"content-length", b"-1")], 413),
        ([(b"host", b"a"), JSON, (b"content-length", "²".encode("latin-1"))], 413),
        ([(b"host", b"a"), JSON, (b"content-length", b"1e1")], 413),
        ([(b"host", b"a"), (b"transfer-encoding", b"chunked")], 415),
    ],
)
async def test_malformed_heads(headers, status):
    assert await through(headers) == status


@pytest.mark.parametrize("strict", [True, False])
async def test_browsers_are_told_to_stay_with_tls_where_it_is_safe(strict):
    async def app(scope, receive, send):
        await JSONResponse({})(scope, receive, send)

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await SecurityHeaders(app, strict_transport=strict)(scope, None, send)  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    expected = b"max-age=31536000" if strict else None
    assert headers.get(b"strict-transport-security") == expected
