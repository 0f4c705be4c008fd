"""A control plane and a runner for tests of reverse dial: real servers, sockets and relays.

Only the control connection between them is a stand-in (`PipeLink`): it carries the same messages,
encoded and decoded, without a network. The real one has its own tests.
"""

import asyncio
import contextlib
import socket
import ssl

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidState

from earthshine.control.dialing.registry import ConnectionRegistry
from earthshine.control.dialing.service import DialService
from earthshine.net.relay import Relay
from earthshine.net.upgrade import Endpoint, FramedDialBack, revdial_protocol
from earthshine.protocols.revdial import PATH, Dial, DialFailed, DialSpares
from earthshine.runner.dialback import DialBack

TOKENS = {"Bearer token-1": "runner-1", "Bearer token-2": "runner-2"}


async def verify(authorization: str) -> str | None:
    return TOKENS.get(authorization)


class PipeLink:
    """A fake control connection: hands messages to the runner as its decoder would see them."""

    decoder = msgspec.json.Decoder(Dial | DialSpares)

    def __init__(self, runner_id: str, receive) -> None:
        self.runner_id = runner_id
        self.sent: list[msgspec.Struct] = []
        self.closed: tuple[int, str] | None = None
        self._receive = receive

    async def send_control(self, payload: msgspec.Struct) -> None:
        if self.closed:
            raise ConnectionResetError("closed")
        self.sent.append(payload)
        self._receive(self.decoder.decode(msgspec.json.encode(payload)))

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


@contextlib.asynccontextmanager
async def serving(app, *, http="httptools", sock=None, **settings):
    """Runs an ASGI app under uvicorn on a free loopback port; yields the port.

    uvicorn's own loop looks only ten times a second whether it should end; here we end it.
    """
    sock = sock or socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=http, log_level="error", lifespan="off", loop="none",
        **({"ws": "websockets-sansio"} | settings),
    )  # fmt: skip
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock])
    try:
        yield sock.getsockname()[1]
    finally:
        for listener in server.servers:
            listener.close()
        state = server.server_state
        for connection in list(state.connections):
            with contextlib.suppress(InvalidState):  # uvicorn meets a WebSocket that is closing
                connection.shutdown()
        for _ in range(400):
            if not state.connections and not state.tasks:
                break
            await asyncio.sleep(0.005)
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        sock.close()


class World:
    """What `world()` yields."""

    service: DialService
    registry: ConnectionRegistry
    port: int
    control_relay: Relay
    runner_relay: Relay
    dialback: DialBack
    tasks: asyncio.TaskGroup
    link: PipeLink
    scheme: str = "http"

    def __init__(self) -> None:
        self.reports: list[DialFailed] = []

    async def report(self, message: DialFailed) -> None:
        self.reports.append(message)
        self.service.dial_failed("runner-1", message)

    def receive(self, command) -> None:
        self.dialback.start(command, self.tasks)

    async def attach(self) -> None:
        self.link = PipeLink("runner-1", self.receive)
        await self.registry.attach("runner-1", self.link)


@contextlib.asynccontextmanager
async def world(
    *, framing="auto", tls: tuple[str, str] | None = None, grace=30.0, policy=None, **settings
):
    """Yields a World with runner-1 attached. Everything is closed at the end."""
    here = World()
    here.registry = ConnectionRegistry(grace=grace)
    here.service = DialService(here.registry, verify, **settings)

    async def hello(_):
        return PlainTextResponse("hello")

    app = Starlette(
        routes=[Route("/hello", hello), WebSocketRoute(PATH, FramedDialBack(here.service))]
    )
    extra = {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]} if tls else {}
    here.control_relay, here.runner_relay = Relay(), Relay()
    here.control_relay.start()
    here.runner_relay.start()
    try:
        async with serving(app, http=revdial_protocol(here.service), **extra) as here.port:
            here.scheme = "https" if tls else "http"
            endpoint = Endpoint(
                f"{here.scheme}://127.0.0.1:{here.port}",
                framing,
                ssl.create_default_context(cafile=tls[0]) if tls else None,
            )
            here.dialback = DialBack(
                endpoint, lambda: "Bearer token-1", here.runner_relay, here.report, policy=policy
            )
            async with asyncio.TaskGroup() as here.tasks:
                await here.attach()
                yield here
                here.service.close()
                for task in list(here.tasks._tasks):
                    task.cancel()
    finally:
        here.control_relay.close()
        here.runner_relay.close()


@contextlib.asynccontextmanager
async def tcp_service(handler, host="127.0.0.1"):
    """A TCP server on the runner's machine; yields its port. `handler(reader, writer)`."""
    handling = set()

    async def handle(reader, writer):
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            handling.discard(task)

    server = await asyncio.start_server(handle, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(handling):
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        await server.wait_closed()


async def echo(reader, writer) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def streams_of(detached):
    """asyncio streams on a dialled socket."""
    reader, writer = await asyncio.open_connection(sock=detached.sock)
    reader.feed_data(detached.early)
    return reader, writer
