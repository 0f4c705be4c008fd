"""A real control plane in a thread, with a fake runner and fake desktops, for browser tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from websockets.exceptions import ConnectionClosed

from earthshine.control.access import Role
from earthshine.control.accounts.domain import Accounts
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import NoTrail
from earthshine.control.db.engine import Database
from earthshine.control.dialing.service import DialedStream
from earthshine.control.throttle import Throttle
from earthshine.net.handover import Detached
from earthshine.protocols.envelope import CloseDesktop, OpenDesktop, Ping, Start
from tests.e2e.fake_desktop import FakeDesktop
from tests.unit.control.world import FakeRunner, Person, World, started, world

T = TypeVar("T")
PATIENCE = 30.0
HEARTBEAT = 5.0
PLACE = "unix:/run/earthshine/desktop/viewer"


class DesktopWorld:
    """What tests hold; every method may be called from the test's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self.desktop: FakeDesktop
        self._drawing: asyncio.Task[None]
        self.here: World
        self.refuse: tuple[str, str] | None = None
        """Code and words with which the runner refuses to open a desktop."""

    @contextlib.contextmanager
    def running(self) -> Iterator[DesktopWorld]:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        try:
            if self._failure:
                raise self._failure
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._leave.set)
            self._thread.join(PATIENCE)
            if self._failure:
                raise self._failure

    @property
    def url(self) -> str:
        return self.here.url

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the world's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def do(self, act: Callable[[], T]) -> T:
        """Run a function in the world's loop."""

        async def run() -> T:
            return act()

        return self.call(run())

    def code(self, person: Person) -> str:
        """A fresh sign-in code."""
        return self.call(self.here.plane.people.service.issue_code(person.actor.person_id))

    def session(self, **request: Any) -> str:
        """A running session with a desktop, of `member`."""
        request.setdefault("desktop", {"width": 640, "height": 400})
        answer = self.call(self.here.member.start(runnerId=self._runner.runner_id, **request))
        session_id: str = answer["id"]
        return session_id

    def fresh(self) -> FakeDesktop:
        """Another desktop for what is opened from now on; nobody watches the old one any more."""

        def replace() -> FakeDesktop:
            self.refuse = None
            self._drawing.cancel()
            self.desktop.cut()
            self.desktop = FakeDesktop()
            self._drawing = self._tasks.create_task(self.desktop.run())
            return self.desktop

        return self.do(replace)

    def share(self, session_id: str, role: str) -> None:
        """With `other`."""
        path = f"/api/v1/sessions/{session_id}/shares/{self.here.other.actor.person_id}"
        answer = self.call(self.here.member.http.put(path, json={"role": role}))
        assert answer.is_success, answer.text

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001  raised again in the test's thread
            self._failure = error
        finally:
            self._ready.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        url = f"sqlite+aiosqlite:///{self._folder / 'earthshine.db'}"
        people = await _people(url)
        async with world(url, people) as self.here, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self.desktop = FakeDesktop()
            self._runner = await self.here.runner(capabilities={"desktop": ""})
            self.here.plane.dialing.dial = self._dial  # type: ignore[method-assign]
            self._drawing = tasks.create_task(self.desktop.run())
            background = [
                tasks.create_task(self._answer(self._runner)),
                tasks.create_task(_beat(self._runner)),
            ]
            self._ready.set()
            await self._leave.wait()
            self._drawing.cancel()
            for task in background:
                task.cancel()
            self.desktop.cut()

    async def _answer(self, runner: FakeRunner) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await _command(runner)
                if isinstance(frame.payload, Start):
                    await runner.done(frame)
                    await runner.log(frame.session_id, started(1))
                elif self.refuse is not None:
                    await runner.refuse(frame, *self.refuse)
                else:
                    await runner.done(frame, {"viewer": PLACE})

    async def _dial(self, runner_id: str, destination: object) -> DialedStream:
        assert destination == PLACE
        near, far = socket.socketpair()
        self._tasks.create_task(self.desktop.serve(far))
        return DialedStream(runner_id, destination, Detached(near, b""))


async def _beat(runner: FakeRunner) -> None:
    """A runner that says nothing counts as gone."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(HEARTBEAT)
            await runner.say(Ping(seq=0))


async def _command(runner: FakeRunner) -> Any:
    while True:
        with contextlib.suppress(TimeoutError):
            return await runner.command(Start, OpenDesktop, CloseDesktop)


async def _people(url: str) -> list[Any]:
    database = Database(url)
    await database.migrate()
    accounts = Accounts(database, None, Throttle(), NoTrail())  # type: ignore[arg-type]
    store = PeopleStore(database)
    owner = await accounts.people.ensure_owner("owner")
    members = [await store.add(name, Role.MEMBER) for name in ("mia", "otto")]
    people = [
        await accounts.service.issue_token(person_id) for person_id in (owner.person_id, *members)
    ]
    await database.close()
    return people
