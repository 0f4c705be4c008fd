"""HTTP through a preview: a real uvicorn application plays the development server."""

import asyncio
import contextlib
import hashlib
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import (
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from earthshine.control.previews.listener import PreviewSettings
from tests.peers.preview_world import ANNA, previews
from tests.peers.revdial_world import serving, tcp_service

BIG = 30_000_000


async def show(request):
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": [[k.decode(), v.decode()] for k, v in request.headers.raw],
            "body": (await request.body()).decode("latin-1"),
        },
        headers={"x-header": "kept"},
    )


async def big(request):
    async def pieces():
        for number in range(BIG // 100_000):
            yield bytes([number % 251]) * 100_000

    return StreamingResponse(pieces())


async def digest(request):
    total = hashlib.sha256()
    size = 0
    async for piece in request.stream():
        total.update(piece)
        size += len(piece)
    return JSONResponse({"size": size, "sha256": total.hexdigest()})


async def moved(request):
    port = request.url.port
    return RedirectResponse(f"http://localhost:{port}/elsewhere?x=1", 302)


async def unchanged(request):
    return Response(status_code=304, headers={"etag": '"x"', "content-length": "10"})


class Events:
    """A server-sent event stream that counts who listens."""

    def __init__(self):
        self.listening = 0
        self.say: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, request):
        async def pieces():
            self.listening += 1
            try:
                while True:
                    yield f"data: {await self.say.get()}\n\n"
            finally:
                self.listening -= 1

        return StreamingResponse(pieces(), media_type="text/event-stream")


@contextlib.asynccontextmanager
async def opened(settings=None, **options):
    """(here, browser, preview, events), with Anna's browser in a preview of the application."""
    events = Events()
    everything = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app = Starlette(
        routes=[
            Route("/big", big),
            Route("/digest", digest, methods=["POST"]),
            Route("/moved", moved),
            Route("/unchanged", unchanged),
            Route("/events", events.serve),
            Route("/{path:path}", show, methods=everything),
        ]
    )
    async with serving(app) as port, previews(settings, **options) as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            yield here, browser, preview, events


