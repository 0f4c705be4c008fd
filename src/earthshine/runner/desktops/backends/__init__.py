"""Display servers: how each is started, what it offers. `choose` picks one by the settings."""

from __future__ import annotations

from earthshine.runner.desktops import capabilities
from earthshine.runner.desktops.backends.attached import AttachedDisplay
from earthshine.runner.desktops.backends.display import Display, DisplaySpec
from earthshine.runner.desktops.backends.tigervnc import TigerVncDisplay
from earthshine.runner.desktops.backends.wayland import WaylandDisplay
from earthshine.runner.desktops.backends.xvfb import XvfbDisplay
from earthshine.runner.desktops.x11 import DisplayError

_SERVERS = {"tigervnc": TigerVncDisplay, "xvfb": XvfbDisplay}


def choose(spec: DisplaySpec) -> Display:
    """The display to start. Raises DisplayError where none can be."""
    if spec.backend == "off":
        raise DisplayError("desktops are switched off on this runner", "set runner.desktop.backend")
    if spec.backend == "wayland":
        return WaylandDisplay(spec)
    if spec.backend == "attach":
        return AttachedDisplay(spec)
    found = capabilities.programs(spec.programs)
    server = capabilities.first(
        found, capabilities.DISPLAY, "" if spec.backend == "auto" else spec.backend
    )
    if server.path is None:
        raise DisplayError(server.detail, server.remedy)
    return _SERVERS[server.name](spec, server.path)


__all__ = ["Display", "DisplaySpec", "choose"]
