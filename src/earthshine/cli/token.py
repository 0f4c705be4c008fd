"""`earthshine token new|list|end`."""

from __future__ import annotations

import json

import click

from earthshine.cli.client import Api
from earthshine.control.access import Scope


@click.group()
def token() -> None:
    """Make, list and end API tokens of your own."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may be used for; may be given again.",
)
@click.option("--days", type=click.IntRange(1, 365), default=90, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(*, name: str, scopes: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make a token and print it: it is shown only now."""
    body = {"name": name, "scopes": list(scopes), "expiresInDays": days}
    made = Api().call("POST", "/me/tokens", body)
    click.echo(json.dumps(made, indent=2) if as_json else made["token"])


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """List your tokens, last used first."""
    tokens = Api().call("GET", "/me/tokens")["tokens"]
    if as_json:
        click.echo(json.dumps(tokens, indent=2))
        return
    for one in tokens:
        scopes = ",".join(one["scopes"])
        click.echo(f"{one['id']}  until {one['expiresAt'][:10]}  {scopes:<28}  {one['name']}")


@token.command()
@click.argument("token_id")
def end(token_id: str) -> None:
    """End a token, by the id that `list` shows."""
    Api().call("DELETE", f"/me/tokens/{token_id}")
