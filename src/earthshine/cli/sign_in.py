"""`earthshine sign-in`."""

from __future__ import annotations

import click

from earthshine.cli.client import Api


@click.command(name="sign-in")
@click.option("--person", default="", help="For whom; a new name becomes a new person.")
def sign_in(person: str) -> None:
    """Print a new one-time link that signs a browser in."""
    answer = Api().call("POST", "/sign-in-codes", {"person": person})
    click.echo(answer["url"])
