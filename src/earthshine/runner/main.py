"""The runner, composed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from earthshine.net.relay import Relay
from earthshine.net.upgrade import Endpoint
from earthshine.protocols.envelope import AgentOffer, ControlPayload
from earthshine.protocols.revdial import Destination, Dial, DialFailed, DialSpares
from earthshine.runner.agents.catalog import AgentCatalog
from earthshine.runner.commands import Commands
from earthshine.runner.dialback import DialBack
from earthshine.runner.dialhome import DialHome
from earthshine.runner.policy.file import PolicyInForce
from earthshine.runner.policy.rules import PolicyError
from earthshine.runner.sessions.keeper import SessionKeeper
from earthshine.runner.settings import RunnerSettings
from earthshine.runner.trust import TrustError, connection_context

LOOK_AGAIN: Final = 60.0
"""Seconds between looks for newly installed agents."""
log = logging.getLogger(__name__)


class RunnerConfigurationError(Exception):
    """The runner cannot start as it is configured; the message says what to do."""


def runner_id(state: Path) -> str:
    """This runner's id, made at its first start."""
    path = state / "runner-id"
    with contextlib.suppress(FileNotFoundError):
        known = path.read_text().strip()
        if known:
            return known
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = uuid.uuid4().hex
    path.write_text(fresh + "\n")
    return fresh


def read_token(settings: RunnerSettings) -> str:
    """The static runner token. Raises RunnerConfigurationError."""
    if settings.token is not None:
        return settings.token.get_secret_value()
    if settings.token_file is None:
        raise RunnerConfigurationError(
            "no runner token: set EARTHSHINE_RUNNER_TOKEN_FILE to a file that holds it "
            "(the control plane's `earthshine serve` says where its own is)"
        )
    try:
        mode = settings.token_file.stat().st_mode
        token = settings.token_file.read_text().strip()
    except OSError as error:
        raise RunnerConfigurationError(
            f"the token file {settings.token_file} cannot be read: {error.strerror}"
        ) from None
    if mode & 0o077:
        raise RunnerConfigurationError(
            f"others can read the token file: run `chmod 600 {settings.token_file}`"
        )
    if not token:
        raise RunnerConfigurationError(f"the token file {settings.token_file} is empty")
    return token


async def run(settings: RunnerSettings) -> None:
    """Until SIGTERM or SIGINT. The agents go on. Raises RunnerConfigurationError."""
    identity = runner_id(settings.state_dir)
    token = read_token(settings)
    try:
        tls = await asyncio.to_thread(connection_context, settings)
        policy = await asyncio.to_thread(
            PolicyInForce, settings.policy, required=settings.policy_file is not None
        )
    except (TrustError, PolicyError) as error:
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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:

            def obey(session_id: str | None, payload: ControlPayload) -> None:
                commands.obey(session_id, payload)

            home = DialHome(
                settings.url,
                identity,
                settings.name,
                lambda: f"Bearer {token}",
                keeper,
                offers,
                obey,
                ssl_context=tls,
            )

            def permits(destination: Destination) -> bool:
                policy().check_destination(destination)
                return True

            async def report(failure: DialFailed) -> None:
                await home.send_control(failure)

            back = DialBack(
                Endpoint(settings.url, ssl_context=tls),
                lambda: f"Bearer {identity}.{token}",
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
            log.info("runner started", extra={"runner": identity, "pid": os.getpid()})
            await stop.wait()
            log.info("runner stops; its agents go on")
            for task in background:
                task.cancel()
            raise _StopError
    except* _StopError:
        pass
    finally:
        keeper.close()
        relay.close()


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
