"""A machine that pairs and signs in over real HTTP. A fake of the runner, with real keys."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import httpx
from websockets.asyncio.client import connect

from earthshine.protocols import pairing
from earthshine.protocols.envelope import CHALLENGE_HEADER, MAX_MESSAGE, Auth, Token
from tests.unit.control.world import FakeRunner, Person, World


class Machine:
    """Holds a key; `here` is the world whose control plane it speaks to."""

    def __init__(self, here: World, http: httpx.AsyncClient, name: str = "box") -> None:
        self.here = here
        self.http = http
        self.name = name
        self.private = os.urandom(32)
        self.origin = here.url
        self.runner_id = ""
        self.pairing_id = ""
        self.access = ""
        self.refresh = ""

    @property
    def key(self) -> bytes:
        return pairing.public_key(self.private)

    @property
    def fingerprint(self) -> str:
        return pairing.fingerprint(self.key)

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.http.post(f"/api/clients{path}", json=body)

    async def challenge(self) -> str:
        return str((await self.post("/challenge", {})).json()["challenge"])

    def presenting(self, code: str, **changed: Any) -> dict[str, Any]:
        said = {"name": self.name, "hostname": "box.local", "platform": "Linux"}
        said |= {key: value for key, value in changed.items() if key in said}
        try:
            plain = pairing.read_code(code)
        except pairing.BadCodeError:
            plain = "0" * 12
        message = pairing.present_transcript(
            changed.get("origin", self.origin), plain, self.key, *said.values()
        )
        body: dict[str, Any] = {"code": code, "key": pairing.to_text(self.key), **said}
        return body | {"signature": pairing.sign(self.private, message)}

    async def present(self, code: str, **changed: Any) -> httpx.Response:
        answer = await self.post("/pair", self.presenting(code, **changed))
        if answer.is_success:
            self.pairing_id = answer.json()["pairingId"]
        return answer

    async def collect(self, pairing_id: str = "") -> httpx.Response:
        pairing_id = pairing_id or self.pairing_id
        challenge = await self.challenge()
        message = pairing.collect_transcript(self.origin, pairing_id, challenge)
        body = {"pairingId": pairing_id, "challenge": challenge}
        answer = await self.post(
            "/pair/collect", body | {"signature": pairing.sign(self.private, message)}
        )
        if answer.is_success and answer.json()["tokens"]:
            self.runner_id = answer.json()["runnerId"]
            self._keep(answer.json()["tokens"])
        return answer

    async def pair(self, person: Person, *, shared: bool = False) -> str:
        """All of it; the runner's id."""
        made = (await person.http.post("/api/v1/pairings", json={"shared": shared})).json()
        answer = await self.present(made["code"])
        assert answer.status_code == 200, answer.text
        confirmed = await person.http.post(
            f"/api/v1/pairings/{made['id']}/confirm", json={"fingerprint": self.fingerprint}
        )
        assert confirmed.status_code == 200, confirmed.text
        collected = await self.collect()
        assert collected.json()["state"] == "paired", collected.text
        return self.runner_id

    def _keep(self, tokens: dict[str, Any]) -> None:
        self.access, self.refresh = tokens["accessToken"], tokens["refreshToken"]

    async def opening(self, token: str, **changed: Any) -> dict[str, Any]:
        challenge = await self.challenge()
        origin = changed.pop("origin", self.origin)
        message = pairing.session_transcript(origin, self.runner_id, token, challenge)
        body = {"runnerId": self.runner_id, "token": token, "challenge": challenge}
        return body | {"signature": pairing.sign(self.private, message)} | changed

    async def open(self, token: str, *, keep: bool = True, **changed: Any) -> httpx.Response:
        """Ask for a session token. `keep` False: as if the answer had been lost."""
        answer = await self.post("/session", await self.opening(token, **changed))
        if keep and answer.is_success and answer.json()["tokens"]:
            self._keep(answer.json()["tokens"])
        return answer

    async def session(self) -> str:
        answer = await self.open(self.access)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["sessionToken"])

    async def dial(self, token: str = "", **changed: Any) -> FakeRunner:
        """A control connection whose first message has been said."""
        token = token or await self.session()
        connection = await self.here._stack.enter_async_context(
            connect(
                f"ws://127.0.0.1:{self.here.port}/api/clients/stream",
                additional_headers={"Earthshine-Runner": changed.get("as_", self.runner_id)},
                max_size=MAX_MESSAGE,
                compression=None,
                ping_interval=None,
                close_timeout=2,
            )
        )
        assert connection.response is not None
        challenge = changed.get("challenge", connection.response.headers[CHALLENGE_HEADER])
        message = pairing.stream_transcript(
            changed.get("origin", self.origin), self.runner_id, token, challenge
        )
        proof = pairing.sign(changed.get("private", self.private), message)
        runner = FakeRunner(connection, self.runner_id)
        await runner.say(Auth(payload=Token(token=token, proof=proof)))
        return runner

    async def connect(self, **hello: Any) -> FakeRunner:
        """A control connection that has been greeted."""
        runner = await self.dial()
        await runner.greet(**{"name": self.name, **hello})
        async with asyncio.timeout(15):
            while not self.here.plane.directory.get(self.runner_id).is_connected:
                await asyncio.sleep(0.002)
        return runner


class Recorder:
    """A trail that remembers: a fake of the audit log."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    async def record(self, kind, actor=None, **fields) -> None:
        self.records.append((kind.value, {"actor": actor, **fields}))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.records]
