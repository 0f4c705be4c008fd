"""The `earthshine` command."""

import click


@click.group()
def main() -> None:
    """Run coding agents on any machine and watch them from anywhere."""
