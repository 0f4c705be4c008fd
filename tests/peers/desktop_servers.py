"""Real desktops to look at: TigerVNC, xrdp with xorgxrdp, and guacd, each on a port of loopback.

Every desktop shows one xterm that runs `cat > typed`, so a test can read back what was typed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.world import free_port, wait_for

SCRIPTS = Path(__file__).parents[2] / "scripts"
WIDTH, HEIGHT = 1024, 768
START_SECONDS = 15.0
STOP_SECONDS = 5.0
USER, PASSWORD = "desk", "corr3ct horse"
USER_ID = 4242
VNC_PASSWORD = "pa55word"


@dataclass(frozen=True)
class Desktop:
    """A server on 127.0.0.1, and the file that gets what is typed."""

    port: int
    typed: Path
    certificate: bytes = b""

    def wait_typed(self, text: str) -> None:
        """Until a line of this text has arrived inside the desktop."""
        wait_for(lambda: text in self.text().splitlines(), 10, lambda: repr(self.text()))

    def wait_focus(self) -> None:
        """Until keys go to the terminal."""
        focused = self.typed.with_name("typed.focused")
        wait_for(focused.exists, START_SECONDS, "the terminal does not get the focus")

    def text(self) -> str:
        return self.typed.read_text() if self.typed.exists() else ""


def missing(*programs: str) -> str | None:
    """What to say in a skip, or None."""
    lacking = [name for name in programs if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


@contextlib.contextmanager
def program(argv: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run until the end of the block, with everything it starts: guacd's children can hang."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for left in _session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """The processes of the session that `leader` began."""
    members = []
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == leader:
                members.append(pid)
    return members


def is_listening(port: int) -> bool:
    """By the kernel's table: connecting would count as a client."""
    wanted = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(line[1] == wanted and line[3] == "0A" for line in lines)


@contextlib.contextmanager
def vnc_desktop(folder: Path, name: str = "A desktop") -> Iterator[Desktop]:
    """TigerVNC with password `VNC_PASSWORD`."""
    port = free_port()
    typed = folder / "typed"
    secret = folder / "passwd"
    hashed = subprocess.run(
        ["vncpasswd", "-f"], input=VNC_PASSWORD.encode(), capture_output=True, check=True
    )
    secret.write_bytes(hashed.stdout)
    secret.chmod(0o600)
    log = folder / "vnc.log"
    shown = folder / "display"
    size = ("-geometry", f"{WIDTH}x{HEIGHT}", "-depth", "24", "-desktop", name)
    auth = ("-SecurityTypes", "VncAuth", "-PasswordFile", str(secret))
    command = f'exec Xvnc -displayfd 3 -rfbport {port} -localhost "$@" 3>{shown}'
    with program(["sh", "-c", command, "Xvnc", *size, *auth], log) as server:
        wait_for(
            lambda: server.poll() is None and shown.exists() and shown.read_text().strip(),
            START_SECONDS,
            log.read_text,
        )
        display = f":{shown.read_text().strip()}"
        locale = {"DISPLAY": display, "LC_ALL": "C.UTF-8"}
        with program(xterm(typed), folder / "xterm.log", **locale):
            wait_for(typed.exists, START_SECONDS, (folder / "xterm.log").read_text)
            yield Desktop(port, typed)


def xterm(typed: Path) -> list[str]:
    """A terminal that fills the screen and keeps what is typed."""
    return ["xterm", "-geometry", "200x80+0+0", "-e", f"exec cat > {typed}"]


# --- xrdp -----------------------------------------------------------------------------------------

_ENTER = """
set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount --bind "$1/xrdp" /etc/xrdp
mount -t tmpfs none /run
mount -t tmpfs -o mode=1777 none /tmp
mkdir -p /run/xrdp/sockdir
chmod 3777 /run/xrdp/sockdir
xrdp-sesman -n -c /etc/xrdp/sesman.ini &
exec xrdp -n -c /etc/xrdp/xrdp.ini
"""
_SESSION = """#!/bin/sh
openbox --config-file /dev/null &
# Together with the window manager, not before it: windows get lost otherwise.
for i in $(seq 100); do
  xprop -root _NET_SUPPORTING_WM_CHECK 2>/dev/null | grep -q 'window id' && break
  sleep 0.05
done
xterm -maximized -e 'exec cat > {typed}' &
until xprop -root _NET_ACTIVE_WINDOW 2>/dev/null | grep -q 'window id # 0x[1-9a-f]'; do
  sleep 0.05
done
touch {typed}.focused
wait $!
"""


