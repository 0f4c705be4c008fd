"""Paired runners: their session tokens, and what their owners can do with them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, update

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.devices.challenges import LIFE, Challenges
from earthshine.control.devices.errors import (
    DeviceRefusedError,
    DeviceRevokedError,
    ProofRefusedError,
)
from earthshine.control.devices.families import Verdict
from earthshine.control.devices.models import RefreshFamily
from earthshine.control.devices.proofs import Proofs
from earthshine.control.devices.schemas import (
    ChallengeView,
    DeviceTokens,
    LeavePairing,
    OpenSession,
    SessionOpened,
)
from earthshine.control.devices.signing_on import SigningOn
from earthshine.control.devices.tokens import SESSION_LIFE, TokenBook
from earthshine.control.errors import ConflictError, InvalidRequestError
from earthshine.control.runners.directory import Runner, RunnerDirectory
from earthshine.control.runners.models import RunnerRow
from earthshine.control.runners.schemas import RunnerView
from earthshine.control.throttle import Check, Throttle
from earthshine.protocols import pairing
from earthshine.protocols.plaintext import plain_text

REUSED: Final = (
    "A refresh token of this runner was used twice: somebody may have copied it. The runner was "
    "revoked; look after its machine before you pair it again."
)
UNPAIRED: Final = "It was unpaired on its machine."
OWNER_GONE: Final = "Its owner's account was removed or disabled."
REVOKED: Final = "revoked"
PAIR_AGAIN: Final = "Pair it again with `earthshine runner pair`."
log = logging.getLogger(__name__)


async def _nothing(_: object) -> None:
    """Stands in until the application says what ends with a runner."""


class DeviceService:
    """Session tokens for runners; sharing, revoking and removing for people."""

    def __init__(
        self,
        database: Database,
        access: Access,
        directory: RunnerDirectory,
        signing_on: SigningOn,
        proofs: Proofs,
        challenges: Challenges,
        tokens: TokenBook,
        throttle: Throttle,
        trail: Trail,
        view: Callable[[str], Awaitable[RunnerView]],
    ) -> None:
        self.access = access
        self._database = database
        self._directory = directory
        self._signing_on = signing_on
        self._proofs = proofs
        self._challenges = challenges
        self._tokens = tokens
        self._throttle = throttle
        self._trail = trail
        self._view = view
        self._taken: dict[str, int] = {}
        """Newest generation of each runner's refresh tokens that is known to have arrived."""
        self.on_revoked: Callable[[Runner], Awaitable[None]] = _nothing
        """Ends everything that a runner has open; must not wait for the runner."""
        self.on_removed: Callable[[str], Awaitable[None]] = _nothing
        """Told the id of a runner that was taken off the list."""
        self.on_hidden: Callable[[Runner], None] = lambda _: None
        """A runner is not there any more for those who are not its owner, or for anybody."""

    # --- runners ---------------------------------------------------------------------------------

    def challenge(self) -> ChallengeView:
        """Something fresh to sign."""
        self._throttle.spend(Check.CHALLENGE)
        return ChallengeView(challenge=self._challenges.issue(), expires_in=LIFE)

    async def open_session(self, body: OpenSession) -> SessionOpened:
        """A session token for an access or refresh token.

        Raises StaleChallengeError, ProofRefusedError, DeviceRefusedError, DeviceRevokedError.
        """
        with self._throttle.attempt(Check.REFRESH, account=body.runner_id):
            runner = self._proved(
                body.runner_id,
                body.challenge,
                body.signature,
                lambda origin: pairing.session_transcript(
                    origin, body.runner_id, body.token, body.challenge
                ),
            )
            access = self._tokens.find("access", runner.id, body.token)
            if access is not None:
                await self._arrived(runner.id, access.generation)
                tokens, generation = None, access.generation
            else:
                tokens, generation = await self._refresh(runner, body.token)
            if runner.is_revoked:  # meanwhile
                self._tokens.drop(runner.id)
                raise _revoked(runner)
            return SessionOpened(
                session_token=self._tokens.issue("session", runner.id, generation),
                expires_in=SESSION_LIFE,
                challenge=self._challenges.issue(),
                tokens=tokens,
            )

    async def _refresh(self, runner: Runner, token: str) -> tuple[DeviceTokens, int]:
        async with self._database.write() as connection:
            verdict, tokens, generation = await self._signing_on.rotate(
                connection, runner.id, token
            )
        if tokens is not None:
            if verdict is Verdict.LOST_ANSWER:
                log.info("runner %s had lost an answer and refreshed again", runner.id)
            return tokens, generation
        if verdict is Verdict.REUSED:
            await self._trail.record(
                AuditKind.TOKEN_REUSED, None, subject=runner.name, runner_id=runner.id
            )
            await self._revoke(runner, None, REUSED)
            raise _revoked(runner)
        await self._trail.record(
            AuditKind.RUNNER_REFUSED,
            None,
            subject=runner.name,
            runner_id=runner.id,
            details={"token": verdict.value},
        )
        if verdict is Verdict.EXPIRED:
            raise DeviceRefusedError("The runner stayed away for too long.", remedy=PAIR_AGAIN)
        raise DeviceRefusedError("The token is not good.", remedy=PAIR_AGAIN)

    async def verify_stream(
        self, runner_id: str, token: str, challenge: str, signature: str
    ) -> None:
        """The first message on a control connection. `challenge`: of its handshake.

        Raises ProofRefusedError, DeviceRefusedError, DeviceRevokedError.
        """
        runner = self._directory.known(runner_id)
        self._proofs.verify(
            runner.device_key if runner else None,
            signature,
            lambda origin: pairing.stream_transcript(origin, runner_id, token, challenge),
        )
        if runner is None:  # the proof was refused
            raise ProofRefusedError("There is no such runner.")
        if runner.is_revoked:
            raise _revoked(runner)
        issued = self._tokens.find("session", runner_id, token)
        if issued is None:
            raise DeviceRefusedError("The session token is not good.", remedy="Get another one.")
        await self._arrived(runner_id, issued.generation)

    async def leave(self, body: LeavePairing) -> None:
        """A runner gives its credentials up."""
        with self._throttle.attempt(Check.REFRESH, account=body.runner_id):
            runner = self._proved(
                body.runner_id,
                body.challenge,
                body.signature,
                lambda origin: pairing.unpair_transcript(origin, body.runner_id, body.challenge),
            )
            await self._revoke(runner, None, UNPAIRED)

    def _proved(
        self, runner_id: str, challenge: str, signature: str, transcript: Callable[[str], bytes]
    ) -> Runner:
        """Who signs, under a fresh challenge; told only to them, that they were revoked."""
        self._challenges.check(challenge)
        runner = self._directory.known(runner_id)
        self._proofs.verify(runner.device_key if runner else None, signature, transcript)
        if runner is None:  # the proof was refused
            raise ProofRefusedError("There is no such runner.")
        self._challenges.use(challenge)
        if runner.is_revoked:
            raise _revoked(runner)
        return runner

    async def _arrived(self, runner_id: str, generation: int) -> None:
        if self._taken.get(runner_id, 0) >= generation:
            return
        async with self._database.write() as connection:
            await self._signing_on.taken(connection, runner_id, generation)
        self._taken[runner_id] = generation

    # --- people ----------------------------------------------------------------------------------

    @permits(Permission.RUNNER_OWN)
    async def change(
        self, actor: Actor, runner_id: str, *, name: str | None, shared: bool | None
    ) -> RunnerView:
        """Rename a runner, share it or not. Raises InvalidRequestError, ConflictError."""
        runner = self._directory.get(runner_id)
        if name is not None:
            given = plain_text(name, pairing.MAX_NAME)
            if not given:
                raise InvalidRequestError("The name has no sign that shows.")
            await self._directory.change(runner, given_name=given)
        if shared is not None and shared is not runner.possession.shared:
            if not runner.is_device:
                raise ConflictError(
                    "A runner that comes by the static token is everybody's.",
                    remedy="Pair its machine instead.",
                )
            await self._directory.change(runner, shared=shared)
            if not shared:
                self.on_hidden(runner)
            await self._trail.record(
                AuditKind.RUNNER_SHARED,
                actor,
                subject=runner.name,
                runner_id=runner.id,
                details={"shared": shared},
            )
        return await self._view(runner_id)

    @permits(Permission.RUNNER_OWN)
    async def revoke(self, actor: Actor, runner_id: str) -> RunnerView:
        """End a runner's tokens, connections, streams and sessions, for good."""
        runner = self._directory.get(runner_id)
        await self._revoke(runner, actor, f"{actor.name} revoked it.")
        return await self._view(runner_id)

    @permits(Permission.RUNNER_OWN)
    async def remove(self, actor: Actor, runner_id: str) -> None:
        """Take a runner off the list. Raises ConflictError for one that is connected."""
        runner = self._directory.get(runner_id)
        if runner.is_connected and not runner.is_revoked:
            raise ConflictError("The runner is connected.", remedy="Revoke it first.")
        if runner.is_device:
            await self._revoke(runner, actor, f"{actor.name} removed it.")
        await self._directory.remove(runner)
        await self.on_removed(runner.id)
        self.on_hidden(runner)

    async def revoke_of(self, person_id: str) -> None:
        """Whoever owned these runners is removed or disabled."""
        for runner in self._directory:
            if runner.owner_id == person_id and not runner.is_revoked:
                await self._revoke(runner, None, OWNER_GONE)

    async def _revoke(self, runner: Runner, actor: Actor | None, reason: str) -> None:
        """Connections first: what must be over within a second does not wait for a database."""
        if not runner.is_revoked:
            runner.revoked_at, runner.revoked_reason = datetime.now(UTC), reason[:200]
        self._tokens.drop(runner.id)
        self._taken.pop(runner.id, None)
        await self.on_revoked(runner)
        async with self._database.write() as connection:
            await connection.execute(
                delete(RefreshFamily).where(RefreshFamily.runner_id == runner.id)
            )
            changed = await connection.execute(
                update(RunnerRow)
                .where(RunnerRow.id == runner.id, RunnerRow.revoked_at.is_(None))
                .values(revoked_at=runner.revoked_at, revoked_reason=runner.revoked_reason)
            )
        self._directory.on_change(runner)
        if changed.rowcount:
            await self._trail.record(
                AuditKind.RUNNER_REVOKED,
                actor,
                subject=runner.name,
                runner_id=runner.id,
                details={"reason": runner.revoked_reason or REVOKED},
            )


def _revoked(runner: Runner) -> DeviceRevokedError:
    return DeviceRevokedError(
        f"This runner was revoked: {runner.revoked_reason or REVOKED}", remedy=PAIR_AGAIN
    )
