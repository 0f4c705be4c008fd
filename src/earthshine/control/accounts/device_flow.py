"""The device flow (RFC 8628): a program without a browser is let in from one that has one.

The program shows a short code; somebody signed in enters it elsewhere, sees what asks, and decides.
The token is made when the program collects it, and given out once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from earthshine.control.access import Access, Actor, Permission, Scope, permits
from earthshine.control.accounts.digests import new_secret
from earthshine.control.accounts.errors import (
    AccessDeniedError,
    AuthorizationPendingError,
    ExpiredTokenError,
    SlowDownError,
)
from earthshine.control.accounts.pending import Pending
from earthshine.control.accounts.schemas import DeviceFlow, DeviceRequest, DeviceToken
from earthshine.control.accounts.sign_ins import SignIns
from earthshine.control.accounts.tokens import require_no_more
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.errors import ConflictError, NotFoundError, SignInRequiredError
from earthshine.control.origin import current_origin
from earthshine.control.throttle import Check, Throttle

FLOW_LIFE: Final = timedelta(minutes=10)
DEVICE_LIFE: Final = timedelta(days=180)
INTERVAL: Final = 5
"""Seconds between questions, to begin with."""
SLOWER: Final = 5
"""Seconds that it grows by when asked too soon (RFC 8628, 3.5)."""
TOLERANCE: Final = 0.5
"""Seconds that a question may come early: clocks and networks differ."""
MAX_INTERVAL: Final = 60
ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels: no words (RFC 8628, 6.1)."""
LENGTH: Final = 8
"""20^8 codes are 34 bits, for ten minutes, with six attempts each and limits per address."""


@dataclass(slots=True)
class Flow:
    """One program that asks."""

    user_code: str
    client_name: str
    scopes: frozenset[Scope]
    address: str
    expires_at: datetime
    asked_at: float
    interval: float = INTERVAL
    approver: Actor | None = None
    denied: bool = False
    device_code: str = field(default="", repr=False)


class DeviceFlowService:
    """Flows that are open."""

    def __init__(
        self,
        access: Access,
        throttle: Throttle,
        trail: Trail,
        *,
        sign_ins: SignIns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.access = access
        self._throttle = throttle
        self._trail = trail
        self._sign_ins = sign_ins
        self._clock = clock
        self._by_device: Pending[Flow] = Pending(FLOW_LIFE, clock)
        self._by_user: Pending[Flow] = Pending(FLOW_LIFE, clock)

    # --- the program -----------------------------------------------------------------------------

    async def start(self, client_name: str, scopes: Sequence[Scope], url: str) -> DeviceFlow:
        """Open a flow; `url` is the server's public one."""
        self._throttle.spend(Check.CHALLENGE)
        device_code = new_secret()
        letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        flow = Flow(
            user_code=f"{letters[:4]}-{letters[4:]}",
            client_name=client_name,
            scopes=frozenset(scopes),
            address=current_origin().address,
            expires_at=datetime.now(UTC) + FLOW_LIFE,
            asked_at=self._clock() - INTERVAL,
            device_code=device_code,
        )
        self._by_device.add(device_code, flow)
        self._by_user.add(letters, flow)
        return DeviceFlow(
            device_code=device_code,
            user_code=flow.user_code,
            verification_uri=f"{url}/device",
            verification_uri_complete=f"{url}/device?code={flow.user_code}",
            expires_in=int(FLOW_LIFE.total_seconds()),
            interval=INTERVAL,
        )

    async def collect(self, device_code: str) -> DeviceToken:
        """The token, once somebody has approved.

        Raises AuthorizationPendingError, SlowDownError, AccessDeniedError, ExpiredTokenError.
        """
        with self._throttle.attempt(Check.DEVICE_FLOW):
            flow = self._by_device.get(device_code)
            if flow is None:
                raise ExpiredTokenError(
                    "Nobody decided in time, or the token was collected.", remedy="Start again."
                )
        now = self._clock()
        too_soon = now - flow.asked_at < flow.interval - TOLERANCE
        flow.asked_at = now
        if too_soon:
            flow.interval = min(flow.interval + SLOWER, MAX_INTERVAL)
            raise SlowDownError(
                f"Ask every {flow.interval:g} s from now on.", retry_after=flow.interval
            )
        if flow.denied:
            self._close(flow)
            raise AccessDeniedError("It was refused.")
        if flow.approver is None:
            raise AuthorizationPendingError(
                "Nobody has decided yet.", remedy=f"Enter {flow.user_code} in a browser."
            )
        self._close(flow)
        try:
            approver = await self._sign_ins.actor(flow.approver.sign_in_id)
        except SignInRequiredError:
            raise AccessDeniedError("Whoever approved it has been signed out since.") from None
        signed_in = await self._sign_ins.issue(
            approver.person_id,
            "device",
            DEVICE_LIFE,
            name=flow.client_name,
            scopes=flow.scopes,
            method="device",
        )
        return DeviceToken(
            token=signed_in.token,
            expires_at=datetime.now(UTC) + signed_in.life,
            person=signed_in.actor.name,
        )

    def _close(self, flow: Flow) -> None:
        self._by_device.take(flow.device_code)
        self._by_user.take(_letters(flow.user_code))

    # --- whoever decides -------------------------------------------------------------------------

    @permits(Permission.ACCOUNT)
    async def look_up(self, actor: Actor, user_code: str) -> DeviceRequest:
        """What asks under a code. Raises NotFoundError, TooManyError."""
        flow = self._find(user_code)
        return DeviceRequest(
            user_code=flow.user_code,
            client_name=flow.client_name,
            scopes=sorted(flow.scopes),
            address=flow.address,
            expires_at=flow.expires_at,
        )

    @permits(Permission.ACCOUNT)
    async def decide(self, actor: Actor, user_code: str, *, approve: bool) -> None:
        """Let the program in as the actor, or not; the first decision counts.

        Raises NotFoundError, ConflictError, NotAllowedError for more than the actor may.
        """
        flow = self._find(user_code)
        if flow.denied or flow.approver is not None:
            raise ConflictError("This was decided already.")
        if not approve:
            flow.denied = True
            return
        require_no_more(actor, flow.scopes)
        flow.approver = actor
        await self._trail.record(
            AuditKind.DEVICE_APPROVED,
            actor,
            subject=flow.client_name,
            details={"scopes": sorted(flow.scopes), "asked_from": flow.address},
        )

    def _find(self, user_code: str) -> Flow:
        letters = _letters(user_code)
        with self._throttle.attempt(Check.DEVICE_FLOW, code=letters):
            flow = self._by_user.get(letters)
            if flow is None:
                raise NotFoundError(
                    "No program asks under this code.",
                    remedy="Compare it with the one that the program shows; it lasts 10 minutes.",
                )
            return flow


def _letters(user_code: str) -> str:
    """As typed by people: in any case, with or without the dash (RFC 8628, 6.1)."""
    return "".join(c for c in user_code.upper()[:64] if c in ALPHABET)
