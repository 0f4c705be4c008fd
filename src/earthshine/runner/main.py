"""The runner, composed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from earthshine.net.relay import Relay
from earthshine.net.upgrade import Endpoint
from earthshine.protocols.envelope import AgentOffer, ControlPayload
from earthshine.protocols.revdial import (
    Destination,
    Dial,
    DialFailed,
    DialSpares,
    UnixDestination,
)
from earthshine.runner.agents.catalog import AgentCatalog
from earthshine.runner.commands import Commands
from earthshine.runner.credentials import (
    PAIR_AGAIN,
    Credentials,
    RunnerConfigurationError,
    RunnerNotTakenError,
    credentials,
    identity_store,
)
from earthshine.runner.desktops.door import Doors
from earthshine.runner.desktops.keeper import DesktopKeeper
from earthshine.runner.desktops.offer import DesktopOffer
from earthshine.runner.desktops.opening import Desktops
from earthshine.runner.desktops.rdp.lending import RdpLending
from earthshine.runner.desktops.rdp.machine import InitialPasswordError, MachineRdp
from earthshine.runner.desktops.recording.recordings import Recordings
from earthshine.runner.desktops.viewers.server import ViewerServer
from earthshine.runner.dialback import DialBack
from earthshine.runner.dialhome import DialHome
from earthshine.runner.identity.record import CredentialsEndedError
from earthshine.runner.policy.file import PolicyInForce
from earthshine.runner.policy.rules import PolicyError, PolicyRefusedError
from earthshine.runner.sessions.keeper import SessionKeeper
from earthshine.runner.settings import RunnerSettings
from earthshine.runner.transfers.folders import FileFolders
from earthshine.runner.transfers.server import TransferServer

LOOK_AGAIN: Final = 60.0
"""Seconds between looks for what was installed."""
log = logging.getLogger(__name__)


async def run(settings: RunnerSettings) -> None:
    """Until SIGTERM or SIGINT. The agents go on. Raises RunnerConfigurationError."""
    who = await asyncio.to_thread(credentials, settings)
    ended: BaseException | None = None
    try:
        await _run(settings, who)
    except* CredentialsEndedError as group:
        ended = group
    finally:
        if who.client is not None:
            await who.client.close()
    while isinstance(ended, BaseExceptionGroup):
        ended = ended.exceptions[0]
    if isinstance(ended, CredentialsEndedError):
        if ended.for_good:
            await asyncio.to_thread(identity_store(settings).end, str(ended))
        raise RunnerNotTakenError(f"{who.url} does not take this runner: {ended}. {PAIR_AGAIN}")


async def _run(settings: RunnerSettings, who: Credentials) -> None:
    policy = await _policy(settings)
    catalog = AgentCatalog(settings.programs)
    desktops = DesktopKeeper(settings.state_dir, settings.desktop)
    desktop_offer = DesktopOffer(settings.desktop)
    folders = FileFolders(settings.state_dir, settings.files)
    recordings = Recordings(
        settings.state_dir,
        settings.recording,
        desktops,
        lambda session: keeper.last_seq(session),  # noqa: PLW0108  made below
    )
    transfers = TransferServer(settings.state_dir, folders, recordings, policy)
    keeper = SessionKeeper(
        settings.state_dir,
        settings.data_dir,
        catalog,
        spool_limit=settings.spool_limit,
        overflow=settings.overflow,
        policy=policy,
        redact_secrets=settings.redact_secrets,
        desktops=desktops,
        recordings=recordings,
        files=folders,
    )
    typing_refused = partial(_typing_refused, policy)
    viewers = ViewerServer(settings.state_dir, settings.desktop, typing_refused)

    def offers() -> list[AgentOffer]:
        return policy().offers(catalog.offers())

    def capabilities() -> dict[str, str]:
        return {**desktop_offer(), "machine-rdp": machine.problem()}

    relay = Relay()
    relay.start()
    doors = Doors(relay)
    rdp = RdpLending(settings.state_dir, settings.desktop, doors)
    machine = MachineRdp(settings.rdp)
    shown = Desktops(desktops, viewers, doors, typing_refused, rdp, machine)
    wrong: BaseExceptionGroup[RunnerConfigurationError] | None = None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:

            def obey(session_id: str | None, payload: ControlPayload) -> None:
                commands.obey(session_id, payload)

            home = DialHome(
                who.url,
                who.runner_id,
                who.name,
                lambda: f"Bearer {who.token}",
                keeper,
                offers,
                obey,
                ssl_context=who.tls,
                device=who.device,
                capabilities=capabilities,
            )

            async def report(failure: DialFailed) -> None:
                await home.send_control(failure)

            back = DialBack(
                Endpoint(who.url, ssl_context=who.tls),
                who.dial_back,
                relay,
                report,
                policy=partial(_permits, policy, shown, transfers),
            )

            def dial(command: Dial | DialSpares) -> None:
                back.start(command, tasks)

            commands = Commands(
                keeper,
                home.send_control,
                dial,
                tasks,
                policy=policy,
                condition=home.say_condition,
                desktops=shown,
                transfers=transfers,
                recordings=recordings,
            )
            recordings.on_condition = home.say_recording
            home.on_greeted = lambda: _say_recordings(recordings, home, tasks)
            look = asyncio.Event()
            policy.on_change = look.set
            viewers.begin(tasks)
            doors.begin(tasks)
            rdp.begin(tasks)
            await _begin_machine(machine, settings, tasks)
            transfers.begin(tasks)
            await asyncio.to_thread(folders.sweep)
            await desktops.load(tasks)
            await keeper.load(tasks)
            await recordings.load(tasks)
            background = [
                tasks.create_task(home.run()),
                tasks.create_task(_look_around(lambda: (offers(), capabilities()), home, look)),
                tasks.create_task(policy.watch()),
                tasks.create_task(recordings.run()),
            ]
            if who.device is not None:
                background.append(tasks.create_task(who.device.keep_fresh()))
            async with _moonlight(settings, desktops, tasks):
                log.info("runner started", extra={"runner": who.runner_id, "pid": os.getpid()})
                await stop.wait()
                log.info("runner stops; its agents go on")
            for task in background:
                task.cancel()
            await recordings.close()
            raise _StopError
    except* _StopError:
        pass
    except* RunnerConfigurationError as group:
        wrong = group
    finally:
        keeper.close()
        desktops.close()
        relay.close()
        await viewers.close()
        await transfers.close()
    if wrong is not None:
        raise wrong.exceptions[0]


async def _policy(settings: RunnerSettings) -> PolicyInForce:
    """What this machine accepts. Raises RunnerConfigurationError."""
    try:
        return await asyncio.to_thread(
            PolicyInForce, settings.policy, required=settings.policy_file is not None
        )
    except PolicyError as error:
        raise RunnerConfigurationError(str(error)) from None


@contextlib.asynccontextmanager
async def _moonlight(
    settings: RunnerSettings, desktops: DesktopKeeper, tasks: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """The GameStream host, where it is switched on. Raises RunnerConfigurationError."""
    if not settings.moonlight.enabled:
        yield
        return
    from earthshine.runner import moonlight  # noqa: PLC0415  few need it

    async with contextlib.AsyncExitStack() as served:
        serving = moonlight.serving(
            settings.moonlight, settings.state_dir, settings.desktop, desktops.get, tasks
        )
        try:
            await served.enter_async_context(serving)
        except moonlight.MoonlightConfigurationError as error:
            raise RunnerConfigurationError(str(error)) from None
        yield


async def _begin_machine(
    machine: MachineRdp, settings: RunnerSettings, tasks: asyncio.TaskGroup
) -> None:
    """Raises RunnerConfigurationError."""
    try:
        await machine.begin(tasks, production=settings.mode == "production")
    except InitialPasswordError as error:
        raise RunnerConfigurationError(str(error)) from None


def _say_recordings(recordings: Recordings, home: DialHome, tasks: asyncio.TaskGroup) -> None:
    """The control plane may have forgotten, or was away when it changed."""

    async def say() -> None:
        for session_id, condition in (await recordings.conditions()).items():
            home.say_recording(session_id, condition)

    tasks.create_task(say())


def _permits(
    policy: PolicyInForce, shown: Desktops, transfers: TransferServer, destination: Destination
) -> bool:
    """Whether the control plane may dial there: our own sockets, and what the policy allows."""
    ours = isinstance(destination, UnixDestination) and (
        shown.serves(destination) or transfers.serves(destination.path)
    )
    if not ours:
        policy().check_destination(destination)
    return True


def _typing_refused(policy: PolicyInForce, name: str) -> str:
    """Why this machine lets nobody of this name type; empty: it does."""
    try:
        policy().check_typing(name)
    except PolicyRefusedError as error:
        return error.detail
    return ""


class _StopError(Exception):
    """Ends the task group: everything in it can be taken up again later."""


Offers = tuple[list[AgentOffer], dict[str, str]]
"""The agents, and what else the machine can do."""


async def _look_around(offers: Callable[[], Offers], home: DialHome, look: asyncio.Event) -> None:
    """What can be started here, again and again, and at once when `look` is set."""
    known = await asyncio.to_thread(offers)
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN):
                await look.wait()
        look.clear()
        now = await asyncio.to_thread(offers)
        if now != known:
            known = now
            home.offers_changed(*now)
