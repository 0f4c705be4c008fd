"""`earthshine pair new|list|confirm|refuse`: letting a machine in, from where one is signed in."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import click

from earthshine.cli.client import EXIT_NOT_ALLOWED, Api, fail

POLL: Final = 1.0
"""Seconds between looks at the pairing."""


@click.group()
def pair() -> None:
    """Let another machine run agents for you."""


@pair.command()
@click.option("--shared", is_flag=True, help="For all members, not only for you.")
@click.option("--json", "as_json", is_flag=True, help="Print the pairing as JSON, do not wait.")
def new(*, shared: bool, as_json: bool) -> None:
    """Make a pairing code, wait for the machine, and ask whether to let it in."""
    api = Api()
    made = api.call("POST", "/pairings", {"shared": shared})
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    _show(made)
    seen = _wait(api, made["id"], ("waiting",))
    if seen["state"] == "presented":
        seen = _decide(api, seen)
    if seen["state"] == "confirmed":
        seen = _wait(api, made["id"], ("confirmed",))
    if seen["state"] != "paired":
        fail(_why(seen), EXIT_NOT_ALLOWED)
    click.echo(f"{seen['machine']['name']} is paired. Start it there with `earthshine runner`.")


def _show(made: dict[str, Any]) -> None:
    import segno

    click.echo("On the other machine run\n")
    click.secho(f"    {made['command']}\n", bold=True)
    if sys.stdout.isatty():
        segno.make(made["uri"], error="l", micro=False).terminal(compact=True)
    click.echo("The code is good for 5 minutes and for one machine. Waiting…")


def _wait(api: Api, pairing_id: str, states: tuple[str, ...]) -> dict[str, Any]:
    """The pairing once it has left these states."""
    while True:
        seen: dict[str, Any] = api.call("GET", f"/pairings/{pairing_id}")
        if seen["state"] not in states:
            return seen
        time.sleep(POLL)


def _decide(api: Api, seen: dict[str, Any]) -> dict[str, Any]:
    """Ask the person about exactly the machine that is shown."""
    machine = seen["machine"]
    click.echo(f"\n{machine['name']} ({machine['hostname']}, {machine['platform']})")
    click.echo(f"at {machine['address']} presented the code. Its fingerprint is\n")
    click.secho(f"    {machine['fingerprint']}\n", bold=True)
    if click.confirm("Does that machine show the same, and shall it be let in?", default=False):
        body = {"fingerprint": machine["fingerprint"]}
        return _answer(api, f"/pairings/{seen['id']}/confirm", body)
    return _answer(api, f"/pairings/{seen['id']}/refuse", {})


def _answer(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = api.call("POST", path, body)
    return answer


def _why(seen: dict[str, Any]) -> str:
    if seen["state"] == "expired":
        return "not paired: the time was up; start again with a new code"
    return f"not paired: {seen.get('detail') or seen['state']}"


@pair.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """List your pairings that are under way."""
    found = Api().call("GET", "/pairings")["pairings"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for seen in found:
        machine = seen["machine"]
        who = f"{machine['name']}  {machine['fingerprint']}" if machine else ""
        click.echo(f"{seen['id']}  {seen['state']:<10} until {seen['expiresAt']}  {who}".rstrip())


@pair.command()
@click.argument("pairing_id")
@click.argument("fingerprint")
def confirm(*, pairing_id: str, fingerprint: str) -> None:
    """Let in the machine that shows this FINGERPRINT."""
    seen = _answer(Api(), f"/pairings/{pairing_id}/confirm", {"fingerprint": fingerprint})
    click.echo(f"{seen['machine']['name']} may collect its credentials now.")


@pair.command()
@click.argument("pairing_id")
def refuse(*, pairing_id: str) -> None:
    """Void a pairing."""
    _answer(Api(), f"/pairings/{pairing_id}/refuse", {})
