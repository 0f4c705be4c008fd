"""Pairing: from a code that a person asks for to the tokens that a machine collects.

    waiting --(a machine presents the code)--> presented --(the person confirms)--> confirmed
    confirmed --(the machine collects its tokens)--> paired

A code is presented once. A second machine that presents it while the person has not decided voids
the pairing: one of the two stole the code, and nobody here knows which. Nothing is minted before
the machine collects it, and only for the key whose fingerprint the person confirmed.
"""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import segno
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.devices.challenges import Challenges
from earthshine.control.devices.errors import ProofRefusedError
from earthshine.control.devices.models import PairingRow
from earthshine.control.devices.proofs import Proofs
from earthshine.control.devices.schemas import (
    Collected,
    CollectTokens,
    Machine,
    Pairing,
    PairingList,
    PresentCode,
    Presented,
)
from earthshine.control.devices.signing_on import SigningOn
from earthshine.control.errors import (
    ConflictError,
    DomainError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    TooManyError,
)
from earthshine.control.origin import current_origin
from earthshine.control.throttle import Check, Throttle
from earthshine.protocols import pairing
from earthshine.protocols.pairing import BadCodeError, BadKeyError, ServerAddress
from earthshine.protocols.plaintext import plain_text

CODE_LIFE: Final = timedelta(minutes=5)
DECISION_LIFE: Final = timedelta(minutes=5)
"""For the person to confirm, once a machine has presented the code; and for it to collect then."""
COLLECT_AGAIN: Final = timedelta(minutes=2)
"""Tokens that were never used are minted again for a machine whose answer was lost."""
KEPT: Final = timedelta(days=1)
"""How long a used code is recognised as one."""
MAX_OPEN: Final = 10
"""Pairings of one person that are under way."""
MAX_PAIRINGS: Final = 2000
MAX_ADDRESS: Final = 64


class State(StrEnum):
    """How far a pairing is. That it has expired is seen from the clock."""

    WAITING = "waiting"
    PRESENTED = "presented"
    CONFIRMED = "confirmed"
    PAIRED = "paired"
    REFUSED = "refused"


