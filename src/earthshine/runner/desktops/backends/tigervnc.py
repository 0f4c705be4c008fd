"""TigerVNC: an X server that serves RFB itself, so one display feeds VNC, RDP and the encoder."""

from __future__ import annotations

import socket
from pathlib import Path

from earthshine.runner.desktops.backends.display import DisplaySpec, XServer
from earthshine.runner.desktops.vncpassword import new_password, write_passwords


class TigerVncDisplay(XServer):
    """Xtigervnc, reached by RFB over a UNIX socket and, where asked for, a loopback port."""

    program_name = "TigerVNC"

    def __init__(self, spec: DisplaySpec, program: str) -> None:
        super().__init__(spec, program)
        self.rfb_path: Path = spec.runtime / "rfb.sock"
        # Nobody gets in before a password is set for a connection.
        self.set_passwords(new_password(), new_password())

    def set_passwords(self, full: str, view_only: str) -> None:
        write_passwords(self._passwords, full, view_only)

    @property
    def _passwords(self) -> Path:
        return password_file(self.rfb_path)

    def arguments(self) -> list[str]:
        self.rfb_port = _free_port() if self.spec.rfb_port else None
        return [
            "-geometry",
            f"{self.spec.width}x{self.spec.height}",
            "-depth",
            "24",
            "-rfbunixpath",
            str(self.rfb_path),
            "-rfbunixmode",
            "0600",
            "-rfbport",
            str(self.rfb_port or -1),
            "-localhost",
            "-SecurityTypes",
            "VncAuth",
            "-PasswordFile",
            str(self._passwords),
            "-AlwaysShared",
            # Whoever reaches the socket is this user's runner: locking it out helps nobody.
            "-UseBlacklist=0",
            "-desktop",
            "Earthshine",
        ]

    async def stop(self) -> None:
        await super().stop()
        self.rfb_path.unlink(missing_ok=True)


def password_file(rfb: Path | str) -> Path:
    """Where the server of the RFB socket `rfb` looks passwords up, at each connection anew."""
    return Path(rfb).with_name("vnc-passwords")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
