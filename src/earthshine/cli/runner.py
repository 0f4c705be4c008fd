"""`earthshine runner [pair|status|unpair]`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import uvloop

from earthshine.cli import configuration, logs
from earthshine.cli.client import EXIT_NOT_ALLOWED, EXIT_UNAVAILABLE, fail
from earthshine.runner.credentials import (
    RunnerConfigurationError,
    RunnerNotTakenError,
    identity_store,
)
from earthshine.runner.main import run
from earthshine.runner.settings import RunnerSettings


@click.group(invoke_without_command=True)
@click.option("--url", help="The control plane [http://127.0.0.1:7180].")
@click.option("--name", help="What people call this machine [its host name].")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the static token.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
@click.pass_context
def runner(
    context: click.Context,
    url: str | None,
    name: str | None,
    token_file: Path | None,
    state_dir: Path | None,
) -> None:
    """Run agents on this machine. It only ever dials out. Ending it does not end the agents."""
    options = {"url": url, "name": name, "token_file": token_file, "state_dir": state_dir}
    context.obj = options
    if context.invoked_subcommand is not None:
        return
    logs.configure()
    settings = configuration.load(RunnerSettings, "runner", options)
    try:
        uvloop.run(run(settings))
    except RunnerNotTakenError as error:
        fail(str(error), EXIT_NOT_ALLOWED)
    except RunnerConfigurationError as error:
        raise click.ClickException(str(error)) from None


@runner.command()
@click.argument("url")
@click.argument("code", required=False)
@click.option("--name", help="What people call this machine [its host name].")
@click.option("--pin", default="", help="The server's key, if the address does not carry it.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Authorities to trust, in PEM.")
@click.option(
    "--allow-plain-http", is_flag=True, default=None, help="The network to the server is yours."
)
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each step.")
@click.pass_obj
def pair(
    options: dict[str, Any],
    *,
    url: str,
    code: str | None,
    name: str | None,
    pin: str,
    ca_file: Path | None,
    allow_plain_http: bool | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Pair this machine with the control plane at URL, with the CODE that it shows.

    URL may be followed by # and the pin of the server's key, or be the whole text of the QR code.
    """
    from earthshine.protocols import pairing

    try:
        if url.startswith(f"{pairing.SCHEME}:"):
            address, read = pairing.read_pairing_uri(url)
        else:
            address = pairing.read_address(url)
            read = pairing.read_code(code or click.prompt("Pairing code"))
    except pairing.PairingError as error:
        raise click.ClickException(f"{error}.") from None
    given = {
        "url": address.url,
        "pin": pin or address.pin,
        "ca_file": ca_file,
        "allow_plain_http": allow_plain_http,
        "name": name or options["name"],
        "state_dir": state_dir or options["state_dir"],
    }
    settings = configuration.load(RunnerSettings, "runner", given)
    uvloop.run(_pair(settings, read, as_json=as_json))


async def _pair(settings: RunnerSettings, code: str, *, as_json: bool) -> None:
    import socket

    from earthshine.runner.identity.client import ControlPlaneClient
    from earthshine.runner.identity.pairing import PairingFailedError
    from earthshine.runner.identity.pairing import pair as exchange
    from earthshine.runner.identity.record import BadRecordError
    from earthshine.runner.trust import TrustError, connection_context

    def presented(fingerprint: str) -> None:
        if as_json:
            click.echo(json.dumps({"state": "presented", "fingerprint": fingerprint}))
            return
        click.echo("The code was accepted. This machine's fingerprint is\n")
        click.secho(f"    {fingerprint}\n", bold=True)
        click.echo(
            "Confirm the pairing where the code was made, if exactly this is shown there.\nWaiting…"
        )

    store = identity_store(settings)
    try:
        known = await asyncio.to_thread(store.note)
        if known is not None and known.ended is None:
            fail(
                f"this machine is paired with {known.url} already (as {known.name}); "
                "run `earthshine runner unpair` first"
            )
        tls = await asyncio.to_thread(connection_context, settings)
        client = ControlPlaneClient(settings.url, tls)
        try:
            identity = await exchange(
                client,
                settings.url,
                code,
                settings.name or socket.gethostname(),
                presented,
                pin=settings.pin,
                ca_file="" if settings.ca_file is None else str(settings.ca_file.resolve()),
                allow_plain_http=settings.allow_plain_http,
            )
        finally:
            await client.close()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note = await asyncio.to_thread(store.found, identity, now, settings.identity_store)
    except PairingFailedError as error:
        fail(f"not paired: {error}", EXIT_NOT_ALLOWED)
    except (TrustError, BadRecordError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({"state": "paired", "runnerId": note.runner_id, "store": note.store}))
        return
    where = "in the keychain" if note.store == "keyring" else "in an encrypted file"
    click.echo(f"Paired as {note.name}; its key and tokens are {where}.")
    click.echo("Start it with `earthshine runner`.")


