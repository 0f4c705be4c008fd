"""A control plane and a runner as two processes, with nothing in them but reverse dial.

    python revdial_peers.py control --host H [--entry DESTINATION ...] [--no-spares]
    python revdial_peers.py runner URL CONTROL_HOST CONTROL_PORT

`control` prints one line of JSON: {"port": ..., "link": ..., "entries": [...]}. A connection to
an entry's port is dialled to its destination on the runner. The control connection is a stand-in
(one JSON message a line over TCP, at "link"); everything else is the product's own code.
Both end when their standard input does.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from earthshine.control.dialing.registry import ConnectionRegistry
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError
from earthshine.net.entry import entry_port
from earthshine.net.handover import Detached
from earthshine.net.relay import Relay, reset
from earthshine.net.upgrade import Endpoint, FramedDialBack, revdial_protocol
from earthshine.protocols.revdial import PATH, Dial, DialFailed, DialSpares
from earthshine.runner.dialback import DialBack

TOKEN = "Bearer bench"
RUNNER = "runner-1"


async def end_of_input() -> None:
    await asyncio.to_thread(sys.stdin.buffer.read)


class LineLink:
    """The stand-in for the runner's control WebSocket."""

    runner_id = RUNNER

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send_control(self, payload: msgspec.Struct) -> None:
        self._writer.write(msgspec.json.encode(payload) + b"\n")
        await self._writer.drain()

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002
        self._writer.close()


async def control(options: argparse.Namespace) -> None:
    relay = Relay()
    relay.start()
    registry = ConnectionRegistry()

    async def verify(authorization: str) -> str | None:
        return RUNNER if authorization == TOKEN else None

    service = DialService(registry, verify, spares=not options.no_spares)

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line_link = LineLink(writer)
        await registry.attach(RUNNER, line_link)
        writer.write(b"welcome\n")
        decoder = msgspec.json.Decoder(DialFailed)
        while line := await reader.readline():
            service.dial_failed(RUNNER, decoder.decode(line))
        registry.detach(RUNNER, line_link)
        writer.close()

    def through(destination: str) -> Callable[[Detached], Awaitable[None]]:
        async def serve(entry: Detached) -> None:
            try:
                stream = await service.dial(RUNNER, destination)
            except DomainError as error:
                print(error.detail, file=sys.stderr, flush=True)
                reset(entry.sock)
                return
            stream.join(relay, entry)

        return serve

    app = Starlette(routes=[WebSocketRoute(PATH, FramedDialBack(service))])
    config = uvicorn.Config(
        app, host=options.host, port=0, http=revdial_protocol(service), log_level="error",
        lifespan="off", loop="none",
    )  # fmt: skip
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    links = await asyncio.start_server(link, options.host, 0)
    async with contextlib.AsyncExitStack() as stack:
        entries = [
            await stack.enter_async_context(entry_port("127.0.0.1", 0, through(destination)))
            for destination in options.entry
        ]
        print(
            json.dumps(
                {
                    "port": server.servers[0].sockets[0].getsockname()[1],
                    "link": links.sockets[0].getsockname()[1],
                    "entries": entries,
                }
            ),
            flush=True,
        )
        await end_of_input()
    relay.close()


async def runner(options: argparse.Namespace) -> None:
    relay = Relay()
    relay.start()
    reader, writer = await asyncio.open_connection(options.link_host, options.link_port)

    async def report(message: DialFailed) -> None:
        writer.write(msgspec.json.encode(message) + b"\n")

    back = DialBack(Endpoint(options.url, options.framing), lambda: TOKEN, relay, report)
    decoder = msgspec.json.Decoder(Dial | DialSpares)
    await reader.readline()
    print("ready", flush=True)
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            back.start(decoder.decode(line), tasks)
    relay.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("control")
    part.add_argument("--host", default="127.0.0.1")
    part.add_argument("--entry", action="append", default=[])
    part.add_argument("--no-spares", action="store_true")
    part.set_defaults(run=control)
    part = parts.add_parser("runner")
    part.add_argument("url")
    part.add_argument("link_host")
    part.add_argument("link_port", type=int)
    part.add_argument("--framing", default="auto")
    part.set_defaults(run=runner)
    options = parser.parse_args()
    uvloop.run(options.run(options))


if __name__ == "__main__":
    main()
