"""`earthshine serve`."""

from __future__ import annotations

from pathlib import Path

import click
import uvloop

from earthshine.cli import configuration, logs
from earthshine.control.server import Running, Server, ServerConfigurationError
from earthshine.control.settings import ControlSettings


@click.command()
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one [7180].")
@click.option("--public-url", help="How browsers and runners reach this server.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
def serve(
    host: str | None, port: int | None, public_url: str | None, state_dir: Path | None
) -> None:
    """Run the control plane alone; runners connect to it with `earthshine runner`."""
    logs.configure()
    settings = configuration.load(
        ControlSettings,
        "control",
        {"host": host, "port": port, "public_url": public_url, "state_dir": state_dir},
        {"mode": "production"},
    )
    try:
        uvloop.run(Server(settings).run(_announce))
    except ServerConfigurationError as error:
        raise click.ClickException(str(error)) from None


def _announce(running: Running) -> None:
    click.echo(
        f"Earthshine is ready. Open this link to sign in (it works once):\n\n"
        f"    {running.sign_in_url}\n"
    )
    if running.runner_token_file is not None:
        click.echo(
            f"Runners authenticate with the token in {running.runner_token_file}\n"
            f"On another machine: EARTHSHINE_RUNNER_TOKEN_FILE=FILE earthshine runner "
            f"--url {running.url}"
        )
    if running.needs_pin:
        click.echo(
            f"The certificate is this server's own: runners need "
            f"EARTHSHINE_RUNNER_PIN={running.tls_fingerprint}"
        )
