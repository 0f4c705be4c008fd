"""The API on a UNIX socket that only its owner can open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import uvicorn

from earthshine.runner.desktops.wolf.api import build
from earthshine.runner.desktops.wolf.service import WolfService

if TYPE_CHECKING:
    from earthshine.runner.desktops.moonlight_host.host import MoonlightHost

BACKLOG: Final = 64
MAX_CONNECTIONS: Final = 64
GRACE_SECONDS: Final = 1
_MODE: Final = 0o600


class WolfSocketError(Exception):
    """The socket cannot be opened where it was wanted."""


class WolfServer:
    """An async context manager: serves ``host`` on ``path`` from entering to leaving.

    Entering raises WolfSocketError.
    """

    def __init__(self, host: MoonlightHost, path: Path) -> None:
        self._host = host
        self._path = path
        self._tasks = asyncio.TaskGroup()
        self._server: _Uvicorn

    async def __aenter__(self) -> Self:
        sock = await asyncio.to_thread(listen, self._path)
        await self._tasks.__aenter__()
        service = WolfService(self._host, self._tasks)
        config = uvicorn.Config(
            build(service, self._host.events),
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _Uvicorn(config)
        self._tasks.create_task(self._server.serve(sockets=[sock]))
        await self._server.up.wait()
        return self

    async def __aexit__(self, *details: object) -> None:
        self._server.should_exit = True
        await self._tasks.__aexit__(None, None, None)
        with contextlib.suppress(OSError):
            self._path.unlink()


def listen(path: Path) -> socket.socket:
    """A listening socket of mode 0600. Takes the place of one nobody listens on any more.

    Blocks. Raises WolfSocketError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _clear(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Narrow from the first moment on: the mode comes from the umask, and others in this
            # process may make files in the meantime, which then are only too narrow.
            before = os.umask(0o177)
            try:
                sock.bind(str(path))
            finally:
                os.umask(before)
            path.chmod(_MODE)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise WolfSocketError(f"cannot listen on {path}: {error.strerror or error}") from None
    return sock


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise WolfSocketError(f"{path} is in the way and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise WolfSocketError(f"another program listens on {path}")


class _Uvicorn(uvicorn.Server):
    """Tells when it has started, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
