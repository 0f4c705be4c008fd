"""The `earthshine` command: thin, each subcommand imports what it runs."""

from __future__ import annotations

import importlib
from typing import Final

import click

from earthshine import __version__

COMMANDS: Final = {
    "up": ("earthshine.cli.up", "up"),
    "serve": ("earthshine.cli.serve", "serve"),
    "runner": ("earthshine.cli.runner", "runner"),
    "policy": ("earthshine.cli.policy", "policy"),
    "pair": ("earthshine.cli.pair", "pair"),
    "session": ("earthshine.cli.session", "session"),
    "audit": ("earthshine.cli.audit", "audit"),
    "moonlight": ("earthshine.cli.moonlight", "moonlight"),
    "sign-in": ("earthshine.cli.sign_in", "sign_in"),
    "login": ("earthshine.cli.login", "login"),
    "logout": ("earthshine.cli.login", "logout"),
    "token": ("earthshine.cli.token", "token"),
    "doctor": ("earthshine.cli.doctor", "doctor"),
    "openapi": ("earthshine.cli.openapi", "openapi"),
}


class LazyGroup(click.Group):
    """Imports a subcommand when it is asked for, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=LazyGroup)
@click.version_option(__version__)
def main() -> None:
    """Run coding agents on any machine and watch, steer and approve them from anywhere."""
