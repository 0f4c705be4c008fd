"""The runner, composed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Final

from earthshine.net.relay import Relay
from earthshine.net.upgrade import Endpoint
from earthshine.protocols.envelope import AgentOffer, ControlPayload
from earthshine.protocols.revdial import Destination, Dial, DialFailed, DialSpares
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
from earthshine.runner.dialback import DialBack
from earthshine.runner.dialhome import DialHome
from earthshine.runner.identity.record import CredentialsEndedError
from earthshine.runner.policy.file import PolicyInForce
from earthshine.runner.policy.rules import PolicyError
from earthshine.runner.sessions.keeper import SessionKeeper
from earthshine.runner.settings import RunnerSettings

LOOK_AGAIN: Final = 60.0
"""Seconds between looks for newly installed agents."""
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
    try:
        policy = await asyncio.to_thread(
            PolicyInForce, settings.policy, required=settings.policy_file is not None
        )
    except PolicyError as error:
        raise RunnerConfigurationError(str(error)) from None
    catalog = AgentCatalog(settings.programs)
    keeper = SessionKeeper(
        settings.state_dir,
        settings.data_dir,
        catalog,
        spool_limit=settings.spool_limit,
        overflow=settings.overflow,
        policy=policy,
        redact_secrets=settings.redact_secrets,
    )

    def offers() -> list[AgentOffer]:
        return policy().offers(catalog.offers())

    relay = Relay()
    relay.start()
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
            )

            def permits(destination: Destination) -> bool:
                policy().check_destination(destination)
                return True

            async def report(failure: DialFailed) -> None:
                await home.send_control(failure)

            back = DialBack(
                Endpoint(who.url, ssl_context=who.tls),
                who.dial_back,
                relay,
                report,
                policy=permits,
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
            )
            look = asyncio.Event()
            policy.on_change = look.set
            await keeper.load(tasks)
            background = [
                tasks.create_task(home.run()),
                tasks.create_task(_look_for_agents(offers, home, look)),
                tasks.create_task(policy.watch()),
            ]
            if who.device is not None:
                background.append(tasks.create_task(who.device.keep_fresh()))
            async with _moonlight(settings, tasks):
                log.info("runner started", extra={"runner": who.runner_id, "pid": os.getpid()})
                await stop.wait()
                log.info("runner stops; its agents go on")
            for task in background:
                task.cancel()
            raise _StopError
    except* _StopError:
        pass
    except* RunnerConfigurationError as group:
        wrong = group
    finally:
        keeper.close()
        relay.close()
    if wrong is not None:
        raise wrong.exceptions[0]


@contextlib.asynccontextmanager
async def _moonlight(settings: RunnerSettings, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
    """The GameStream host, where it is switched on. Raises RunnerConfigurationError."""
    if not settings.moonlight.enabled:
        yield
        return
    from earthshine.runner import moonlight  # noqa: PLC0415  few need it

    async with contextlib.AsyncExitStack() as served:
        serving = moonlight.serving(
            settings.moonlight, settings.state_dir, settings.desktop, lambda _: None, tasks
        )
        try:
            await served.enter_async_context(serving)
        except moonlight.MoonlightConfigurationError as error:
            raise RunnerConfigurationError(str(error)) from None
        yield


class _StopError(Exception):
    """Ends the task group: everything in it can be taken up again later."""


async def _look_for_agents(
    offers: Callable[[], list[AgentOffer]], home: DialHome, look: asyncio.Event
) -> None:
    """Again and again, and at once when `look` is set."""
    known = await asyncio.to_thread(offers)
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN):
                await look.wait()
        look.clear()
        now = await asyncio.to_thread(offers)
        if now != known:
            known = now
            home.agents_changed(now)
