"""WebSockets through a preview: `websockets` at both ends, and a real Vite development server."""

import asyncio
import contextlib
import json
import re
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from earthshine.control.previews.listener import PreviewSettings
from earthshine.control.tls import ServerTls
from tests.peers.preview_world import ANNA, CONTROL_ORIGIN, previews
from tests.peers.revdial_world import tcp_service

ROOT = Path(__file__).parents[2]
NODE = ROOT / ".venv" / "bin" / "node"
VITE = ROOT / "web" / "node_modules" / "vite" / "bin" / "vite.js"


@contextlib.asynccontextmanager
async def echo_server():
    """Echoes messages; on "who" it tells the handshake's headers, on "bye" it closes with 4321."""

    async def handle(socket):
        async for message in socket:
            if message == "who":
                await socket.send(json.dumps(list(socket.request.headers.raw_items())))
            elif message == "bye":
                await socket.close(4321, "as asked")
            else:
                await socket.send(message)

    async with serve(
        handle, "127.0.0.1", 0, subprotocols=[Subprotocol("chat")], max_size=None
    ) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def opened(settings=None, **options):
    """(here, preview, dial): `dial(**headers)` opens a WebSocket as the preview's page would."""
    async with echo_server() as port, previews(settings, **options) as here:
        preview = await here.service.open(ANNA, "session-1", port)
        async with here.browser(preview, verify=False) as browser:
            cookie = await here.enter(browser, preview)

        def dial(**changes):
            scheme, _, host = preview.url.rstrip("/").partition("://")
            headers = {"Cookie": cookie, "Host": host, **changes.pop("headers", {})}
            options = {
                "origin": f"{scheme}://{host}",
                "additional_headers": {k: v for k, v in headers.items() if k != "Host"},
                "host": "127.0.0.1",
                "max_size": None,
                "subprotocols": ["chat"],
                "proxy": None,
                **changes,
            }
            where = {"http": "ws", "https": "wss"}[scheme]
            return connect(f"{where}://{headers['Host']}/socket?x=1", **options)

        yield here, preview, dial


async def test_messages_both_ways_and_close_codes():
    async with opened() as (_here, _preview, dial), dial() as socket:
        assert socket.subprotocol == "chat"
        assert socket.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        for message in ("text", b"bytes", "x" * 3_000_000, b""):
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())
        await socket.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as asked")


async def test_the_server_sees_its_own_origin_and_not_our_cookies():
    async with opened() as (_here, preview, dial):
        headers = {"Cookie": f"a=1; earthshine_sign_in=secret; {here_cookie(dial)}"}
        async with dial(headers=headers) as socket:
            await socket.send("who")
            seen = {name.lower(): value for name, value in json.loads(await socket.recv())}
        assert seen["host"] == f"localhost:{preview.port}"
        assert seen["origin"] == f"http://localhost:{preview.port}"
        assert seen["cookie"] == "a=1"


def here_cookie(dial) -> str:
    return str(dial().additional_headers["Cookie"])


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": CONTROL_ORIGIN}, 403),
        ({"origin": "null"}, 403),
        ({"origin": None}, 403),
        ({"headers": {"Cookie": ""}}, 401),
        ({"headers": {"Cookie": "earthshine_sign_in=x"}}, 401),
        ({"headers": {"Sec-Fetch-Site": "same-site"}}, 403),
    ],
)
async def test_who_is_refused(changes, status):
    """Cross-site WebSocket hijacking: cookies travel with it, so Origin decides."""
    async with opened() as (_here, _preview, dial):
        with pytest.raises(InvalidStatus) as refused:
            await dial(**changes)
        assert refused.value.response.status_code == status


async def test_the_wrong_host_is_refused():
    async with opened() as (_here, preview, dial):
        port = preview.url.rstrip("/").rpartition(":")[2]
        with pytest.raises(InvalidStatus) as refused:
            await dial(headers={"Host": f"evil.localhost:{port}"})
        assert refused.value.response.status_code == 421


