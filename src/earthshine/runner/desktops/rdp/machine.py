"""The machine's own xrdp, for admins: a login of this system whose password is new each time.

There is one password at a time, set with chpasswd on its standard input. Whoever comes later gets
another, and the one before is refused from then on; so is one that has expired or was withdrawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import secrets
import shutil
import string
import subprocess
from typing import Final

from earthshine.protocols.envelope import AdjustRdp, LendRdp, RdpLent, RdpOffer
from earthshine.runner.desktops.keeper import DesktopError
from earthshine.runner.desktops.rdp.settings import RdpSettings

INITIAL: Final = "RDP_PASSWORD"
"""Variable with the first password; the agents do not get to see it."""
MIN_INITIAL: Final = 12
"""Characters of the first password, in production."""
PASSWORD_LENGTH: Final = 20
CHPASSWD_SECONDS: Final = 10.0
_ALPHABET: Final = string.ascii_letters + string.digits
log = logging.getLogger(__name__)


class InitialPasswordError(Exception):
    """In production the first password has to be given; the message says how."""


class MachineRdp:
    """Lends the login of `settings.user`. `begin` before anything else."""

    def __init__(self, settings: RdpSettings, chpasswd: str = "chpasswd") -> None:
        self._settings = settings
        self._chpasswd = chpasswd
        self._changing = asyncio.Lock()
        self._offer = ""
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None

    def problem(self) -> str:
        """Why nobody can be let in, and what to do; empty where somebody can."""
        user = self._settings.user
        if not user:
            return "No user of this machine is named for RDP: set runner.rdp.user."
        if os.geteuid() != 0:
            return "Only root can change the password of another user: run the runner as root."
        try:
            known = pwd.getpwnam(user)
        except KeyError:
            return f"This machine has no user {user}: correct runner.rdp.user."
        if known.pw_uid == 0:
            return "RDP does not log in as root here: set runner.rdp.user to another."
        if shutil.which(self._chpasswd) is None:
            return f"{self._chpasswd} was not found on PATH: apt-get install passwd."
        return ""

    async def begin(self, tasks: asyncio.TaskGroup, *, production: bool) -> None:
        """Set the first password. Raises InitialPasswordError."""
        self._tasks = tasks
        own = self._settings.password
        given = os.environ.pop(INITIAL, "") if own is None else own.get_secret_value()
        if not self._settings.user:
            return
        if production and len(given) < MIN_INITIAL:
            raise InitialPasswordError(
                f"in production the first password of {self._settings.user} must be set, "
                f"with at least {MIN_INITIAL} characters: set {INITIAL}"
            )
        if not given:
            log.warning(
                "%s is not set: a random one is used, and RDP is for those who get a password "
                "through the control plane only",
                INITIAL,
            )
        if problem := self.problem():
            log.warning("no RDP to this machine: %s", problem)
            return
        with contextlib.suppress(DesktopError):  # which says so in the log
            async with self._changing:
                await self._set(given or _new_password())

    async def lend(self, wish: LendRdp) -> RdpLent:
        """A fresh password. Raises DesktopError."""
        if problem := self.problem():
            raise DesktopError("no-rdp", problem.rstrip("."))
        if wish.view_only:
            raise DesktopError("no-rdp", "the machine's own xrdp cannot be only watched")
        password = _new_password()
        async with self._changing:
            self._forget()
            await self._set(password)
            self._offer = offer_id = secrets.token_hex(8)
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(wish.seconds, self._expired, offer_id)
        return RdpLent(
            destination=f"127.0.0.1:{self._settings.port}",
            user=self._settings.user,
            password=password,
            offer_id=offer_id,
            view_only=False,
        )

    async def adjust(self, wish: AdjustRdp) -> RdpOffer:
        """Withdraw an offer, if it is the current one. Raises DesktopError."""
        if wish.withdrawn:
            await self._withdraw(wish.offer_id)
        return RdpOffer(spent=self._offer != wish.offer_id)

    def _expired(self, offer_id: str) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._expire(offer_id))

    async def _expire(self, offer_id: str) -> None:
        with contextlib.suppress(DesktopError):
            await self._withdraw(offer_id)

    async def _withdraw(self, offer_id: str) -> None:
        async with self._changing:
            if self._offer == offer_id:
                self._forget()
                await self._set(_new_password())

    def _forget(self) -> None:
        self._offer = ""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    async def _set(self, password: str) -> None:
        """Raises DesktopError."""
        try:
            await asyncio.to_thread(self._run_chpasswd, password)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("the password for RDP could not be set: %s", type(error).__name__)
            raise DesktopError(
                "rdp-failed",
                f"the password of {self._settings.user} could not be set",
                f"try `{self._chpasswd}` on the machine",
            ) from None

    def _run_chpasswd(self, password: str) -> None:
        subprocess.run(
            [self._chpasswd],
            input=f"{self._settings.user}:{password}\n".encode(),
            capture_output=True,
            check=True,
            timeout=CHPASSWD_SECONDS,
        )


def _new_password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))
