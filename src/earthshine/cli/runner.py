"""`earthshine runner`."""

from __future__ import annotations

from pathlib import Path

import click
import uvloop

from earthshine.cli import configuration, logs
from earthshine.runner.main import RunnerConfigurationError, run
from earthshine.runner.settings import RunnerSettings


@click.command()
@click.option("--url", help="The control plane [http://127.0.0.1:7180].")
@click.option("--name", help="What people call this machine [its host name].")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the runner token.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
def runner(
    url: str | None, name: str | None, token_file: Path | None, state_dir: Path | None
) -> None:
    """Run agents on this machine. It only ever dials out. Ending it does not end the agents."""
    logs.configure()
    settings = configuration.load(
        RunnerSettings,
        "runner",
        {"url": url, "name": name, "token_file": token_file, "state_dir": state_dir},
    )
    try:
        uvloop.run(run(settings))
    except RunnerConfigurationError as error:
        raise click.ClickException(str(error)) from None
