"""Passkeys (WebAuthn Level 3): alone, or as second factor behind a password.

Alone, the authenticator must have verified its user, by finger, face or PIN. What a browser answers
is bound to this server's exact origin and to a challenge that is taken once, within five minutes.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.accounts.digests import new_id, new_secret
from earthshine.control.accounts.errors import WrongCredentialsError
from earthshine.control.accounts.models import PasskeyRow, Person
from earthshine.control.accounts.pending import Pending
from earthshine.control.accounts.schemas import MAX_CREDENTIAL, Passkey, PasskeyChallenge
from earthshine.control.accounts.sign_ins import BROWSER_LIFE, SignedIn, SignIns, require_whole
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import (
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    TooManyError,
)
from earthshine.control.settings import origin
from earthshine.control.throttle import Check, Throttle

CHALLENGE_LIFE: Final = timedelta(minutes=5)
MAX_PASSKEYS: Final = 20
"""Of one person."""
SERVER_NAME: Final = "Earthshine"


class Purpose(Enum):
    """What a challenge may be answered for."""

    REGISTRATION = "registration"
    ALONE = "alone"
    SECOND_FACTOR = "second-factor"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One question to an authenticator."""

    purpose: Purpose
    challenge: bytes
    person_id: str = ""
    sign_in_id: str = ""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """This server, as authenticators know it."""

    id: str
    origin: str

    @classmethod
    def at(cls, public_url: str) -> RelyingParty | None:
        """None where browsers have no passkeys: at bare addresses, and without TLS but locally."""
        parts = urlsplit(public_url)
        host = parts.hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            is_local = host == "localhost" or host.endswith(".localhost")
            if host and (parts.scheme == "https" or is_local):
                return cls(host, origin(public_url))
        return None


