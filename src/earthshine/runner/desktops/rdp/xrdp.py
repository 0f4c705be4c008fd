"""xrdp as a child of the runner: its configuration, its certificate, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from earthshine.runner.desktops import children
from earthshine.runner.desktops.authority import write_private
from earthshine.runner.desktops.children import Child
from earthshine.runner.desktops.keeper import DesktopError

START_SECONDS: Final = 10.0
LOOK: Final = 0.02
"""Seconds between attempts to reach an xrdp that starts."""
KEY_BITS: Final = 2048
VALID_DAYS: Final = 3650
RENEW_DAYS: Final = 30
CERTIFICATE: Final = "certificate.pem"
KEY: Final = "key.pem"
SOCKET: Final = "xrdp.sock"
LOG: Final = "xrdp.log"
MARKER: Final = "EARTHSHINE_XRDP"
"""Variable that xrdp and its processes, one for each connection, have in their environment."""
USER: Final = "earthshine"
"""What clients say; only the password counts."""
LOG_TAIL: Final = 400


def configuration(folder: Path, certificates: Path, door: int) -> str:
    """xrdp.ini: one session type that needs no session manager, because the display is there.

    `door` is the doorkeeper's port. Virtual channels that nothing here serves are off.
    """
    return f"""[Globals]
ini_version=1
fork=true
port=unix://.{folder / SOCKET}
tcp_nodelay=true
tcp_keepalive=true
security_layer=tls
crypt_level=high
certificate={certificates / CERTIFICATE}
key_file={certificates / KEY}
ssl_protocols=TLSv1.2, TLSv1.3
autorun=Earthshine
allow_channels=true
allow_multimon=false
bitmap_cache=true
bitmap_compression=true
bulk_compression=true
max_bpp=32
new_cursors=true
use_fastpath=both

[Logging]
LogFile={folder / LOG}
LogLevel=INFO
EnableSyslog=false

[Channels]
rdpdr=false
rdpsnd=false
drdynvc=false
cliprdr=true
rail=false
xrdpvr=false
tcutils=false

[Earthshine]
name=Earthshine
lib=libvnc.so
username=ask
password=ask
ip=127.0.0.1
port={door}
"""


class Xrdp:
    """One xrdp, listening on a UNIX socket in `folder`. `start` once, then `end`."""

    def __init__(self, program: str, folder: Path, certificates: Path, door: int) -> None:
        self._program = program
        self._folder = folder
        self._certificates = certificates
        self._door = door
        self._marker = secrets.token_hex(8)
        self._child: Child | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._folder / SOCKET

    @property
    def exited(self) -> asyncio.Future[int]:
        """Done when it has ended."""
        assert self._child is not None
        return self._child.exited

    async def start(self) -> None:
        """Until clients can connect. Raises DesktopError."""
        if any(sign.isspace() or sign in ",;#" for sign in str(self._folder)):
            raise DesktopError(
                "rdp-failed", f"xrdp cannot work in a folder of this name: {self._folder}"
            )
        ini = self._folder / "xrdp.ini"
        text = configuration(self._folder, self._certificates, self._door)
        try:
            await asyncio.to_thread(write_private, ini, text.encode())
            with (self._folder / "output").open("wb") as output:
                self._child = children.start(
                    "xrdp",
                    [self._program, "--nodaemon", "--config", str(ini)],
                    {"PATH": os.environ.get("PATH", os.defpath), MARKER: self._marker},
                    output=output,
                    folder=str(self._folder),
                )
        except OSError as error:
            raise DesktopError("rdp-failed", f"xrdp cannot start: {error.strerror}") from None
        if not await self._until_listening():
            detail = await asyncio.to_thread(self._complaint)
            await self.end()
            raise DesktopError("rdp-failed", f"xrdp did not start: {detail}")

    async def _until_listening(self) -> bool:
        assert self._child is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while self._child.running:
                    try:
                        _, writer = await asyncio.open_unix_connection(str(self.socket))
                    except OSError:
                        await asyncio.sleep(LOOK)
                    else:
                        writer.close()
                        return True
        return False

    def _complaint(self) -> str:
        """The end of its log, or of what it printed."""
        for name in (LOG, "output"):
            with contextlib.suppress(OSError):
                text = (self._folder / name).read_text(errors="replace").strip()
                if text:
                    return " ".join(text[-LOG_TAIL:].split())
        return "it says nothing"

    async def end(self) -> None:
        """End it, and the processes of its connections, also of one that has crashed."""
        if self._child is not None:
            await self._child.end()
            await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        for process in children.marked(f"{MARKER}={self._marker}"):
            with contextlib.suppress(psutil.Error):
                process.kill()


def certify(folder: Path, now: datetime) -> str:
    """Certificate and key in `folder`, made where there are none; the fingerprint, in hex. Blocks.

    It stays the same over restarts, so clients that remember it are not asked again. Raises
    DesktopError.
    """
    certificate = folder / CERTIFICATE
    try:
        with contextlib.suppress(OSError, ValueError):
            known = x509.load_pem_x509_certificate(certificate.read_bytes())
            if (
                known.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
                and (folder / KEY).exists()
            ):
                return fingerprint(certificate)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        pem, key = _self_signed(now)
        write_private(folder / KEY, key)
        write_private(certificate, pem)
        return fingerprint(certificate)
    except OSError as error:
        raise DesktopError(
            "storage", f"the certificate for RDP cannot be kept: {error.strerror}"
        ) from None


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate, in hex. Raises OSError, ValueError."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def _self_signed(now: datetime) -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Earthshine desktop")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def utc_now() -> datetime:
    """For `certify`."""
    return datetime.now(UTC)
