"""The runners that are known, and which of them are connected."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from earthshine.control.authorization import RunnerPossession
from earthshine.control.db.engine import Database
from earthshine.control.dialing.registry import ConnectionRegistry
from earthshine.control.errors import ConflictError, NotFoundError, RunnerUnavailableError
from earthshine.control.runners.connection import RunnerConnection
from earthshine.control.runners.models import RunnerRow
from earthshine.protocols.envelope import (
    AgentOffer,
    ControlPayload,
    Ping,
    RunnerCondition,
    RunnerHello,
)
from earthshine.protocols.pairing import KEY_BYTES, from_text
from earthshine.protocols.plaintext import plain_text

PROBE: Final = 3.0
"""Seconds that a connection has to prove it is alive when another machine claims its id."""
MAX_RUNNERS: Final = 10_000
MAX_AGENTS: Final = 64
MAX_CAPABILITIES: Final = 32
NOBODY: Final = ""
"""Owner of a paired runner whose person is gone: not None, which would make it everybody's."""


@dataclass(frozen=True, slots=True)
class Agent:
    """What a runner can start; `detail` says why it cannot."""

    name: str
    label: str
    path: str | None
    detail: str | None

    @classmethod
    def of(cls, name: str, label: str, path: str | None, detail: str | None) -> Agent:
        """Cut to size. A thousand runners say the same: the strings are shared."""
        return cls(
            sys.intern(plain_text(name, 32)),
            sys.intern(plain_text(label, 64)),
            sys.intern(plain_text(path, 4096)) if path else None,
            sys.intern(plain_text(detail, 500)) if detail else None,
        )

    def as_json(self) -> dict[str, Any]:
        """As its row has it."""
        return {"name": self.name, "label": self.label, "path": self.path, "detail": self.detail}


@dataclass(slots=True)
class Runner:
    """A machine that was paired, or has connected with the static token."""

    id: str
    own_name: str
    """What it calls itself."""
    hostname: str
    platform: str
    version: str
    home: str
    agents: tuple[Agent, ...]
    since: datetime
    connection: RunnerConnection | None = None
    capabilities: dict[str, str] = field(default_factory=dict)
    """As the runner said in this connection; see `RunnerHello`."""
    is_device: bool = False
    owner_id: str | None = None
    shared: bool = True
    device_key: bytes | None = None
    given_name: str | None = None
    """What people call it."""
    address: str | None = None
    paired_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_reason: str | None = None
    is_removed: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.given_name or self.own_name

    @property
    def is_connected(self) -> bool:
        """Whether commands reach it now."""
        return self.connection is not None

    @property
    def is_revoked(self) -> bool:
        """Whether it may never connect again."""
        return self.revoked_at is not None

    @property
    def possession(self) -> RunnerPossession:
        """Whose it is."""
        if not self.is_device:
            return RunnerPossession(owner_id=None, shared=True)
        return RunnerPossession(owner_id=self.owner_id or NOBODY, shared=self.shared)

    def is_for(self, person_id: str) -> bool:
        """Whether it is there for this person: theirs, or everybody's."""
        possession = self.possession
        return possession.shared or possession.owner_id == person_id

    def offers(self, agent: str) -> bool:
        """Whether it can start this agent."""
        return any(offer.name == agent and offer.detail is None for offer in self.agents)

    @classmethod
    def of(cls, row: Any) -> Runner:
        """From its row."""
        return cls(
            id=row.id,
            own_name=row.name,
            hostname=row.hostname,
            platform=row.platform,
            version=row.version,
            home=row.home,
            agents=tuple(
                Agent.of(a["name"], a["label"], a.get("path"), a.get("detail")) for a in row.agents
            ),
            since=row.last_seen,
            is_device=row.is_device,
            owner_id=row.owner_id,
            shared=row.shared,
            device_key=from_text(row.device_key, KEY_BYTES) if row.device_key else None,
            given_name=row.given_name,
            address=row.address,
            paired_at=row.paired_at,
            revoked_at=row.revoked_at,
            revoked_reason=row.revoked_reason,
            is_removed=row.removed_at is not None,
        )


