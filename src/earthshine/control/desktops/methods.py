"""By which ways a session's desktop can be seen: a table, and the reasons where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from earthshine.control.desktops.schemas import ConnectionMethod, Method
from earthshine.control.errors import DomainError

NOT_BUILT: Final = "Not built yet."
OWN_APPS: Final = "Moonlight clients show the apps of a machine, not yet the desktop of a session."


@dataclass(frozen=True, slots=True)
class _Way:
    """`needs`: of these capabilities the runner must have one. `path` follows that of the session;
    where there is none, `lacking` says why."""

    name: Method
    label: str
    needs: tuple[str, ...] = ()
    path: str | None = None
    by_guacd: bool = False
    lacking: str = NOT_BUILT


WAYS: Final = (
    _Way("native", "Built in", ("desktop",), "desktop"),
    _Way("webrtc", "WebRTC"),
    _Way("vnc", "VNC", ("vnc",), "desktop/vnc"),
    _Way("rdp", "RDP", ("rdp",), "desktop/rdp"),
    _Way("guacamole", "Guacamole", ("vnc", "rdp"), "guac/proxy", by_guacd=True),
    _Way("moonlight", "Moonlight", lacking=OWN_APPS),
)
"""Best first."""


def listed(
    session_id: str,
    capabilities: Mapping[str, str],
    *,
    missing: str,
    guacd: DomainError | None,
    control: bool,
) -> list[ConnectionMethod]:
    """All ways. `missing`: why none of them is possible, or empty; `guacd`: why that one is not."""
    return [_method(way, session_id, capabilities, missing, guacd, control) for way in WAYS]


def _method(
    way: _Way,
    session_id: str,
    capabilities: Mapping[str, str],
    missing: str,
    guacd: DomainError | None,
    control: bool,
) -> ConnectionMethod:
    detail = way.lacking if way.path is None else missing or _lacking(way, capabilities)
    if not detail and way.by_guacd and guacd is not None:
        detail = f"{guacd.detail} {guacd.remedy or ''}".strip()
    path = None if way.path is None else f"/api/v1/sessions/{session_id}/{way.path}"
    return ConnectionMethod(
        name=way.name,
        label=way.label,
        available=not detail,
        detail=detail or None,
        path=path,
        control=control and not detail,
    )


def _lacking(way: _Way, capabilities: Mapping[str, str]) -> str:
    """What the runner says it lacks; empty where it has one of what is needed."""
    said = [capabilities.get(one, "The runner does not say that it can.") for one in way.needs]
    return "" if "" in said else said[0]
