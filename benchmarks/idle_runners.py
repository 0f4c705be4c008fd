"""Memory of the control plane with many runners connected and idle.

The runners are simulated: real WebSockets, real hello and heartbeat, no agents. They live in a
process of their own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.plane import plane
from earthshine.protocols import envelope
from earthshine.protocols.envelope import AgentOffer, Hello, Ping, Pong, RunnerHello

COUNT = 1000
SETTLE = 20.0
"""Seconds after the last runner has come: at least one heartbeat each way."""


def _hello(number: int) -> Hello:
    offers = [
        AgentOffer(name=name, label=name.title(), path=f"/usr/local/bin/{name}")
        for name in ("claude", "codex", "gemini", "opencode", "shell", "command")
    ]
    return Hello(
        payload=RunnerHello(
            version=envelope.VERSION,
            instance=f"{number:016x}",
            name=f"idle-{number}",
            hostname=f"host-{number}",
            platform="Linux 6.1 x86_64",
            software="bench",
            home="/home/user",
            agents=offers,
            sessions=[],
        )
    )


async def _runner(url: str, token: str, number: int, ready: asyncio.Semaphore) -> None:
    headers = {"Authorization": f"Bearer {token}", "Earthshine-Runner": f"{number:032x}"}
    async with ready:
        connection = await connect(
            url, additional_headers=headers, compression=None, ping_interval=None
        )
        await connection.send(envelope.encode(_hello(number)))
        await connection.recv()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_ping(connection))
        async for message in connection:
            if isinstance(envelope.decode(message), Ping):
                await connection.send(envelope.encode(Pong()))


async def _ping(connection: ClientConnection) -> None:
    while True:
        await asyncio.sleep(12)
        await connection.send(envelope.encode(Ping()))


async def _simulate(url: str, token: str, count: int) -> None:
    ready = asyncio.Semaphore(20)
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(_runner(url, token, number, ready))


def _memory(pid: int) -> int:
    memory = psutil.Process(pid).memory_full_info()
    return int(memory.uss)


def run(count: int = COUNT) -> dict[str, Any]:
    """Added memory in MB (unique set size of the control plane's process)."""
    with plane(runner=False) as it:
        time.sleep(2)
        before = _memory(it.control.pid)
        environment = os.environ | {"BENCH_TOKEN": it.token_file.read_text().strip()}
        simulation = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.idle_runners", it.url, str(count)],
            env=environment,
        )
        try:
            begun = time.monotonic()
            while True:
                runners = it.api("GET", "/runners")["runners"]
                if sum(runner["state"] == "connected" for runner in runners) == count:
                    break
                if time.monotonic() - begun > 120:
                    raise RuntimeError("the runners did not all connect")
                time.sleep(0.5)
            seconds = time.monotonic() - begun
            cpu = psutil.Process(it.control.pid).cpu_times()
            time.sleep(SETTLE)
            later = psutil.Process(it.control.pid).cpu_times()
            added = _memory(it.control.pid) - before
        finally:
            simulation.terminate()
            simulation.wait()
    busy = (later.user + later.system - cpu.user - cpu.system) / SETTLE
    return {
        "runners": count,
        "added_MB": round(added / 1e6, 1),
        "KiB_each": round(added / 1024 / count, 1),
        "connect_seconds": round(seconds, 1),
        "idle_cpu_percent": round(100 * busy, 1),
    }


def table(result: dict[str, Any]) -> str:
    """For people."""
    return (
        f"{result['runners']} idle runners: {result['added_MB']} MB added "
        f"({result['KiB_each']} KiB each), {result['idle_cpu_percent']} % of a core"
    )


if __name__ == "__main__":
    address = sys.argv[1].replace("http", "ws", 1) + "/api/clients/stream"
    asyncio.run(_simulate(address, os.environ["BENCH_TOKEN"], int(sys.argv[2])))
