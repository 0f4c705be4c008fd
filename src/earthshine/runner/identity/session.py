"""The session token of a paired runner: got, renewed in time, and given to what connects."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from earthshine.net.backoff import Backoff
from earthshine.protocols.envelope import Auth, Token
from earthshine.runner.identity.client import ControlPlaneClient, RefusedError, UnreachableError
from earthshine.runner.identity.record import BadRecordError, CredentialsEndedError, Identity
from earthshine.runner.identity.store import IdentityStore

RENEW: Final = 0.6
"""The part of a session token's life after which the next one is fetched."""
MARGIN: Final = 30.0
"""Seconds of life that a token must have left to be used."""
REVOKED: Final = "device-revoked"
ENDED: Final = frozenset({REVOKED, "device-refused", "proof-refused"})
"""What the control plane says to a runner that only pairing again can help."""
log = logging.getLogger(__name__)


class DeviceSession:
    """Belongs to one event loop."""

    def __init__(
        self,
        identity: Identity,
        store: IdentityStore,
        client: ControlPlaneClient,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identity = identity
        self._store = store
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._token = ""
        self._from = self._until = 0.0
        self._renewing = asyncio.Lock()
        self._unsaved = False

    @property
    def runner_id(self) -> str:
        """This runner's id."""
        return self._identity.runner_id

    def authorization(self) -> str:
        """For data connections that are dialled back."""
        return f"Bearer {self.runner_id}.{self._token}"

    def discard(self) -> None:
        """Get another one for the next control connection."""
        self._until = 0.0

    async def ready(self) -> None:
        """See to it that there is a token. Raises OSError, CredentialsEndedError."""
        async with self._renewing:
            if self._until - MARGIN <= self._clock():
                await self._renew()

    def first_message(self, challenge: str) -> Auth:
        """For a control connection whose handshake brought this challenge."""
        token: Token = self._identity.sign_stream(self._token, challenge)
        return Auth(client_id=self.runner_id, payload=token)

    def farewell(self, challenge: str) -> dict[str, Any]:
        """The body of a request that gives the credentials up."""
        signature = self._identity.sign_unpair(challenge)
        return {"runnerId": self.runner_id, "challenge": challenge, "signature": signature}

    async def keep_fresh(self) -> None:
        """Renew before the token runs out, until cancelled. Raises CredentialsEndedError."""
        backoff = Backoff(random.random)
        while True:
            due = self._from + RENEW * (self._until - self._from) - self._clock()
            if not self._until or due > 0:
                # In steps: a machine that slept has another idea of how long it waited.
                await self._sleep(min(max(due, 1.0), MARGIN))
                continue
            try:
                async with self._renewing:
                    await self._renew()
                backoff.delivered()
            except OSError as error:
                log.info("no new session token yet: %s", error)
                await self._sleep(backoff.next())

    async def _renew(self) -> None:
        if self._unsaved:
            await self._save()
        identity = self._identity
        if self._clock() < identity.access_until - MARGIN and await self._accessed():
            return
        try:
            await self._open(identity.refresh_token)
        except RefusedError as error:
            raise self._ended(error) from None

    async def _accessed(self) -> bool:
        """Try the access token. The control plane forgets it when it restarts."""
        try:
            await self._open(self._identity.access_token)
        except RefusedError as error:
            if error.code != "device-refused":
                raise self._ended(error) from None
            return False
        return True

    async def _open(self, token: str) -> None:
        def body(challenge: str) -> dict[str, Any]:
            return {
                "runnerId": self.runner_id,
                "token": token,
                "challenge": challenge,
                "signature": self._identity.sign_session(token, challenge),
            }

        answer = await self._client.signed("/session", body)
        now = self._clock()
        try:
            session, life = str(answer["sessionToken"]), float(answer["expiresIn"])
            if answer.get("tokens") is not None:
                fresh = answer["tokens"]
                self._identity = msgspec.structs.replace(
                    self._identity,
                    refresh_token=str(fresh["refreshToken"]),
                    access_token=str(fresh["accessToken"]),
                    access_until=now + float(fresh["accessExpiresIn"]),
                )
                # Kept before anything of it is used: the old one is of no use from then on.
                await self._save()
        except (KeyError, TypeError, ValueError):
            raise UnreachableError("its answer makes no sense") from None
        self._token, self._from, self._until = session, now, now + life

    async def _save(self) -> None:
        try:
            await asyncio.to_thread(self._store.save, self._identity)
            self._unsaved = False
        except (OSError, BadRecordError) as error:
            self._unsaved = True
            log.error(  # noqa: TRY400
                "the new tokens cannot be kept: %s; if the runner ends now it must be paired again",
                error,
            )

    def _ended(self, error: RefusedError) -> Exception:
        if error.code in ENDED:
            return CredentialsEndedError(str(error), for_good=error.code == REVOKED)
        return UnreachableError(str(error))