@contextlib.contextmanager
def rdp_desktop() -> Iterator[Desktop]:
    """xrdp for the user `USER`, in namespaces of its own: it needs users and a configuration.

    Needs root. Nothing of the machine is changed, and no process outlives the block.
    """
    folder = Path(tempfile.mkdtemp(prefix="earthshine-xrdp-", dir="/var/tmp"))
    try:
        folder.chmod(0o711)
        home = folder / "home"
        home.mkdir(0o700)
        os.chown(home, USER_ID, USER_ID)
        port = free_port()
        certificate = _configure(folder, port)
        _add_user(folder, home)
        log = folder / "log"
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with program([*enter, "sh", "-c", _ENTER, "xrdp", str(folder)], log) as server:
            wait_for(
                lambda: server.poll() is None and is_listening(port),
                START_SECONDS,
                log.read_text,
            )
            yield Desktop(port, home / "typed", certificate)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add_user(folder: Path, home: Path) -> None:
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=PASSWORD.encode(),
        capture_output=True,
        check=True,
    ).stdout.decode()
    users, secrets = Path("/etc/passwd").read_text(), Path("/etc/shadow").read_text()
    (folder / "passwd").write_text(f"{users}{USER}:x:{USER_ID}:{USER_ID}::{home}:/bin/sh\n")
    (folder / "shadow").write_text(f"{secrets}{USER}:{hashed.strip()}:20000:0:99999:7:::\n")
    (folder / "shadow").chmod(0o600)


def _configure(folder: Path, port: int) -> bytes:
    """A configuration beside the system's; gives the server's certificate."""
    shutil.copytree("/etc/xrdp", folder / "xrdp", ignore=shutil.ignore_patterns("*.pem"))
    here = folder / "xrdp"
    certificate, key = self_signed()
    (here / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (here / "key.pem").write_bytes(key)
    changed = {
        "port=3389": f"port=tcp://127.0.0.1:{port}",
        "fork=true": "fork=false",
        "security_layer=negotiate": "security_layer=tls",
        "certificate=": "certificate=/etc/xrdp/cert.pem",
        "key_file=": "key_file=/etc/xrdp/key.pem",
        "autorun=": "autorun=Xorg",
        "LogFile=xrdp.log": f"LogFile={folder}/xrdp.log",
        "LogFile=xrdp-sesman.log": f"LogFile={folder}/sesman.log",
        "EnableSyslog=true": "EnableSyslog=false",
        "ListenPort=3350": f"ListenPort={free_port()}",
        "X11DisplayOffset=10": f"X11DisplayOffset={random.randrange(100, 900)}",
    }
    for name in ("xrdp.ini", "sesman.ini"):
        lines = (here / name).read_text().splitlines()
        (here / name).write_text("\n".join(changed.get(line, line) for line in lines) + "\n")
    session = here / "startwm.sh"
    session.write_text(_SESSION.format(typed=folder / "home" / "typed"))
    session.chmod(0o755)
    return certificate.public_bytes(serialization.Encoding.DER)


def self_signed() -> tuple[x509.Certificate, bytes]:
    """A certificate for 127.0.0.1, and its key as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "desktop.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return certificate, pem


# --- guacd ----------------------------------------------------------------------------------------


def guacd_root() -> tuple[Path | None, str]:
    """Where scripts/guacd has put it, or why there is none."""
    done = subprocess.run(
        [str(SCRIPTS / "guacd")], capture_output=True, text=True, check=False, timeout=100
    )
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return Path(done.stdout.strip()), ""


@contextlib.contextmanager
def guacd(root: Path, folder: Path, port: int | None = None) -> Iterator[int]:
    """A running guacd; yields its port."""
    port = port or free_port()
    log = folder / "guacd.log"
    argv = [str(root / "usr/sbin/guacd"), "-f", "-b", "127.0.0.1", "-l", str(port)]
    home = {"LD_LIBRARY_PATH": str(root / "lib-for-guacd"), "HOME": str(folder)}
    with program([*argv, "-L", "debug"], log, **home) as server:
        wait_for(
            lambda: server.poll() is None and is_listening(port),
            START_SECONDS,
            log.read_text,
        )
        yield port