async def test_closing_the_preview_and_signing_out_end_open_sockets():
    async with opened() as (here, _preview, dial):
        async with dial() as socket:
            await socket.send("x")
            await socket.recv()
            here.book.end_sign_in("s1")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert len(here.net.control_relay) == 0 or await _quiet(here.net.control_relay)


async def _quiet(relay) -> bool:
    async with asyncio.timeout(5):
        while len(relay):
            await asyncio.sleep(0.005)
    return True


async def test_a_permission_taken_away_ends_open_sockets():
    now = time.time()
    async with opened(clock=lambda: now) as (here, _preview, dial), dial() as socket:
        await socket.send("x")
        await socket.recv()
        now += 10
        await here.listener._guard.recheck()
        await socket.send("still here")
        assert await socket.recv() == "still here"
        now += 10
        here.rules.refused.add("p1")
        await here.listener._guard.recheck()
        with pytest.raises(ConnectionClosed):
            await socket.recv()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 502),
        (b"nonsense\r\n\r\n", 502),
        (b"", 502),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, 502),
    ],
)
async def test_a_server_that_does_not_complete_the_handshake(answer, status):
    async def wrong(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with tcp_service(wrong) as port, opened() as (here, _preview, dial):
        here.book.of_session("session-1")[0].port = port
        with pytest.raises(InvalidStatus) as refused:
            await dial()
        assert refused.value.response.status_code == status


async def test_through_tls(tmp_path):
    """A listener that speaks TLS itself cannot hand its sockets to the relay, and need not."""
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=preview"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    settings = PreviewSettings(tls=ServerTls(Path(cert), Path(key)).context)
    async with opened(settings) as (_here, preview, dial):
        assert preview.url.startswith("https://")
        async with dial(ssl=context) as socket:
            await socket.send("x" * 1_000_000)
            assert await socket.recv() == "x" * 1_000_000
            await socket.send("bye")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4321


MISSING = next((str(path) for path in (NODE, VITE) if not path.exists()), None)


@pytest.mark.skipif(MISSING is not None, reason=f"the UI's packages are not installed: {MISSING}")
async def test_vite_accepts_us_and_reloads_through_us(tmp_path):
    """Vite checks Host and the WebSocket's Origin and token; hot reload comes through."""
    (tmp_path / "index.html").write_text('<script type="module" src="/main.js"></script>')
    (tmp_path / "main.js").write_text("import.meta.hot?.accept(); console.log('one')")
    vite = await asyncio.create_subprocess_exec(
        shutil.which(str(NODE)) or str(NODE), str(VITE), "--port", "0", "--clearScreen", "false",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        port = await _vite_port(vite)
        async with previews() as here:
            preview = await here.service.open(ANNA, "session-1", port)
            async with here.browser(preview) as browser:
                cookie = await here.enter(browser, preview)
                page = await browser.get("/")
                assert page.status_code == 200
                assert "/@vite/client" in page.text
                client = (await browser.get("/@vite/client")).text
                assert (await browser.get("/main.js")).status_code == 200
                token = re.search(r'wsToken = "([^"]+)"', client)
                host = preview.url.removeprefix("http://").rstrip("/")
                async with connect(
                    f"ws://{host}/?token={token[1] if token else ''}",
                    host="127.0.0.1",
                    proxy=None,
                    origin=Origin(f"http://{host}"),
                    additional_headers={"Cookie": cookie},
                    subprotocols=[Subprotocol("vite-hmr")],
                ) as socket:
                    assert json.loads(await socket.recv())["type"] == "connected"
                    (tmp_path / "main.js").write_text("import.meta.hot?.accept()")
                    async with asyncio.timeout(10):
                        while True:
                            message = json.loads(await socket.recv())
                            if message["type"] == "update":
                                break
                    assert message["updates"][0]["path"] == "/main.js"
    finally:
        vite.terminate()
        await vite.communicate()


async def _vite_port(vite) -> int:
    seen = b""
    async with asyncio.timeout(30):
        while line := await vite.stdout.readline():
            seen += line
            if match := re.search(rb"http://localhost:(\d+)/", line):
                return int(match[1])
    raise AssertionError(f"vite did not start: {seen!r}")
