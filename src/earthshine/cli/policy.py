"""`earthshine policy`: what this machine lets a control plane do."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from earthshine.cli import configuration
from earthshine.runner.agents.catalog import CATALOG
from earthshine.runner.policy.file import read
from earthshine.runner.policy.rules import Policy, PolicyError
from earthshine.runner.settings import RunnerSettings


@click.group()
def policy() -> None:
    """What this machine lets a control plane do: agents, folders, commands, ports, people."""


@policy.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(*, as_json: bool) -> None:
    """Print the policy that a runner here has in force."""
    known = _load(None)
    if as_json:
        source = None if known.source is None else str(known.source)
        rules = msgspec.to_builtins(known.rules)
        click.echo(json.dumps({"file": source, "rules": rules}, indent=2))
        return
    click.echo(f"From {known.source}" if known.source else "No policy file: nothing is restricted.")
    for rule, words in known.describe():
        click.echo(f"  {rule:<13} {words}")


@policy.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(file: Path | None, *, as_json: bool) -> None:
    """Check a policy file, or the one in use. Exit code 1 if a runner would not take it."""
    known = _load(file)
    doubts = _doubts(known)
    if as_json:
        source = None if known.source is None else str(known.source)
        click.echo(json.dumps({"file": source, "doubts": doubts}, indent=2))
        return
    click.echo(f"{known.source or 'No policy file'}: good")
    for doubt in doubts:
        click.echo(f"  but {doubt}")


def _load(file: Path | None) -> Policy:
    try:
        if file is not None:
            return read(file, required=True)
        settings = configuration.load(RunnerSettings, "runner", {})
        return read(settings.policy, required=settings.policy_file is not None)
    except PolicyError as error:
        raise click.ClickException(str(error)) from None


def _doubts(known: Policy) -> list[str]:
    """What is allowed to be there but may not be meant."""
    names = {agent.name for agent in CATALOG}
    doubts = [f"there is no agent called {n}" for n in known.rules.agents or () if n not in names]
    doubts += [
        f"the folder {folder} does not exist"
        for folder in known.rules.folders or ()
        if not Path(folder).expanduser().is_dir()
    ]
    opens = [name for name in ("shell", "command") if known.starts(name)]
    if known.rules.folders is not None and opens:
        doubts.append(
            f"`folders` says where a session begins; {' and '.join(opens)} can go elsewhere"
        )
    return doubts
