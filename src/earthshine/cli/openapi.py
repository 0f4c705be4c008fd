"""`earthshine openapi`."""

from __future__ import annotations

import json

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    from earthshine.control.app import api

    click.echo(json.dumps(api().openapi(), indent=2))
