"""What this machine's desktops are capable of, in words for the control plane and for `doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Final

from earthshine.runner.desktops import capabilities as c
from earthshine.runner.desktops.capabilities import Capability
from earthshine.runner.desktops.settings import DesktopSettings

SURVEY_SECONDS: Final = 30.0
"""How long loading the libraries once may take."""
AGAIN_SECONDS: Final = 600.0
"""Between looks for libraries, while some are missing."""
OFF: Final = "Desktops are switched off on this machine (runner.desktop.backend)."


class DesktopOffer:
    """`offer()` gives what a runner says in its greeting. Reads the disk; for a thread."""

    def __init__(self, settings: DesktopSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._libraries: list[Capability] = []
        self._looked_at = float("-inf")

    def __call__(self) -> dict[str, str]:
        """Empty where it can, else why not and what to do."""
        paths = self._settings.programs_path
        found = [*c.programs(paths), *self._known_libraries(), *c.rdp(paths)]
        return offer(self._settings, found)

    def _known_libraries(self) -> list[Capability]:
        """Looked for once; again now and then while something is missing."""
        with self._lock:
            complete = bool(self._libraries) and all(part.available for part in self._libraries)
            if not complete and time.monotonic() - self._looked_at > AGAIN_SECONDS:
                self._libraries = _libraries()
                self._looked_at = time.monotonic()
            return self._libraries


def _libraries() -> list[Capability]:
    """In a process of its own: once loaded they stay, and a broken one may crash."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", c.__name__],
            capture_output=True,
            timeout=SURVEY_SECONDS,
            check=True,
        )
        return [Capability(**found) for found in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        detail = f"the desktop's libraries cannot be loaded: {type(error).__name__}"
        remedy = "`earthshine doctor` says more"
        return [Capability(role, "", None, detail, remedy) for role in (c.INPUT, c.ENCODER)]


def offer(settings: DesktopSettings, found: list[Capability]) -> dict[str, str]:
    """Empty where it can, else why not and what to do."""
    if settings.backend == "off":
        return dict.fromkeys(("desktop", "vnc", "rdp"), OFF)
    missing = [part for part in needed(settings, found) if not part.available]
    desktop = " ".join(_words(part) for part in missing)
    tigervnc = c.first(found, c.DISPLAY, "tigervnc")
    if settings.backend not in ("auto", "tigervnc"):
        vnc = f"VNC needs TigerVNC; this machine's displays are made by {settings.backend}."
    else:
        vnc = desktop or ("" if tigervnc.available else _words(tigervnc))
    lacking = [part for part in found if part.role == c.RDP and not part.available]
    rdp = " ".join(dict.fromkeys(_words(part) for part in lacking))
    # What RDP shows is the display's VNC.
    return {"desktop": desktop, "vnc": vnc, "rdp": vnc or rdp}


def needed(settings: DesktopSettings, found: list[Capability]) -> list[Capability]:
    """What no desktop can be without: a display, its input, an encoder."""
    encoder = {"auto": "", "pixelflux": "pixelflux", "pyav": "av"}[settings.encoder]
    parts = [c.first(found, c.INPUT), c.first(found, c.ENCODER, encoder)]
    if settings.backend != "attach":
        backend = "" if settings.backend == "auto" else settings.backend
        parts.insert(0, c.first(found, c.DISPLAY, backend))
    return parts


def _words(part: Capability) -> str:
    detail = part.detail[:1].upper() + part.detail[1:]
    if not part.remedy or part.remedy in detail:
        return f"{detail}."
    return f"{detail}: {part.remedy}."