async def settled(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_requests_arrive_as_they_were_sent(method):
    async with opened() as (_here, browser, preview, _):
        answer = await browser.request(
            method, "/a%20b/c?q=%C3%A9&r=1", content=b"body", headers={"x-mine": "1"}
        )
        seen = answer.json()
        assert answer.headers["x-header"] == "kept"
        assert (seen["method"], seen["path"], seen["query"]) == (method, "/a b/c", "q=%C3%A9&r=1")
        assert seen["body"] == "body"
        headers = dict(seen["headers"])
        assert headers["host"] == f"localhost:{preview.port}"
        assert headers["x-mine"] == "1"
        assert "cookie" not in headers


async def test_head_and_304_have_no_body():
    async with opened() as (_here, browser, _preview, _):
        answer = await browser.head("/x")
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
        answer = await browser.get("/unchanged")
        assert (answer.status_code, answer.headers["etag"]) == (304, '"x"')
        assert (await browser.get("/after")).status_code == 200  # the connection is still in step


async def test_large_bodies_both_ways():
    async with opened() as (_here, browser, _preview, _):

        async def pieces():
            for number in range(100):
                yield bytes([number]) * 200_000

        expected = hashlib.sha256(b"".join(bytes([n]) * 200_000 for n in range(100))).hexdigest()
        answer = await browser.post("/digest", content=pieces())
        assert answer.json() == {"size": 20_000_000, "sha256": expected}
        answer = await browser.post("/digest", content=b"x" * 3_000_000)
        assert answer.json()["size"] == 3_000_000
        size = 0
        async with browser.stream("GET", "/big") as answer:
            async for piece in answer.aiter_raw():
                size += len(piece)
        assert size == BIG


async def test_a_reader_that_stops_stops_the_server():
    """Backpressure over the whole way: a small part of an endless answer is made."""
    made = 0

    async def endless(reader, writer):
        nonlocal made
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(bytes(1 << 16))
            made += 1 << 16
            await writer.drain()

    async with tcp_service(endless) as port, previews() as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            async with browser.stream("GET", "/") as answer:
                await anext(answer.aiter_raw(1000))
                before = -1
                while made != before:
                    before = made
                    await asyncio.sleep(0.1)
        assert made < 64 << 20


async def test_events_come_at_once_and_leaving_reaches_the_server():
    async with opened() as (_here, browser, _preview, events):
        async with browser.stream("GET", "/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            for word in ("one", "two"):
                events.say.put_nowait(word)
                async with asyncio.timeout(5):
                    assert await anext(lines) == f"data: {word}"
                    await anext(lines)
            assert events.listening == 1
        await settled(lambda: events.listening == 0)


async def test_connections_are_kept_alive_and_replaced_when_stale(monkeypatch):
    dials = 0
    async with opened() as (here, browser, _preview, _):
        original = here.net.service.dial

        async def counted(*args):
            nonlocal dials
            dials += 1
            return await original(*args)

        monkeypatch.setattr(here.net.service, "dial", counted)
        for _ in range(5):
            assert (await browser.get("/")).status_code == 200
        assert dials == 1


async def test_a_kept_connection_that_dies_is_replaced_unseen():
    requests = 0

    async def once(reader, writer):
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        # Claims to keep the connection and closes it: the next request would find it dead.
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.01)

    async with tcp_service(once) as port, previews() as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            for pause in (0, 0.005, 0.01, 0.015, 0.02, 0):
                assert (await browser.get("/")).text == "ok"
                await asyncio.sleep(pause)


async def test_an_early_answer_to_a_large_upload_arrives():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
        await writer.drain()
        writer.write_eof()
        while await reader.read(1 << 16):  # as careful servers do, so that no reset eats the answer
            pass

    async with tcp_service(refuse) as port, previews() as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            answer = await browser.post("/", content=bytes(5_000_000))
            assert (answer.status_code, answer.text) == (413, "big")


async def test_redirects_lead_back_to_the_preview():
    async with opened() as (_here, browser, preview, _):
        answer = await browser.get("/moved")
        assert answer.headers["location"] == f"{preview.url}elsewhere?x=1"


async def test_origin_and_referer_are_those_the_server_expects():
    async with opened() as (_here, browser, preview, _):
        origin = preview.url.rstrip("/")
        answer = await browser.post("/x", headers={"origin": origin, "referer": f"{origin}/page"})
        headers = dict(answer.json()["headers"])
        assert headers["origin"] == f"http://localhost:{preview.port}"
        assert headers["referer"] == f"http://localhost:{preview.port}/page"


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", None),
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n", "does not speak HTTP"),
    ],
)
async def test_a_server_that_answers_wrongly(behave, says):
    async def wrong(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(behave)
        await writer.drain()

    async with tcp_service(wrong) as port, previews() as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            if says is None:
                with pytest.raises(httpx.RemoteProtocolError):
                    await browser.get("/")
                return
            answer = await browser.get("/")
            assert answer.status_code == 502
            assert says in answer.text


async def test_nothing_listens_there():
    async with serving(None) as port:
        pass
    async with previews() as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            answer = await browser.get("/")
            assert answer.status_code == 502
            assert f"Nothing listens at localhost:{port}" in answer.text
            assert "Start the program" in answer.text
            assert "<script" not in answer.text
            answer = await browser.get("/", headers={"accept": "application/json"})
            problem = json.loads(answer.text)
            assert problem["status"] == 502
            assert "Nothing listens" in problem["detail"]


async def test_the_runner_is_away():
    async with previews(grace=0.02) as here:
        preview = await here.service.open(ANNA, "session-1", 3000)
        async with here.browser(preview) as browser:
            await here.enter(browser, preview)
            here.net.registry.detach("runner-1", here.net.link)
            answer = await browser.get("/")
            assert answer.status_code == 503
            assert "did not come back" in answer.text


async def test_closing_a_preview_ends_what_is_under_way():
    async with opened() as (here, browser, preview, events):
        async with browser.stream("GET", "/events") as answer:
            events.say.put_nowait("one")
            pieces = answer.aiter_raw()
            await anext(pieces)
            await here.service.close(ANNA, "session-1", preview.id)
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in pieces:
                    pass
        await settled(lambda: events.listening == 0)
        answer = await browser.get("/")
        assert answer.status_code == 421


async def test_port_mode():
    """Each preview on a port of its own, on one host name."""
    async with opened(PreviewSettings(mode="port")) as (here, browser, preview, _):
        assert preview.url.startswith("http://127.0.0.1:")
        assert (await browser.get("/x")).json()["path"] == "/x"
        other = await here.service.open(ANNA, "session-1", 9)
        assert other.url != preview.url
        # The one's address does not answer for the other.
        async with here.browser(other) as there:
            there.headers["host"] = browser.headers["host"]
            assert (await there.get("/")).status_code == 421
        await here.service.close(ANNA, "session-1", preview.id)
        with pytest.raises(httpx.ConnectError):
            async with here.browser(preview) as fresh:
                await fresh.get("/")


async def test_port_mode_without_a_free_port():
    from earthshine.control.errors import TooManyError

    async with serving(None) as port:
        settings = PreviewSettings(mode="port", ports=(port, port))
        async with previews(settings) as here:
            with pytest.raises(TooManyError):
                await here.service.open(ANNA, "session-1", 1)
