"""The runner, composed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import uuid
from pathlib import Path
from typing import Final

from earthshine.net.relay import Relay
from earthshine.net.upgrade import Endpoint
from earthshine.protocols.envelope import ControlPayload
from earthshine.protocols.revdial import Dial, DialFailed, DialSpares
from earthshine.runner.agents.catalog import AgentCatalog
from earthshine.runner.commands import Commands
from earthshine.runner.dialback import DialBack
from earthshine.runner.dialhome import DialHome
from earthshine.runner.sessions.keeper import SessionKeeper
from earthshine.runner.settings import RunnerSettings

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
    catalog = AgentCatalog(settings.programs)
    keeper = SessionKeeper(
        settings.state_dir,
        settings.data_dir,
        catalog,
        spool_limit=settings.spool_limit,
        overflow=settings.overflow,
    )
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
                settings.url,
                identity,
                settings.name,
                lambda: f"Bearer {token}",
                keeper,
                catalog.offers,
                obey,
            )

            async def report(failure: DialFailed) -> None:
                await home.send_control(failure)

            back = DialBack(
                Endpoint(settings.url), lambda: f"Bearer {identity}.{token}", relay, report
            )

            def dial(command: Dial | DialSpares) -> None:
                back.start(command, tasks)

            commands = Commands(keeper, home.send_control, dial, tasks)
            await keeper.load(tasks)
            background = [
                tasks.create_task(home.run()),
                tasks.create_task(_look_for_agents(catalog, home)),
            ]
            async with contextlib.AsyncExitStack() as served:
                if settings.moonlight.enabled:
                    from earthshine.runner import moonlight  # noqa: PLC0415  few need it

                    desktops = moonlight.serving(
                        settings.moonlight,
                        settings.state_dir,
                        settings.desktop,
                        lambda _: None,
                        tasks,
                    )
                    try:
                        await served.enter_async_context(desktops)
                    except moonlight.MoonlightConfigurationError as error:
                        raise RunnerConfigurationError(str(error)) from None
                log.info("runner started", extra={"runner": identity, "pid": os.getpid()})
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


class _StopError(Exception):
    """Ends the task group: everything in it can be taken up again later."""


async def _look_for_agents(catalog: AgentCatalog, home: DialHome) -> None:
    known = await asyncio.to_thread(catalog.offers)
    while True:
        await asyncio.sleep(LOOK_AGAIN)
        now = await asyncio.to_thread(catalog.offers)
        if now != known:
            known = now
            home.agents_changed(now)