@runner.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(options: dict[str, Any], *, state_dir: Path | None, as_json: bool) -> None:
    """Print what this machine is paired with. Exit code 1 if with nothing."""
    store, note = _note(options, state_dir)
    if note is None:
        if as_json:
            click.echo(json.dumps({"paired": False}))
        else:
            click.echo("This machine is not paired.")
        raise SystemExit(1)
    bound = note.store == "keyring" or store.is_bound_to_machine
    if as_json:
        click.echo(
            json.dumps(
                {
                    "paired": note.ended is None,
                    "url": note.url,
                    "runnerId": note.runner_id,
                    "name": note.name,
                    "fingerprint": note.fingerprint,
                    "pairedAt": note.paired_at,
                    "store": note.store,
                    "machineBound": bound,
                    "ended": note.ended,
                },
                indent=2,
            )
        )
        return
    kept = "the keychain" if note.store == "keyring" else "an encrypted file"
    for what, value in (
        ("control plane", note.url),
        ("name", note.name),
        ("runner id", note.runner_id),
        ("fingerprint", note.fingerprint),
        ("paired", note.paired_at),
        ("kept in", kept + ("" if bound else " (this machine has no id to bind it to)")),
        ("ended", note.ended),
    ):
        if value:
            click.echo(f"{what:<14} {value}")


@runner.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where state is kept.")
@click.pass_obj
def unpair(options: dict[str, Any], *, state_dir: Path | None) -> None:
    """Give this machine's credentials up, here and at the control plane."""
    store, note = _note(options, state_dir)
    if note is None:
        click.echo("This machine is not paired.")
        return
    told = uvloop.run(_tell(options, state_dir)) if note.ended is None else None
    store.delete()
    click.echo(f"This machine is not paired with {note.url} any more.")
    if told is not None:
        fail(
            f"{note.url} could not be told: {told}; revoke {note.name} on its Runners page",
            EXIT_UNAVAILABLE,
        )


async def _tell(options: dict[str, Any], state_dir: Path | None) -> str | None:
    """Why the control plane could not be told; None if it was."""
    from earthshine.runner.credentials import credentials
    from earthshine.runner.identity.unpairing import unpair as leave

    settings = _settings(options, state_dir).model_copy(update={"token": None, "token_file": None})
    try:
        who = await asyncio.to_thread(credentials, settings)
        return await leave(who.client, who.device)
    except RunnerConfigurationError as error:
        return str(error)


def _settings(options: dict[str, Any], state_dir: Path | None) -> RunnerSettings:
    given = {"state_dir": state_dir or options["state_dir"]}
    return configuration.load(RunnerSettings, "runner", given)


def _note(options: dict[str, Any], state_dir: Path | None) -> tuple[Any, Any]:
    from earthshine.runner.identity.record import BadRecordError

    store = identity_store(_settings(options, state_dir))
    try:
        return store, store.note()
    except BadRecordError as error:
        raise click.ClickException(str(error)) from None
