"""A control plane and a runner, real processes, used as an API user would."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.peers.agents.terminal import Terminal
from tests.world import World

COLS, ROWS = 100, 40
END = 15.0
"""Seconds for an agent that was stopped to end, and for its log to arrive."""


class Session:
    """A session as the API shows it: commands go in, the event log comes out."""

    def __init__(self, client: httpx.AsyncClient, session_id: str) -> None:
        self.id = session_id
        self.terminal = Terminal(COLS, ROWS)
        self.events: list[dict[str, Any]] = []
        self._client = client
        self._ended = asyncio.Event()

    async def follow(self) -> None:
        """Read the log as server-sent events until it has ended."""
        path = f"/sessions/{self.id}/events/stream"
        async with self._client.stream("GET", path, timeout=None) as response:
            async for line in response.aiter_lines():
                if line == "event: end":
                    break
                if line.startswith("data: "):
                    self._happened(json.loads(line.removeprefix("data: ")))
        self._ended.set()

    def _happened(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["kind"] == "output":
            self.terminal.feed(base64.b64decode(event["data"]))

    @property
    def kinds(self) -> list[str]:
        """What happened besides output, in order."""
        return [event["kind"] for event in self.events if event["kind"] != "output"]

    async def view(self) -> dict[str, Any]:
        """The session as it is now."""
        response = await self._client.get(f"/sessions/{self.id}")
        view: dict[str, Any] = response.raise_for_status().json()
        return view

    async def reason(self) -> dict[str, Any]:
        """Wait until something holds the session up; what that is."""
        async with asyncio.timeout(END):
            while not (reason := (await self.view())["reason"]):
                await asyncio.sleep(0.02)
        held_up_by: dict[str, Any] = reason
        return held_up_by

    async def prompt(self, text: str) -> None:
        """What the prompt box does."""
        await self._post("prompt", {"text": text})

    async def type(self, keys: str) -> None:
        """What typing into the terminal does."""
        await self._post("input", {"data": base64.b64encode(keys.encode()).decode()})

    async def interrupt(self) -> None:
        """What the interrupt button does."""
        await self._post("interrupt", {})

    async def stop(self) -> dict[str, Any]:
        """Stop the agent and wait for the end of the log; the session as it then is."""
        await self._post("stop", {})
        async with asyncio.timeout(END):
            await self._ended.wait()
        return await self.view()

    async def _post(self, command: str, body: dict[str, Any]) -> None:
        response = await self._client.post(f"/sessions/{self.id}/{command}", json=body)
        response.raise_for_status()


class Place:
    """Starts sessions on the one runner."""

    def __init__(self, client: httpx.AsyncClient, tasks: asyncio.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks

    async def start(self, agent: str, folder: Path, prompt: str, *arguments: str) -> Session:
        """Start an agent and follow its log."""
        wanted = {"agent": agent, "folder": str(folder), "prompt": prompt, "command": arguments}
        size = {"cols": COLS, "rows": ROWS}
        response = await self._client.post("/sessions", json={**wanted, **size})
        assert response.status_code == 201, response.text
        assert response.json()["state"] != "failed", response.text
        session = Session(self._client, response.json()["id"])
        self._tasks.create_task(session.follow())
        return session


@contextlib.asynccontextmanager
async def place(root: Path, environment: dict[str, str]) -> AsyncIterator[Place]:
    """A running Earthshine with its state in `root`; the runner gets `environment`."""
    world = World(root)
    try:
        await asyncio.to_thread(world.start_control)
        world.runner("runner", "", (), **environment).start()
        await asyncio.to_thread(world.wait_runner)
        async with (
            httpx.AsyncClient(
                base_url=f"{world.url}/api/v1", headers=world.headers, trust_env=False
            ) as client,
            asyncio.TaskGroup() as tasks,
        ):
            yield Place(client, tasks)
            for follower in list(tasks._tasks):
                follower.cancel()
    finally:
        await asyncio.to_thread(world.close)
