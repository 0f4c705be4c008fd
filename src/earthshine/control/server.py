"""Listening: sockets, uvicorn, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp
from websockets.exceptions import InvalidState

from earthshine.control import certificates
from earthshine.control.app import ControlPlane, application
from earthshine.control.db.engine import Database
from earthshine.control.forwarded import TrustsProxies
from earthshine.control.origins import AllowedOrigins, loopback_origins
from earthshine.control.previews.listener import PreviewSettings
from earthshine.control.previews.service import PreviewService
from earthshine.control.recordings.storage import Keeping
from earthshine.control.secrets.cipher import SecretKeyError, new_key, parse_key
from earthshine.control.settings import ControlSettings, is_loopback, origin
from earthshine.control.tls import ServerTls, TlsError
from earthshine.net.abortable import AbortableWebSocket
from earthshine.net.upgrade import revdial_protocol
from earthshine.protocols.envelope import MAX_MESSAGE

BACKLOG: Final = 1024
PING_INTERVAL: Final = 15.0
"""Seconds between WebSocket pings; a line that does not take them is dead after USER_TIMEOUT."""
USER_TIMEOUT: Final = 30_000
"""Milliseconds that sent bytes may stay unacknowledged by the peer's kernel."""
NOT_SENT_LOW_WATER: Final = 256 * 1024
"""Bytes in the kernel's send queue above which we wait, so that a slow line holds little of ours
and what is typed is seen soon."""
SHUTDOWN_TRIES: Final = 100
log = logging.getLogger(__name__)


class ServerConfigurationError(Exception):
    """The server cannot start as it is configured; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is known once the server listens."""

    url: str
    """As people know it."""
    own_url: str
    """As programs of this machine reach it."""
    sign_in_url: str
    runner_token_file: Path | None
    tls: ServerTls | None = None
    """The TLS of the server itself; None where it speaks plain HTTP."""
    needs_pin: bool = False
    """Runners must pin `tls_fingerprint`: no authority vouches for the certificate."""
    own_is_direct: bool = False
    """Nothing is in between on `own_url`, so what is shown there is our certificate."""

    @property
    def tls_fingerprint(self) -> str | None:
        """The pin of the key that this server shows; it changes with the certificate's files."""
        return None if self.tls is None else self.tls.fingerprint

    @property
    def own_pin(self) -> str | None:
        """What programs of this machine pin: the certificate need not name a loopback address."""
        return self.tls_fingerprint if self.own_is_direct else None


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises ServerConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit these.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT),
        ("TCP_NOTSENT_LOWAT", NOT_SENT_LOW_WATER),
    ):
        with contextlib.suppress(AttributeError, OSError):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ServerConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}; another Earthshine may run "
            "here already, or choose another port with --port"
        ) from None
    sock.setblocking(False)
    return sock


def runner_token(settings: ControlSettings) -> tuple[str, Path | None]:
    """The static runner token and the file it is in; made at the first start."""
    if settings.runner_token is not None:
        return settings.runner_token.get_secret_value(), None
    path = settings.runner_token_file or settings.state_dir / "runner-token"
    return _secret_file(path, lambda: secrets.token_urlsafe(32)), path


def secrets_key(settings: ControlSettings) -> bytes:
    """The key for secrets; made at the first start. Raises ServerConfigurationError."""
    path = settings.secrets_key_file
    if settings.secrets_key is not None:
        text, where = settings.secrets_key.get_secret_value(), "EARTHSHINE_SECRETS_KEY"
    elif path is not None:
        # Never made here: what is missing may be a disk, and a new key would open nothing.
        text, where = _read_configured(path), str(path)
    else:
        path = settings.state_dir / "secrets-key"
        text, where = _secret_file(path, new_key), str(path)
    try:
        return parse_key(text)
    except SecretKeyError as error:
        raise ServerConfigurationError(f"{where} holds no key for secrets: {error}") from None


