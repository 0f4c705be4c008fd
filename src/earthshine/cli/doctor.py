"""`earthshine doctor`."""

from __future__ import annotations

import dataclasses
import json
import platform
import socket
import sys
from urllib.parse import urlsplit

import click

from earthshine.cli import configuration, machine
from earthshine.cli.machine import Finding
from earthshine.control.settings import ControlSettings
from earthshine.runner.settings import RunnerSettings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Check whether this machine has what Earthshine needs. Exit code 1 if something is missing."""
    control = configuration.load(ControlSettings, "control", {})
    runner = configuration.load(RunnerSettings, "runner", {})
    findings = [
        Finding(
            "Python",
            sys.version_info >= (3, 11),
            platform.python_version(),
            "install Python 3.11 or newer",
        ),
        Finding(
            "system",
            platform.system() == "Linux",
            platform.platform(),
            "agents' terminals are held on Linux only",
        ),
        machine.ui(),
        *machine.folders(control.state_dir, runner.state_dir),
        *machine.programs(),
        _reachable(runner.url),
        *machine.agents(runner),
        *machine.desktops(runner),
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _print(finding)
    if any(not finding.ok and finding.needed for finding in findings):
        raise SystemExit(1)


def _print(finding: Finding) -> None:
    mark, colour = ("ok", "green") if finding.ok else ("missing", "yellow")
    if not finding.ok and finding.needed:
        mark, colour = "FAIL", "red"
    click.echo(f"{click.style(f'{mark:>8}', fg=colour)}  {finding.what}: {finding.detail}")
    if not finding.ok and finding.remedy:
        click.echo(f"{'':>8}  -> {finding.remedy}")


def _reachable(url: str) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=3):
            return Finding(f"control plane at {url}", ok=True, detail="reachable")
    except OSError as error:
        return Finding(
            f"control plane at {url}",
            ok=False,
            detail=str(error),
            remedy="start it with `earthshine up` or `earthshine serve`, or set runner.url",
            needed=False,
        )
