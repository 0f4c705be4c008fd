"""Text of an .rdp file: what Microsoft's client, Remmina and xfreerdp read."""

from __future__ import annotations

from typing import Final

DEFAULT_SIZE: Final = (1280, 800)
_FIXED: Final = (
    # Ask for the password; show the certificate, which is self-signed; TLS without CredSSP.
    "prompt for credentials:i:1",
    "authentication level:i:2",
    "enablecredsspsupport:i:0",
    "negotiate security layer:i:1",
    # A window that scales: the desktop is shared, and keeps its size.
    "screen mode id:i:1",
    "use multimon:i:0",
    "smart sizing:i:1",
    "dynamic resolution:i:0",
    "session bpp:i:32",
    # The password is good once.
    "autoreconnection enabled:i:0",
    # Nothing of one's own machine but the clipboard.
    "redirectclipboard:i:1",
    "redirectprinters:i:0",
    "redirectsmartcards:i:0",
    "redirectcomports:i:0",
    "redirectlocation:i:0",
    "drivestoredirect:s:",
    "audiomode:i:2",
    "audiocapturemode:i:0",
)


def rdp_file(address: str, port: int, user: str, size: tuple[int, int] = (0, 0)) -> str:
    """Lines of name, type and value, ended by CR LF. The password is not in it."""
    width, height = size if all(size) else DEFAULT_SIZE
    host = f"[{address}]" if ":" in address else address
    lines = (
        f"full address:s:{host}:{port}",
        f"username:s:{user}",
        f"desktopwidth:i:{width}",
        f"desktopheight:i:{height}",
        *_FIXED,
    )
    return "".join(f"{line}\r\n" for line in lines)
