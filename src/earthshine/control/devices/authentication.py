"""Who a runner is: by the static token, or by a session token and a proof of its device key.

Every way in for runners asks here: the header and the first message of the control connection, and
data connections that are dialled back.
"""

from __future__ import annotations

import hashlib
import hmac

from earthshine.control.devices.errors import DeviceRefusedError, DeviceRevokedError
from earthshine.control.devices.service import DeviceService
from earthshine.control.devices.tokens import TokenBook
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.throttle import Check, Throttle


class RunnerAuthentication:
    """`static_token` None: only paired runners are let in."""

    def __init__(
        self,
        static_token: str | None,
        directory: RunnerDirectory,
        devices: DeviceService,
        tokens: TokenBook,
        throttle: Throttle,
    ) -> None:
        self._hash = _hash(static_token) if static_token else None
        self._directory = directory
        self._devices = devices
        self._tokens = tokens
        self._throttle = throttle

    async def by_header(self, runner_id: str, authorization: str) -> None:
        """An Authorization header: the static token. Raises DomainError."""
        scheme, _, token = authorization.partition(" ")
        self._static(runner_id, token.strip() if scheme.lower() == "bearer" else "")

    async def by_frame(self, runner_id: str, token: str, proof: str | None, challenge: str) -> None:
        """The first message. Raises DomainError."""
        if proof is None:
            self._static(runner_id, token)
            return
        with self._throttle.attempt(Check.REFRESH, account=runner_id):
            await self._devices.verify_stream(runner_id, token, challenge, proof)

    async def by_dial_back(self, authorization: str) -> str | None:
        """`Bearer RUNNER_ID.TOKEN` of a data connection: the runner's id, or None.

        Raises TooManyError.
        """
        scheme, _, credential = authorization.partition(" ")
        runner_id, _, token = credential.strip().partition(".")
        if scheme.lower() != "bearer":
            return None
        if self._tokens.find("session", runner_id, token) is not None:
            return runner_id
        try:
            self._static(runner_id, token)
        except (DeviceRefusedError, DeviceRevokedError):
            return None
        return runner_id

    def _static(self, runner_id: str, token: str) -> None:
        with self._throttle.attempt(Check.REFRESH, account=runner_id):
            good = self._hash is not None and hmac.compare_digest(_hash(token), self._hash)
            runner = self._directory.known(runner_id)
            if not good or (runner is not None and runner.is_device):
                # An id that was paired cannot be taken over by whoever has the static token.
                raise DeviceRefusedError("This server does not accept the runner's token.")
            if runner is not None and runner.is_revoked:
                raise DeviceRevokedError("This runner was revoked.")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
