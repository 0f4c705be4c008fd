"""What desktops can be made of on this machine, and what to install where something is missing."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from earthshine.runner.desktops import x11

DISPLAY: Final = "display"
WINDOW_MANAGER: Final = "window-manager"
TERMINAL: Final = "terminal"
BROWSER: Final = "browser"
BUS: Final = "bus"
AUDIO: Final = "audio"
ENCODER: Final = "encoder"
INPUT: Final = "input"
RDP: Final = "rdp"
VNC_MODULE: Final = "libvnc.so"
"""xrdp's module that shows a VNC server."""


@dataclass(frozen=True, slots=True)
class Part:
    """A program that can play a role; `package` is Debian's name for it."""

    role: str
    name: str
    programs: tuple[str, ...]
    package: str
    arguments: tuple[str, ...] = ()


PARTS: Final = (
    Part(DISPLAY, "tigervnc", ("Xtigervnc", "Xvnc"), "tigervnc-standalone-server"),
    Part(DISPLAY, "xvfb", ("Xvfb",), "xvfb"),
    Part(WINDOW_MANAGER, "openbox", ("openbox",), "openbox"),
    Part(WINDOW_MANAGER, "fluxbox", ("fluxbox",), "fluxbox"),
    Part(WINDOW_MANAGER, "icewm", ("icewm",), "icewm"),
    Part(WINDOW_MANAGER, "xfwm4", ("xfwm4",), "xfwm4"),
    Part(TERMINAL, "xterm", ("xterm",), "xterm", ("-fa", "Monospace", "-fs", "11")),
    Part(TERMINAL, "foot", ("x-terminal-emulator",), "xterm"),
    Part(
        BROWSER,
        "chromium",
        ("chromium", "chromium-browser", "google-chrome"),
        "chromium",
        ("--no-first-run", "--no-default-browser-check", "--disable-dev-shm-usage"),
    ),
    Part(BROWSER, "firefox", ("firefox", "firefox-esr"), "firefox-esr"),
    Part(BUS, "dbus-daemon", ("dbus-daemon",), "dbus-daemon"),
    Part(AUDIO, "pulseaudio", ("pulseaudio",), "pulseaudio"),
    # Not on the PATH of those who are not root.
    Part(RDP, "xrdp", ("xrdp", "/usr/sbin/xrdp", "/usr/local/sbin/xrdp"), "xrdp"),
)


@dataclass(frozen=True, slots=True)
class Capability:
    """One part as found: `path` is None where it is missing, `detail` then says why."""

    role: str
    name: str
    path: str | None
    detail: str = ""
    remedy: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether it can be used."""
        return self.path is not None


ROOT: Final = Path("/")
Which = Callable[[str], str | None]


def programs(
    overrides: Mapping[str, str] | None = None, which: Which = shutil.which
) -> list[Capability]:
    """The programs, in order of preference within a role. `overrides`: name -> path."""
    found = []
    for part in PARTS:
        override = (overrides or {}).get(part.name)
        candidates = (override,) if override else part.programs
        path = next((p for c in candidates if (p := which(c))), None)
        if path is not None:
            found.append(Capability(part.role, part.name, path, arguments=part.arguments))
        elif override:
            found.append(
                Capability(
                    part.role,
                    part.name,
                    None,
                    f"{override}, configured for {part.name}, is not an executable file",
                    f"correct runner.desktop.programs_path.{part.name}",
                )
            )
        else:
            found.append(
                Capability(
                    part.role,
                    part.name,
                    None,
                    f"{' or '.join(part.programs)} was not found on PATH",
                    f"apt-get install {part.package}",
                )
            )
    return found


def rdp(
    overrides: Mapping[str, str] | None = None, which: Which = shutil.which, root: Path = ROOT
) -> list[Capability]:
    """xrdp, and its module for VNC."""
    server = first(programs(overrides, which), RDP)
    if server.path is None:
        return [server]
    own = Path(server.path).resolve().parents[1] / "lib"
    places = [own, root / "usr/lib", root / "usr/lib64", root / "usr/local/lib"]
    module = next(
        (
            found
            for place in places
            for found in (*place.glob(f"xrdp/{VNC_MODULE}"), *place.glob(f"*/xrdp/{VNC_MODULE}"))
        ),
        None,
    )
    if module is not None:
        return [server, Capability(RDP, VNC_MODULE, str(module))]
    detail = f"xrdp has no {VNC_MODULE}, its module that shows VNC desktops"
    return [server, Capability(RDP, VNC_MODULE, None, detail, "apt-get install xrdp")]


def libraries() -> list[Capability]:
    """The Python packages. Loads them, which takes a moment and memory: not for a holder."""
    problem = x11.missing()
    found = [
        Capability(INPUT, "python-xlib", None, problem, x11.INSTALL)
        if problem
        else Capability(INPUT, "python-xlib", "Xlib")
    ]
    for role, name, hint in (
        (ENCODER, "pixelflux", "apt-get install libgbm1 libpixman-1-0 libxkbcommon0"),
        (ENCODER, "av", ""),
        (AUDIO, "pcmflux", "apt-get install libx11-6 libsm6 libxext6"),
    ):
        found.append(_library(role, name, hint))
    return found


def _library(role: str, name: str, hint: str) -> Capability:
    if importlib.util.find_spec(name) is None:
        return Capability(role, name, None, f"the package {name} is missing", x11.INSTALL)
    try:
        importlib.import_module(name)
    except ImportError as error:  # a library of the system that it needs
        return Capability(role, name, None, f"{name} cannot be loaded: {error}", hint)
    return Capability(role, name, name)


def survey(overrides: Mapping[str, str] | None = None) -> list[Capability]:
    """Everything, for `earthshine doctor`."""
    return [*programs(overrides), *libraries()]


def first(found: list[Capability], role: str, name: str = "") -> Capability:
    """The part for `role`: the named one, or the first available; else one that is missing."""
    candidates = [c for c in found if c.role == role and (not name or c.name == name)]
    if not candidates:
        return Capability(role, name, None, f"{name} is not a known {role}")
    return next((c for c in candidates if c.available), candidates[0])


def _main() -> None:
    """Print `libraries` as JSON: for a process that stays, and should not load them itself."""
    json.dump([dataclasses.asdict(found) for found in libraries()], sys.stdout)


if __name__ == "__main__":
    _main()