class PasskeyService:
    """Registers passkeys, and signs people in by them."""

    def __init__(
        self,
        database: Database,
        access: Access,
        throttle: Throttle,
        trail: Trail,
        *,
        store: PeopleStore,
        sign_ins: SignIns,
    ) -> None:
        self.access = access
        self._database = database
        self._throttle = throttle
        self._trail = trail
        self._store = store
        self._sign_ins = sign_ins
        self._challenges: Pending[Challenge] = Pending(CHALLENGE_LIFE)
        self.relying_party: RelyingParty | None = None
        """Set once the server's public address is known."""

    @property
    def available(self) -> bool:
        """Whether browsers have passkeys for this server's address."""
        return self.relying_party is not None

    def _here(self) -> RelyingParty:
        if self.relying_party is None:
            raise ConflictError(
                "Passkeys need a host name, and TLS.",
                remedy="Set EARTHSHINE_PUBLIC_URL to an https address with a name, "
                "or to http://localhost:PORT on one machine.",
            )
        return self.relying_party

    def _ask(
        self, purpose: Purpose, person_id: str = "", sign_in_id: str = ""
    ) -> tuple[str, bytes]:
        key, challenge = new_secret(), secrets.token_bytes(32)
        self._challenges.add(key, Challenge(purpose, challenge, person_id, sign_in_id))
        return key, challenge

    def _answered(self, key: str, *purposes: Purpose) -> Challenge:
        challenge = self._challenges.take(key)
        if challenge is None or challenge.purpose not in purposes:
            raise GoneError("That took too long, or was answered already.", remedy="Try again.")
        return challenge

    # --- signing in ------------------------------------------------------------------------------

    async def challenge(self) -> PasskeyChallenge:
        """For a passkey alone. Raises ConflictError where there are none."""
        self._throttle.spend(Check.CHALLENGE)
        here = self._here()
        key, challenge = self._ask(Purpose.ALONE)
        options = webauthn.generate_authentication_options(
            rp_id=here.id,
            challenge=challenge,
            timeout=_milliseconds(CHALLENGE_LIFE),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return PasskeyChallenge(id=key, options=json.loads(webauthn.options_to_json(options)))

    async def second_factor(self, person_id: str) -> PasskeyChallenge:
        """For one of this person's passkeys, whose password was right."""
        here = self._here()
        key, challenge = self._ask(Purpose.SECOND_FACTOR, person_id)
        options = webauthn.generate_authentication_options(
            rp_id=here.id,
            challenge=challenge,
            timeout=_milliseconds(CHALLENGE_LIFE),
            allow_credentials=await self._descriptors(person_id),
            user_verification=UserVerificationRequirement.PREFERRED,
        )
        return PasskeyChallenge(id=key, options=json.loads(webauthn.options_to_json(options)))

    async def _descriptors(self, person_id: str) -> list[PublicKeyCredentialDescriptor]:
        query = select(PasskeyRow.credential_id).where(PasskeyRow.person_id == person_id)
        async with self._database.read() as connection:
            ids = (await connection.execute(query)).scalars()
            return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in ids]

    async def sign_in(self, key: str, credential: dict[str, Any]) -> SignedIn:
        """Take an answer. Raises GoneError, WrongCredentialsError, TooManyError."""
        with self._throttle.attempt(Check.SIGN_IN):
            here = self._here()
            asked = self._answered(key, Purpose.ALONE, Purpose.SECOND_FACTOR)
            passkey = await self._known(credential)
            why = "unknown passkey"
            if passkey is not None:
                why = self._fault(here, asked, passkey, credential)
                why = why or await self._count(passkey, credential)
            if passkey is None or why:
                subject = "" if passkey is None else passkey.person_id
                details = {"method": "passkey", "why": why}
                await self._trail.record(
                    AuditKind.SIGN_IN_REFUSED, subject=subject, details=details
                )
                raise WrongCredentialsError(
                    "This passkey does not sign anybody in here.",
                    remedy="Sign in another way, and look at your passkeys under Settings.",
                )
        alone = asked.purpose is Purpose.ALONE
        method = "passkey" if alone else "password and passkey"
        return await self._sign_ins.issue(passkey.person_id, "browser", BROWSER_LIFE, method=method)

    async def _known(self, credential: dict[str, Any]) -> Row[Any] | None:
        credential_id = credential.get("id")
        if not isinstance(credential_id, str) or not credential_id.isascii():
            return None
        if _too_large(credential):
            return None
        query = select(PasskeyRow.__table__).where(PasskeyRow.credential_id == credential_id)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first()

    def _fault(
        self, here: RelyingParty, asked: Challenge, passkey: Row[Any], credential: dict[str, Any]
    ) -> str:
        alone = asked.purpose is Purpose.ALONE
        if not alone and passkey.person_id != asked.person_id:
            return "somebody else's passkey"
        try:
            webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=asked.challenge,
                expected_rp_id=here.id,
                expected_origin=here.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=0,  # see `_count`
                require_user_verification=alone,
            )
            handle = credential["response"].get("userHandle")
            if handle is None:
                return "no user handle" if alone else ""
            owner = base64url_to_bytes(handle)
        except Exception:  # noqa: BLE001 - a stranger's CBOR: the parsers below raise anything
            return "wrong answer"
        return "" if owner == passkey.person_id.encode() else "somebody else's passkey"

    async def _count(self, passkey: Row[Any], credential: dict[str, Any]) -> str:
        """Keep the signature counter. One that did not grow tells of a copy (WebAuthn, 6.1.1)."""
        data = base64url_to_bytes(credential["response"]["authenticatorData"])
        count = int.from_bytes(data[33:37], "big")
        rows = PasskeyRow
        grown = rows.sign_count == 0 if count == 0 else rows.sign_count < count
        query = update(rows).where(rows.id == passkey.id, grown)
        async with self._database.write() as connection:
            result = await connection.execute(
                query.values(sign_count=count, last_used_at=datetime.now(UTC))
            )
        return "" if result.rowcount else "the signature counter went back"

    # --- one's own -------------------------------------------------------------------------------

    @permits(Permission.ACCOUNT)
    async def registration(self, actor: Actor) -> PasskeyChallenge:
        """What the browser needs to make a passkey. Raises ConflictError, TooManyError."""
        require_whole(actor)
        here = self._here()
        known = await self._descriptors(actor.person_id)
        if len(known) >= MAX_PASSKEYS:
            raise TooManyError(f"You have {MAX_PASSKEYS} passkeys.", remedy="Remove one first.")
        key, challenge = self._ask(Purpose.REGISTRATION, actor.person_id, actor.sign_in_id)
        options = webauthn.generate_registration_options(
            rp_id=here.id,
            rp_name=SERVER_NAME,
            user_id=actor.person_id.encode(),
            user_name=actor.name,
            challenge=challenge,
            timeout=_milliseconds(CHALLENGE_LIFE),
            exclude_credentials=known,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return PasskeyChallenge(id=key, options=json.loads(webauthn.options_to_json(options)))

    @permits(Permission.ACCOUNT)
    async def add(self, actor: Actor, key: str, name: str, credential: dict[str, Any]) -> Passkey:
        """Keep a passkey. Raises GoneError, InvalidRequestError, ConflictError, TooManyError."""
        require_whole(actor)
        here = self._here()
        asked = self._answered(key, Purpose.REGISTRATION)
        if asked.sign_in_id != actor.sign_in_id:
            raise GoneError("That was asked elsewhere.", remedy="Try again.")
        wrong = InvalidRequestError("This is no passkey for this server.", remedy="Try again.")
        if _too_large(credential):
            raise wrong
        try:
            verified = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=asked.challenge,
                expected_rp_id=here.id,
                expected_origin=here.origin,
                require_user_verification=True,
            )
        except Exception:  # noqa: BLE001 - anybody's CBOR: the parsers below raise anything
            raise wrong from None
        passkey_id = new_id()
        row = {
            "id": passkey_id,
            "credential_id": bytes_to_base64url(verified.credential_id),
            "person_id": actor.person_id,
            "name": name,
            "public_key": verified.credential_public_key,
            "sign_count": verified.sign_count,
            "created_at": datetime.now(UTC),
            "last_used_at": None,
        }
        count = (
            select(func.count())
            .select_from(PasskeyRow)
            .where(PasskeyRow.person_id == actor.person_id)
        )
        try:
            async with self._database.write() as connection:
                if ((await connection.execute(count)).scalar() or 0) >= MAX_PASSKEYS:
                    raise TooManyError(f"You have {MAX_PASSKEYS} passkeys.")
                await connection.execute(insert(PasskeyRow).values(row))
        except IntegrityError:
            raise ConflictError("This passkey is known already.") from None
        details = {"name": name}
        await self._trail.record(
            AuditKind.PASSKEY_ADDED, actor, subject=passkey_id, details=details
        )
        return Passkey.model_validate(row)

    @permits(Permission.ACCOUNT)
    async def remove(self, actor: Actor, passkey_id: str) -> None:
        """Forget a passkey. Raises NotFoundError, ConflictError."""
        require_whole(actor)
        mine = PasskeyRow.person_id == actor.person_id
        async with self._database.write() as connection:
            person = await self._store.in_transaction(connection, actor.person_id)
            gone = delete(PasskeyRow).where(mine, PasskeyRow.id == passkey_id)
            if (await connection.execute(gone)).rowcount == 0:
                raise NotFoundError("There is no such passkey.")
            left = select(func.count()).select_from(PasskeyRow).where(mine)
            if person.second_factor and not (await connection.execute(left)).scalar():
                raise ConflictError(
                    "This passkey is your second factor.",
                    remedy="Add another first, or stop requiring one.",
                )
        await self._trail.record(AuditKind.PASSKEY_REMOVED, actor, subject=passkey_id)

    @permits(Permission.ACCOUNT)
    async def require_second_factor(self, actor: Actor, *, required: bool) -> None:
        """Whether a passkey must follow the password. Raises ConflictError without a passkey."""
        require_whole(actor)
        if required:
            self._here()
        async with self._database.write() as connection:
            await self._store.in_transaction(connection, actor.person_id)
            left = select(func.count()).where(PasskeyRow.person_id == actor.person_id)
            if required and not (await connection.execute(left)).scalar():
                raise ConflictError("You have no passkey yet.", remedy="Add one first.")
            await connection.execute(
                update(Person).where(Person.id == actor.person_id).values(second_factor=required)
            )
        await self._trail.record(
            AuditKind.SECOND_FACTOR_CHANGED,
            actor,
            subject=actor.person_id,
            details={"required": required},
        )


def _too_large(credential: dict[str, Any]) -> bool:
    try:
        return len(json.dumps(credential)) > MAX_CREDENTIAL
    except (ValueError, RecursionError):
        return True


def _milliseconds(life: timedelta) -> int:
    return int(life.total_seconds() * 1000)
