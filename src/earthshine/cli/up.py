"""`earthshine up`: control plane and a local runner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path
from typing import Any

import click
import uvloop

from earthshine.cli import configuration, logs, machine
from earthshine.control.server import Running, Server, ServerConfigurationError
from earthshine.control.settings import ControlSettings
from earthshine.net.backoff import Backoff
from earthshine.runner.settings import RunnerSettings


@click.command()
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one [7180].")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
def up(host: str | None, port: int | None, state_dir: Path | None) -> None:
    """Start the control plane and a runner on this machine, and print a link to open."""
    logs.configure(os.environ.get("EARTHSHINE_LOG", "WARNING").upper())
    # Its own runner has nothing but the static token.
    own: dict[str, Any] = {"host": host, "port": port, "runner_token_enabled": True}
    theirs: dict[str, Path | None] = {}
    if state_dir is not None:
        own["state_dir"] = state_dir / "control"
        theirs["state_dir"] = state_dir / "runner"
    control = configuration.load(ControlSettings, "control", own)
    runner = configuration.load(RunnerSettings, "runner", theirs)
    uvloop.run(_run(control, runner))


async def _run(control: ControlSettings, runner: RunnerSettings) -> None:
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    def ready(running: Running) -> None:
        _greet(running, runner)
        started.set_result(running)

    async def supervise() -> None:
        await _keep_runner(control, runner, await started)

    wrong: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            supervisor = tasks.create_task(supervise())
            await Server(control).run(ready)
            supervisor.cancel()
    except* ServerConfigurationError as group:
        wrong = group.exceptions[0]
    if wrong is not None:
        raise click.ClickException(str(wrong))


def _greet(running: Running, runner: RunnerSettings) -> None:
    findings = [machine.ui(), *machine.programs(), *machine.agents(runner)]
    missing = [finding for finding in findings if not finding.ok]
    if missing:
        click.echo("Not found here (Earthshine works without, as far as it can):")
        for finding in missing:
            click.echo(f"  - {finding.what}: {finding.remedy}")
        click.echo()
    click.secho("Earthshine is ready.", bold=True)
    click.echo("Open this link to sign in; it works once:\n")
    click.secho(f"    {running.sign_in_url}\n", bold=True)
    click.echo("Ctrl-C stops the server. Agents go on working and are here again next time.")


async def _keep_runner(control: ControlSettings, runner: RunnerSettings, running: Running) -> None:
    """Run the local runner, again after a crash, until cancelled."""
    token_file = running.runner_token_file
    environment = {
        # The server's own secrets are none of the runner's.
        **{k: v for k, v in os.environ.items() if not k.startswith("EARTHSHINE_SECRETS_")},
        "EARTHSHINE_RUNNER_URL": running.own_url,
        "EARTHSHINE_RUNNER_STATE_DIR": str(runner.state_dir),
        "EARTHSHINE_RUNNER_ALLOW_PLAIN_HTTP": "true" if running.tls is None else "false",
    }
    if token_file is not None:
        environment["EARTHSHINE_RUNNER_TOKEN_FILE"] = str(token_file)
    elif control.runner_token is not None:
        environment["EARTHSHINE_RUNNER_TOKEN"] = control.runner_token.get_secret_value()
    environment.setdefault("EARTHSHINE_LOG", "WARNING")
    backoff = Backoff(random.random)
    process: asyncio.subprocess.Process | None = None

    def renewed() -> None:
        """The server shows another key: start the runner again with its pin."""
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    if running.tls is not None:
        running.tls.on_change.append(renewed)
    while True:
        # Also when there is none: one in the configuration is another server's.
        environment["EARTHSHINE_RUNNER_PIN"] = running.own_pin or ""
        # A session of its own: Ctrl-C is for us, and we tell the runner.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "earthshine.cli",
            "runner",
            env=environment,
            start_new_session=True,
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        click.echo(f"The local runner ended with code {code}; starting it again.", err=True)
        await asyncio.sleep(backoff.next())