class RunnerDirectory:
    """All runners; kept in memory, with their rows behind them."""

    def __init__(self, database: Database, registry: ConnectionRegistry) -> None:
        self._database = database
        self._registry = registry
        self._runners: dict[str, Runner] = {}
        self._arrival = asyncio.Event()
        """Of the next runner; then there is another one."""
        self.on_change: Callable[[Runner], None] = lambda _: None

    def __iter__(self) -> Iterator[Runner]:
        return iter(list(self._runners.values()))

    async def load(self) -> None:
        """Read the rows once, at the start."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(RunnerRow.__table__))).all()
        self._runners = {row.id: Runner.of(row) for row in rows}

    def get(self, runner_id: str) -> Runner:
        """A known runner. Raises NotFoundError."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.is_removed:
            raise NotFoundError("There is no such runner.")
        return runner

    def known(self, runner_id: str) -> Runner | None:
        """A known runner, or None."""
        return self._runners.get(runner_id)

    def connection(self, runner_id: str) -> RunnerConnection:
        """The runner's connection. Raises RunnerUnavailableError, NotFoundError."""
        runner = self.get(runner_id)
        if runner.is_revoked:
            raise RunnerUnavailableError(
                f"The runner {runner.name} has been revoked.", remedy="Pair its machine again."
            )
        if runner.connection is None:
            raise RunnerUnavailableError(
                f"The runner {runner.name} is not connected.",
                remedy="Check that its machine is on and has a network. Its agents go on working.",
            )
        return runner.connection

    async def until_connected(self, runner_id: str, seconds: float) -> None:
        """Until the runner is connected. Raises RunnerUnavailableError where it does not come, or
        cannot; NotFoundError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not ((runner := self.get(runner_id)).is_connected or runner.is_revoked):
                    await self._arrival.wait()
        self.connection(runner_id)

    async def request(self, runner_id: str, session_id: str | None, command: ControlPayload) -> Any:
        """Send a command to a runner and wait for the answer."""
        return await self.connection(runner_id).request(session_id, command)

    def tell(self, runner_id: str, session_id: str, payload: ControlPayload) -> None:
        """Send a runner something that is not answered."""
        self.connection(runner_id).tell(session_id, payload)

    async def admit(self, runner_id: str, instance: str) -> None:
        """Whether a new connection may take this id. Raises ConflictError.

        The same process coming back supersedes its old connection. Another process may only take
        over when the old connection does not answer any more: two machines with one id (a copied
        disk) would otherwise throw each other out for ever.
        """
        runner = self._runners.get(runner_id)
        current = runner.connection if runner else None
        if current is None or current.instance == instance:
            return
        if await _is_alive(current):
            raise ConflictError(
                "Another machine is connected with this runner's id.",
                remedy="Give one of the two a state folder of its own, or delete its runner-id.",
            )

    async def arrived(
        self, connection: RunnerConnection, hello: RunnerHello, address: str | None = None
    ) -> Runner:
        """A runner has introduced itself and been admitted. Raises ConflictError."""
        now = datetime.now(UTC)
        runner_id = connection.runner_id
        values: dict[str, Any] = {
            "name": plain_text(hello.name, 64) or runner_id[:8],
            "hostname": plain_text(hello.hostname, 128),
            "platform": plain_text(hello.platform, 128),
            "version": plain_text(hello.software, 64),
            "home": plain_text(hello.home, 4096),
            "address": address,
            "last_seen": now,
        }
        agents = _agents(hello.agents)
        row = values | {"agents": [agent.as_json() for agent in agents], "removed_at": None}
        async with self._database.write() as database:
            if runner_id in self._runners:
                query = update(RunnerRow).where(RunnerRow.id == runner_id).values(row)
                await database.execute(query)
            else:
                self._check_room()
                await database.execute(
                    insert(RunnerRow).values(
                        id=runner_id, first_seen=now, shared=True, is_device=False, **row
                    )
                )
        seen = values.pop("last_seen")
        values["own_name"] = values.pop("name")
        values["agents"] = agents
        values["capabilities"] = _capabilities(hello.capabilities)
        runner = self._runners.get(runner_id)
        if runner is None:
            runner = self._runners[runner_id] = Runner(id=runner_id, since=seen, **values)
        elif runner.is_revoked:  # while it was greeted
            raise ConflictError("The runner has been revoked.")
        else:
            for name, value in values.items():
                setattr(runner, name, value)
            runner.since = seen
            runner.is_removed = False
        runner.connection = connection
        await self._registry.attach(runner_id, connection)
        self._arrival.set()
        self._arrival = asyncio.Event()
        self.on_change(runner)
        return runner

    def _check_room(self) -> None:
        if len(self._runners) >= MAX_RUNNERS:
            raise ConflictError(f"There are {MAX_RUNNERS} runners already.")

    async def left(self, connection: RunnerConnection) -> None:
        """A connection has ended."""
        self._registry.detach(connection.runner_id, connection)
        runner = self._runners.get(connection.runner_id)
        if runner is None or runner.connection is not connection:
            return  # superseded: the runner is still here
        runner.connection = None
        runner.since = datetime.now(UTC)
        self.on_change(runner)
        async with self._database.write() as database:
            await database.execute(
                update(RunnerRow).where(RunnerRow.id == runner.id).values(last_seen=runner.since)
            )

    async def condition_changed(self, runner_id: str, condition: RunnerCondition) -> None:
        """A runner found other agents, or can do other things."""
        runner = self.get(runner_id)
        runner.agents = _agents(condition.agents)
        runner.capabilities = _capabilities(condition.capabilities)
        self.on_change(runner)
        row = [agent.as_json() for agent in runner.agents]
        async with self._database.write() as database:
            await database.execute(
                update(RunnerRow).where(RunnerRow.id == runner_id).values(agents=row)
            )

    # --- paired runners --------------------------------------------------------------------------

    async def pair(
        self, database: AsyncConnection, runner_id: str, machine: Mapping[str, Any]
    ) -> None:
        """A row for a machine that has been let in. Raises ConflictError."""
        self._check_room()
        now = datetime.now(UTC)
        await database.execute(
            insert(RunnerRow).values(
                id=runner_id,
                name=machine["name"],
                hostname=machine["hostname"],
                platform=machine["platform"],
                version="",
                home="",
                agents=[],
                first_seen=now,
                last_seen=now,
                owner_id=machine["person_id"],
                shared=machine["shared"],
                is_device=True,
                device_key=machine["device_key"],
                address=machine["address"],
                paired_at=now,
            )
        )

    async def paired(self, runner_id: str) -> None:
        """The row of `pair` is there."""
        if runner_id in self._runners:
            return
        async with self._database.read() as database:
            query = select(RunnerRow.__table__).where(RunnerRow.id == runner_id)
            row = (await database.execute(query)).first()
        if row is not None:
            runner = self._runners.setdefault(runner_id, Runner.of(row))
            self.on_change(runner)

    async def change(self, runner: Runner, **values: Any) -> None:
        """Give a runner another `given_name`, or share it or not."""
        async with self._database.write() as database:
            await database.execute(
                update(RunnerRow).where(RunnerRow.id == runner.id).values(values)
            )
        for name, value in values.items():
            setattr(runner, name, value)
        self.on_change(runner)

    async def remove(self, runner: Runner) -> None:
        """Take a runner off the list; its row stays where sessions need it."""
        async with self._database.write() as database:
            await database.execute(
                update(RunnerRow)
                .where(RunnerRow.id == runner.id)
                .values(removed_at=datetime.now(UTC))
            )
        runner.is_removed = True
        try:
            async with self._database.write() as database:
                await database.execute(delete(RunnerRow).where(RunnerRow.id == runner.id))
        except IntegrityError:
            return
        self._runners.pop(runner.id, None)


def _agents(offers: list[AgentOffer]) -> tuple[Agent, ...]:
    return tuple(
        Agent.of(offer.name, offer.label, offer.path, offer.detail) for offer in offers[:MAX_AGENTS]
    )


def _capabilities(said: dict[str, str]) -> dict[str, str]:
    return {name[:32]: why[:500] for name, why in list(said.items())[:MAX_CAPABILITIES]}


async def _is_alive(connection: RunnerConnection) -> bool:
    """Whether the connection says anything within the probe's time."""
    heard = connection.link.heard
    try:
        connection.post(Ping(seq=0))
    except RunnerUnavailableError:
        return False
    deadline = asyncio.get_running_loop().time() + PROBE
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
        if connection.link.heard > heard:
            return True
    return False