Row = dict[str, Any]
OPEN: Final = (State.WAITING, State.PRESENTED, State.CONFIRMED)
CONTESTED: Final = (
    "Two machines presented this code. One of them got it from somewhere it should not have: "
    "start again with a new code."
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What to tell, and to record, once the transaction is over: an error would undo it."""

    error: DomainError
    reason: str
    row: Any


class PairingService:
    """Both ends of it: `start` to `refuse` for people, `present` and `collect` for machines."""

    def __init__(
        self,
        database: Database,
        access: Access,
        signing_on: SigningOn,
        proofs: Proofs,
        challenges: Challenges,
        throttle: Throttle,
        trail: Trail,
        *,
        server_pin: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`server_pin`: of our key, where runners can know us by nothing else."""
        self.access = access
        self._database = database
        self._signing_on = signing_on
        self._proofs = proofs
        self._challenges = challenges
        self._throttle = throttle
        self._trail = trail
        self._server_pin = server_pin

    # --- people ----------------------------------------------------------------------------------

    @permits(Permission.RUNNER_PAIR)
    async def start(self, actor: Actor, url: str, *, shared: bool) -> Pairing:
        """A new code. Raises TooManyError."""
        code = pairing.new_code(secrets.token_bytes(pairing.CODE_ENTROPY_BYTES))
        now = datetime.now(UTC)
        row: dict[str, Any] = {
            "id": secrets.token_hex(8),
            "person_id": actor.person_id,
            "code_hash": pairing.code_digest(code).hex(),
            "state": State.WAITING,
            "shared": shared,
            "created_at": now,
            "expires_at": now + CODE_LIFE,
        }
        async with self._database.write() as connection:
            await connection.execute(delete(PairingRow).where(PairingRow.expires_at < now - KEPT))
            await _check_room(connection, actor.person_id, now)
            await connection.execute(insert(PairingRow).values(row))
        await self._trail.record(
            AuditKind.PAIRING_STARTED, actor, subject=row["id"], details={"shared": shared}
        )
        address = ServerAddress(url, self._server_pin())
        uri = pairing.pairing_uri(address, code)
        shown = pairing.show_code(code)
        return Pairing(
            id=row["id"],
            state="waiting",
            shared=shared,
            code=shown,
            command=f"earthshine runner pair {_argument(address)} {shown}",
            uri=uri,
            qr=await asyncio.to_thread(_qr, uri),
            expires_at=row["expires_at"],
            server_fingerprint=self._server_pin(),
        )

    @permits(Permission.RUNNER_PAIR)
    async def list(self, actor: Actor) -> PairingList:
        """One's own pairings that are under way."""
        query = (
            select(PairingRow.__table__)
            .where(PairingRow.person_id == actor.person_id, PairingRow.state.in_(OPEN))
            .where(PairingRow.expires_at > datetime.now(UTC))
            .order_by(PairingRow.created_at.desc())
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return PairingList(pairings=[self._view(dict(row)) for row in rows])

    @permits(Permission.RUNNER_PAIR)
    async def get(self, actor: Actor, pairing_id: str) -> Pairing:
        """One of one's own. Raises NotFoundError."""
        async with self._database.read() as connection:
            return self._view(await _own(connection, actor, pairing_id))

    @permits(Permission.RUNNER_PAIR)
    async def confirm(self, actor: Actor, pairing_id: str, fingerprint: str) -> Pairing:
        """Let the machine with this fingerprint in. Raises ConflictError, GoneError."""
        now = datetime.now(UTC)
        async with self._database.write() as connection:
            row = await _own(connection, actor, pairing_id)
            if row["state"] in (State.CONFIRMED, State.PAIRED) and _is_of(row, fingerprint):
                return self._view(row)
            if row["expires_at"] <= now:
                raise GoneError("The pairing has expired.", remedy="Start again with a new code.")
            if row["state"] != State.PRESENTED:
                raise ConflictError(
                    row["detail"] or "No machine waits to be confirmed.",
                    remedy="Start again with a new code.",
                )
            if not _is_of(row, fingerprint):
                raise ConflictError(
                    "The machine that presented the code has another fingerprint.",
                    remedy="Refuse it, and start again with a new code.",
                )
            values = {"state": State.CONFIRMED, "expires_at": now + DECISION_LIFE}
            row = await _change(connection, row, values)
        await self._record(AuditKind.PAIRING_CONFIRMED, actor, row)
        return self._view(row)

    @permits(Permission.RUNNER_PAIR)
    async def refuse(self, actor: Actor, pairing_id: str) -> Pairing:
        """Void a pairing. Raises ConflictError where the machine has its tokens already."""
        async with self._database.write() as connection:
            row = await _own(connection, actor, pairing_id)
            if row["state"] == State.PAIRED:
                raise ConflictError(
                    "The machine has been paired already.", remedy="Revoke the runner."
                )
            values = {"state": State.REFUSED, "detail": row["detail"] or "You refused it."}
            row = await _change(connection, row, values)
        await self._record(AuditKind.PAIRING_REFUSED, actor, row, reason="refused")
        return self._view(row)

    # --- machines --------------------------------------------------------------------------------

    async def present(self, body: PresentCode) -> Presented:
        """A machine presents a code. Raises GoneError, ConflictError, ProofRefusedError."""
        try:
            code = pairing.read_code(body.code)
            digest = pairing.code_digest(code).hex()
        except BadCodeError:
            code = digest = ""
        with self._throttle.attempt(Check.PAIRING, code=digest):
            return await self._present(body, code, digest)

    async def _present(self, body: PresentCode, code: str, digest: str) -> Presented:
        if not code:
            raise InvalidRequestError("That is not a pairing code.", remedy="Check for mistakes.")
        try:
            key = pairing.from_text(body.key, pairing.KEY_BYTES)
        except BadKeyError as error:
            raise InvalidRequestError(f"The key cannot be read: {error}.") from None
        said = (body.name, body.hostname, body.platform)
        self._proofs.verify(
            key,
            body.signature,
            lambda origin: pairing.present_transcript(origin, code, key, *said),
        )
        values = {
            "state": State.PRESENTED,
            "device_key": body.key,
            "name": plain_text(body.name, pairing.MAX_NAME) or "unnamed",
            "hostname": plain_text(body.hostname, pairing.MAX_HOSTNAME),
            "platform": plain_text(body.platform, pairing.MAX_PLATFORM),
            "address": current_origin().address[:MAX_ADDRESS],
        }
        async with self._database.write() as connection:
            outcome = await _take_code(connection, digest, values)
        if isinstance(outcome, _Refusal):
            if outcome.row is not None:
                await self._record(
                    AuditKind.PAIRING_REFUSED, None, outcome.row, reason=outcome.reason
                )
            raise outcome.error
        row, is_new = outcome
        if is_new:
            await self._record(AuditKind.PAIRING_PRESENTED, None, row)
        return Presented(
            pairing_id=row["id"],
            fingerprint=pairing.fingerprint(key),
            expires_in=max(0, int((row["expires_at"] - datetime.now(UTC)).total_seconds())),
            challenge=self._challenges.issue(),
        )

    async def collect(self, body: CollectTokens) -> Collected:
        """A machine asks how far its pairing is; tokens for a confirmed one, once."""
        with self._throttle.attempt(Check.PAIRING, code=body.pairing_id):
            self._challenges.check(body.challenge)
            async with self._database.read() as connection:
                row = await _find(connection, PairingRow.id == body.pairing_id)
            text = row["device_key"] if row else None
            self._proofs.verify(
                pairing.from_text(text, pairing.KEY_BYTES) if text else None,
                body.signature,
                lambda origin: pairing.collect_transcript(origin, body.pairing_id, body.challenge),
            )
            if row is None:  # the proof was refused
                raise ProofRefusedError("There is no such pairing.")
            self._challenges.use(body.challenge)
            return await self._collect(row)

    async def _collect(self, row: Row) -> Collected:
        challenge = self._challenges.issue()
        now = datetime.now(UTC)
        if row["state"] not in (State.CONFIRMED, State.PAIRED):
            state, detail = _state(row, now), row["detail"]
            return Collected(state=state, detail=detail, challenge=challenge)
        async with self._database.write() as connection:
            row = await _locked(connection, row["id"])
            if row["state"] == State.PAIRED:
                if now > row["expires_at"]:
                    raise GoneError("The tokens have been collected already.")
                minted = await self._signing_on.mint_again(connection, row["runner_id"])
            elif _state(row, now) != State.CONFIRMED:
                raise GoneError("The pairing has expired.", remedy="Start again with a new code.")
            else:
                minted = await self._signing_on.mint(connection, row)
                values = {
                    "state": State.PAIRED,
                    "runner_id": minted.runner_id,
                    "expires_at": now + COLLECT_AGAIN,
                }
                row = await _change(connection, row, values)
        await self._signing_on.joined(minted.runner_id)
        if minted.is_new:
            await self._record(
                AuditKind.RUNNER_PAIRED, None, row, person=row["person_id"], shared=row["shared"]
            )
        return Collected(
            state="paired",
            challenge=challenge,
            runner_id=minted.runner_id,
            name=row["name"],
            tokens=minted.tokens,
        )

    async def drop_of(self, person_id: str) -> None:
        """Void whatever somebody who may not pair any more has under way."""
        async with self._database.write() as connection:
            await connection.execute(
                update(PairingRow)
                .where(PairingRow.person_id == person_id, PairingRow.state.in_(OPEN))
                .values(state=State.REFUSED, detail="Your account may not pair runners any more.")
            )

    # --- both ------------------------------------------------------------------------------------

    async def _record(self, kind: AuditKind, actor: Actor | None, row: Row, **details: Any) -> None:
        if row["device_key"]:
            key = pairing.from_text(row["device_key"], pairing.KEY_BYTES)
            details |= {"fingerprint": pairing.fingerprint(key), "from": row["address"]}
        await self._trail.record(
            kind,
            actor,
            subject=row["name"] or row["id"],
            runner_id=row["runner_id"],
            details=details,
        )

    def _view(self, row: Row) -> Pairing:
        machine = None
        if row["device_key"]:
            key = pairing.from_text(row["device_key"], pairing.KEY_BYTES)
            machine = Machine(
                name=row["name"],
                hostname=row["hostname"],
                platform=row["platform"],
                address=row["address"],
                fingerprint=pairing.fingerprint(key),
            )
        return Pairing(
            id=row["id"],
            state=_state(row, datetime.now(UTC)),
            shared=row["shared"],
            expires_at=row["expires_at"],
            server_fingerprint=self._server_pin(),
            machine=machine,
            runner_id=row["runner_id"],
            detail=row["detail"],
        )


def _state(row: Row, now: datetime) -> str:
    expired = row["state"] in OPEN and row["expires_at"] <= now
    return "expired" if expired else str(row["state"])


def _is_of(row: Row, fingerprint: str) -> bool:
    key = pairing.from_text(row["device_key"], pairing.KEY_BYTES)
    return pairing.same_fingerprint(pairing.fingerprint(key), fingerprint)


async def _check_room(connection: AsyncConnection, person_id: str, now: datetime) -> None:
    under_way = select(func.count()).select_from(PairingRow)
    mine = under_way.where(
        PairingRow.person_id == person_id, PairingRow.state.in_(OPEN), PairingRow.expires_at > now
    )
    if ((await connection.execute(mine)).scalar() or 0) >= MAX_OPEN:
        raise TooManyError(f"You have {MAX_OPEN} pairings under way.", remedy="Refuse some.")
    if ((await connection.execute(under_way)).scalar() or 0) >= MAX_PAIRINGS:
        raise TooManyError("There have been too many pairings today.")


async def _find(connection: AsyncConnection, condition: Any) -> Row | None:
    query = select(PairingRow.__table__).where(condition).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else dict(row)


async def _locked(connection: AsyncConnection, pairing_id: str) -> Row:
    row = await _find(connection, PairingRow.id == pairing_id)
    if row is None:
        raise GoneError("The pairing is gone.")
    return row


async def _own(connection: AsyncConnection, actor: Actor, pairing_id: str) -> Row:
    row = await _find(connection, PairingRow.id == pairing_id)
    if row is None or row["person_id"] != actor.person_id:
        raise NotFoundError("There is no such pairing, or it is not yours.")
    return row


async def _change(connection: AsyncConnection, row: Row, values: dict[str, Any]) -> Row:
    await connection.execute(update(PairingRow).where(PairingRow.id == row["id"]).values(values))
    return {**row, **values}


async def _take_code(
    connection: AsyncConnection, digest: str, values: dict[str, Any]
) -> tuple[Row, bool] | _Refusal:
    """Take the code's one exchange; whether it is new, or the same machine asking again."""
    now = datetime.now(UTC)
    row = await _find(connection, PairingRow.code_hash == digest)
    gone = GoneError(
        "This pairing code is not good (any more).",
        remedy="Ask for a new one: they last 5 minutes.",
    )
    if row is None:
        return _Refusal(gone, "unknown", None)
    same_machine = row["device_key"] == values["device_key"]
    match State(row["state"]):
        case _ if row["expires_at"] <= now:
            return _Refusal(gone, "expired", row)
        case State.WAITING:
            fresh = values | {"expires_at": now + DECISION_LIFE}
            return await _change(connection, row, fresh), True
        case State.PRESENTED | State.CONFIRMED if same_machine:
            return row, False
        case State.PRESENTED:
            row = await _change(connection, row, {"state": State.REFUSED, "detail": CONTESTED})
            return _Refusal(ConflictError(CONTESTED), "contested", row)
        case _:
            return _Refusal(gone, "replayed", row)


def _argument(address: ServerAddress) -> str:
    return address.url + (f"#{address.pin}" if address.pin else "")


def _qr(uri: str) -> str:
    out = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(
        out, kind="svg", border=2, scale=4, xmldecl=False, svgns=True, dark="#000", light="#fff"
    )
    return out.getvalue().decode()