def _read_configured(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except (OSError, UnicodeError) as error:
        raise ServerConfigurationError(f"the key file {path} cannot be read: {error}") from None
    if mode & 0o077:
        raise ServerConfigurationError(f"others can read {path}: run `chmod 600 {path}`")
    return text


def _secret_file(path: Path, make: Callable[[], str]) -> str:
    try:
        known = path.read_text().strip()
    except FileNotFoundError:
        known = ""
    except OSError as error:
        raise ServerConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if known:
        return known
    value = make()
    write_secret(path, value + "\n")
    return value


def _known_token(path: Path) -> str:
    """The token that an earlier start left for programs of this machine's user."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    token = known.get("token") if isinstance(known, dict) else None
    return token if isinstance(token, str) else ""


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    temporary.replace(path)


class Server:
    """The control plane as a process. `run` returns after SIGTERM or SIGINT."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings

    async def run(self, ready: Callable[[Running], Any]) -> None:
        """Serve; `ready` is called once requests are answered. Raises ServerConfigurationError."""
        wrong: BaseException | None = None
        try:
            await self._run(ready)
        except* ServerConfigurationError as group:
            wrong = group
        while isinstance(wrong, BaseExceptionGroup):
            wrong = wrong.exceptions[0]
        if wrong is not None:
            raise wrong

    async def _run(self, ready: Callable[[Running], Any]) -> None:
        settings = self._settings
        token, token_file = await asyncio.to_thread(runner_token, settings)
        if not settings.runner_token_enabled:
            token_file = None
        tls = await asyncio.to_thread(self._tls)
        key = await asyncio.to_thread(secrets_key, settings)
        sock = listen(settings.host, settings.port)
        port = sock.getsockname()[1]
        scheme = "https" if settings.has_tls else "http"
        local = loopback_origins(scheme, port)
        host = settings.host
        own_url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        url = settings.public_url.rstrip("/") or own_url
        if not is_loopback(host):
            own_url = url  # under loopback's names it does not answer
        allowed = AllowedOrigins([origin(url), *(local if is_loopback(host) else [])])
        database = Database(settings.database)
        await database.migrate()
        plane = ControlPlane(
            database,
            token if settings.runner_token_enabled else None,
            secrets_key=key,
            oidc=settings.oidc,
            desktop=settings.desktop,
            guacd=settings.guacd,
            guacamole=settings.guacamole,
            recordings=Keeping(
                settings.recordings_dir or settings.state_dir / "recordings",
                settings.recordings_limit,
                settings.recordings_days,
            ),
        )
        plane.tls = tls
        # Behind a proxy it is the proxy's certificate that runners see.
        plane.needs_pin = tls is not None and tls.is_self_made and not settings.trusted_proxies
        owner = await plane.people.people.ensure_owner("owner")
        async with plane.running(), contextlib.AsyncExitStack() as stack:
            previews, targets = await self._previews(stack, plane, allowed, url)
            app = application(
                plane,
                allowed,
                url,
                previews,
                form_targets=targets,
                strict_transport=_is_strict(url, tls),
            )
            outermost = TrustsProxies(app, settings.trusted_proxies, settings.proxy_headers)
            server = _Uvicorn(self._config(outermost, plane), tls)
            _stop_on_signal(server, plane)
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(server.serve(sockets=[sock]))
                await server.wait_started()
                known = await asyncio.to_thread(_known_token, settings.state_dir / "cli.json")
                cli_token = await plane.accounts.local_token(owner.person_id, known)
                code = await plane.accounts.issue_code(owner.person_id)
                running = Running(
                    url,
                    own_url,
                    f"{url}/#sign-in={code}",
                    token_file,
                    tls,
                    plane.needs_pin,
                    own_is_direct=is_loopback(host) or not settings.trusted_proxies,
                )
                await self._leave_access(running, cli_token)
                if tls is not None:

                    def changed() -> None:
                        tasks.create_task(self._leave_access(running, cli_token))

                    tls.on_change.append(changed)
                    watching = tasks.create_task(tls.watch())
                    serving.add_done_callback(lambda _: watching.cancel())
                ready(running)

    async def _leave_access(self, running: Running, token: str) -> None:
        """For the command line of this machine's owner."""
        access = {"url": running.own_url, "token": token, "pin": running.own_pin}
        await asyncio.to_thread(
            write_secret, self._settings.state_dir / "cli.json", json.dumps(access) + "\n"
        )

    def _tls(self) -> ServerTls | None:
        """Raises ServerConfigurationError."""
        settings = self._settings
        certificate, key = settings.tls_certificate, settings.tls_key
        try:
            if settings.tls_self_made:
                certificate, key = certificates.self_made(settings.state_dir / "tls", self._names())
            if certificate is None or key is None:
                return None
            return ServerTls(certificate, key, is_self_made=settings.tls_self_made)
        except (TlsError, ValueError) as error:
            raise ServerConfigurationError(str(error)) from None
        except OSError as error:
            raise ServerConfigurationError(
                f"the certificate in {settings.state_dir} cannot be written: {error.strerror}"
            ) from None

    def _names(self) -> list[str]:
        """Under which we are reached."""
        settings = self._settings
        names = [urlsplit(settings.public_url).hostname or ""]
        if settings.host not in ("0.0.0.0", "::"):  # noqa: S104  every address is no name
            names.append(settings.host)
        if settings.preview_mode in ("auto", "host"):
            names.append(f"*.{settings.preview_domain}")
        return [name for name in names if name]

    async def _previews(
        self,
        stack: contextlib.AsyncExitStack,
        plane: ControlPlane,
        allowed: AllowedOrigins,
        url: str,
    ) -> tuple[PreviewService | None, str]:
        """Listen for previews; the service, and where the UI's forms may lead to."""
        settings = self._settings
        mode = settings.preview_mode
        if mode == "off":
            return None, ""
        if mode == "auto":
            mode = "host" if is_loopback(settings.host) else "port"
        parts = urlsplit(url)
        name = parts.netloc.rpartition("@")[2].removesuffix(f":{parts.port}")
        listener = plane.preview_listener(
            PreviewSettings(
                mode=mode,
                host=settings.host,
                port=settings.preview_port,
                base_domain=settings.preview_domain,
                ports=settings.preview_ports,
                host_name=name,
                public_scheme=parts.scheme,  # type: ignore[arg-type]
                public_port=settings.preview_public_port,
                tls=None if plane.tls is None else plane.tls.context,
            ),
            allowed,
        )
        try:
            await stack.enter_async_context(listener)
            checks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(checks.create_task(listener.run()).cancel)
        except OSError as error:
            raise ServerConfigurationError(
                f"cannot listen on {settings.host} port {settings.preview_port} for previews: "
                f"{os.strerror(error.errno or 0)}; choose another with "
                "EARTHSHINE_PREVIEW_PORT, or 0"
            ) from None
        port = settings.preview_public_port or listener.port
        target = f"*.{settings.preview_domain}:{port}" if mode == "host" else f"{name}:*"
        return plane.preview_service(listener), f"{parts.scheme}://{target}"

    def _config(self, app: ASGIApp, plane: ControlPlane) -> uvicorn.Config:
        settings = self._settings
        return uvicorn.Config(
            app,
            loop="uvloop",
            http=revdial_protocol(plane.dialing),
            ws=AbortableWebSocket,
            ws_max_size=MAX_MESSAGE,
            ws_ping_interval=PING_INTERVAL,
            # A peer that we do not read at the moment cannot answer: the kernel judges instead.
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(settings.shutdown_grace) or 1,
        )


def _stop_on_signal(server: _Uvicorn, plane: ControlPlane) -> None:
    def stop() -> None:
        plane.stopping = True
        server.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _is_strict(url: str, tls: ServerTls | None) -> bool:
    """Whether browsers may be told never to use plain HTTP here again.

    Not for loopback's names: that would reach every development server on the machine. Not with a
    certificate that nobody vouches for: the person could not go on past the browser's warning.
    """
    parts = urlsplit(url)
    known = tls is None or not tls.is_self_made
    return parts.scheme == "https" and known and not is_loopback(parts.hostname or "")


class _Uvicorn(uvicorn.Server):
    """Tells when it has started, and leaves signals to us: what came is still to be stored."""

    def __init__(self, config: uvicorn.Config, tls: ServerTls | None) -> None:
        super().__init__(config)
        config.load()
        config.ssl = None if tls is None else tls.context
        self._up = asyncio.Event()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A WebSocket that is closing at this moment makes uvicorn stumble; the others still wait.
        for _ in range(SHUTDOWN_TRIES):
            with contextlib.suppress(InvalidState):
                await super().shutdown(sockets)
                return

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Answer what is under way, then end; asked twice, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def wait_started(self) -> None:
        """Until connections are accepted."""
        await self._up.wait()
