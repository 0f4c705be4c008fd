"""What this machine has, in words: for `up` and `doctor`."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from earthshine.control.ui.pages import DIST
from earthshine.runner.agents.catalog import AgentCatalog
from earthshine.runner.desktops.capabilities import first, survey
from earthshine.runner.desktops.offer import offer
from earthshine.runner.settings import RunnerSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `needed` False: Earthshine works without it."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def agents(settings: RunnerSettings) -> list[Finding]:
    """Which agents can be started."""
    return [
        Finding(
            offer.label,
            offer.detail is None,
            offer.path or "",
            (offer.detail or "").partition("; ")[2],
            needed=False,
        )
        for offer in AgentCatalog(settings.programs).offers()
        if offer.name != "command"
    ]


def desktops(settings: RunnerSettings) -> list[Finding]:
    """What sessions' desktops are made of: each part, and whether there can be any."""
    own = settings.desktop
    if own.backend == "off":
        return [Finding("desktops", ok=True, detail="switched off (runner.desktop.backend)")]
    found = survey(own.programs_path)
    why_not = offer(own, found)["desktop"]
    findings = [
        Finding(
            "desktops",
            not why_not,
            why_not or "sessions can have one",
            "see docs/desktops.md" if why_not else "",
            needed=False,
        )
    ]
    for role in dict.fromkeys(part.role for part in found):
        part = first(found, role)
        what = f"desktops: {role}"
        detail = f"{part.name} ({part.path})" if part.available else part.detail
        findings.append(Finding(what, part.available, detail, part.remedy, needed=False))
    return findings


def programs() -> list[Finding]:
    """Programs that parts of Earthshine call."""
    git = shutil.which("git")
    return [
        Finding(
            "git",
            git is not None,
            git or "not on PATH: sessions cannot have worktrees",
            "apt-get install git",
            needed=False,
        )
    ]


def folders(*paths: Path) -> list[Finding]:
    """Whether state can be written."""
    findings = []
    for path in paths:
        existing = next(p for p in (path, *path.parents) if p.exists())
        writable = os.access(existing, os.W_OK | os.X_OK)
        free = shutil.disk_usage(existing).free // 2**20
        enough = free >= 512
        findings.append(
            Finding(
                str(path),
                writable and enough,
                f"{free} MiB free" if writable else "cannot be written",
                "free some space" if writable else "check the folder's owner and permissions",
            )
        )
    return findings


def ui() -> Finding:
    """Whether the web UI was built."""
    built = (DIST / "index.html").is_file()
    return Finding("web UI", built, "built in" if built else "not built", "run `make ui`")
