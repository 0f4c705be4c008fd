"""Who is who: people, one-time sign-in codes, sign-ins, tokens.

Codes and tokens are random, at least 128 bits, and kept only as SHA-256: there is nothing to guess
that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.accounts.models import Person, SignInCodeRow, SignInRow
from earthshine.control.accounts.schemas import SignInCode
from earthshine.control.db.engine import Database
from earthshine.control.errors import (
    GoneError,
    InvalidRequestError,
    SignInRequiredError,
    TooManyError,
)

CODE_LIFE: Final = timedelta(minutes=15)
BROWSER_LIFE: Final = timedelta(days=30)
TOKEN_LIFE: Final = timedelta(days=365)
MAX_CODES: Final = 1000
"""Codes that may be open at once."""
MAX_CACHED: Final = 10_000
"""Sign-ins that are remembered between requests."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new sign-in: the token goes to the client once and is not kept."""

    token: str
    actor: Actor
    life: timedelta


class AccountService:
    """People and their sign-ins."""

    def __init__(self, database: Database, access: Access) -> None:
        self.access = access
        self._database = database
        self._cache: dict[str, tuple[Actor, datetime]] = {}
        self._names: dict[str, str] = {}
        self._sign_outs = 0
        self.on_sign_out: Callable[[str], None] = lambda _: None

    # --- people ----------------------------------------------------------------------------------

    async def ensure_owner(self, name: str) -> Actor:
        """The first admin; made at the first start."""
        async with self._database.write() as connection:
            query = (
                select(Person.__table__)
                .where(Person.role == Role.ADMIN)
                .order_by(Person.created_at)
            )
            row = (await connection.execute(query)).first()
            if row is None:
                person_id = secrets.token_hex(8)
                await connection.execute(
                    insert(Person).values(
                        id=person_id, name=name, role=Role.ADMIN, created_at=datetime.now(UTC)
                    )
                )
                return Actor(person_id, name, Role.ADMIN, sign_in_id="")
        return Actor(row.id, row.name, Role.ADMIN, sign_in_id="")

    async def name(self, person_id: str) -> str:
        """A person's name."""
        if person_id not in self._names:
            async with self._database.read() as connection:
                query = select(Person.name).where(Person.id == person_id)
                self._names[person_id] = (await connection.execute(query)).scalar() or "?"
        return self._names[person_id]

    async def _person(self, name: str) -> str:
        """A person's id; somebody new becomes a member."""
        async with self._database.write() as connection:
            query = select(Person.id).where(Person.name == name)
            found = (await connection.execute(query)).scalar()
            if found is None:
                found = secrets.token_hex(8)
                await connection.execute(
                    insert(Person).values(
                        id=found, name=name, role=Role.MEMBER, created_at=datetime.now(UTC)
                    )
                )
        return str(found)

    # --- one-time codes --------------------------------------------------------------------------

    @permits(Permission.ACCOUNT)
    async def sign_in_code(self, actor: Actor, person: str, url: str) -> SignInCode:
        """A link that signs somebody in once: oneself, or, for an admin, anybody."""
        person_id = actor.person_id
        if person and person != actor.name:
            await self.access.require(actor, Permission.ADMIN, None)
            person_id = await self._person(person)
        code = await self.issue_code(person_id)
        return SignInCode(url=f"{url}/#sign-in={code}", expires_in=int(CODE_LIFE.total_seconds()))

    async def issue_code(self, person_id: str) -> str:
        """A code that signs this person in once. For the server's own output."""
        code = secrets.token_urlsafe(24)
        now = datetime.now(UTC)
        async with self._database.write() as connection:
            await connection.execute(delete(SignInCodeRow).where(SignInCodeRow.expires_at < now))
            count = select(func.count()).select_from(SignInCodeRow)
            if ((await connection.execute(count)).scalar() or 0) >= MAX_CODES:
                raise TooManyError(f"{MAX_CODES} sign-in links are open already.")
            await connection.execute(
                insert(SignInCodeRow).values(
                    code_hash=_hash(code), person_id=person_id, expires_at=now + CODE_LIFE
                )
            )
        return code

    async def redeem(self, code: str) -> SignedIn:
        """Trade a code for a browser's sign-in. Raises GoneError.

        Wrong codes are not counted: 192 random bits cannot be guessed, and a count would let
        strangers lock the owner out.
        """
        async with self._database.write() as connection:
            taken = delete(SignInCodeRow).where(SignInCodeRow.code_hash == _hash(code))
            row = (
                await connection.execute(
                    taken.returning(SignInCodeRow.person_id, SignInCodeRow.expires_at)
                )
            ).first()
        if row is None or row.expires_at < datetime.now(UTC):
            raise GoneError(
                "This sign-in link has expired or was used already.",
                remedy="Run `earthshine sign-in` on the server for a new one.",
            )
        return await self._sign_in(row.person_id, "browser", BROWSER_LIFE)

    async def issue_token(self, person_id: str) -> SignedIn:
        """A token for the command line."""
        return await self._sign_in(person_id, "token", TOKEN_LIFE)

    async def _sign_in(self, person_id: str, kind: str, life: timedelta) -> SignedIn:
        token = secrets.token_urlsafe(32)
        sign_in_id = secrets.token_hex(8)
        now = datetime.now(UTC)
        async with self._database.write() as connection:
            await connection.execute(delete(SignInRow).where(SignInRow.expires_at < now))
            try:
                await connection.execute(
                    insert(SignInRow).values(
                        id=sign_in_id,
                        token_hash=_hash(token),
                        person_id=person_id,
                        kind=kind,
                        created_at=now,
                        expires_at=now + life,
                    )
                )
            except IntegrityError:
                raise InvalidRequestError("There is no such person.") from None
        actor = await self.authenticate(token)
        return SignedIn(token, actor, life)

    # --- sign-ins --------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Actor:
        """Whose token this is. Raises SignInRequiredError."""
        key = _hash(token)
        now = datetime.now(UTC)
        known = self._cache.get(key)
        if known is None:
            columns = (SignInRow.id, SignInRow.expires_at, Person.id, Person.name, Person.role)
            query = (
                select(*columns)
                .join(Person, Person.id == SignInRow.person_id)
                .where(SignInRow.token_hash == key)
            )
            sign_outs = self._sign_outs
            async with self._database.read() as connection:
                row = (await connection.execute(query)).first()
            if row is None:
                raise _sign_in_required()
            sign_in_id, expires, person_id, name, role = row
            known = (Actor(person_id, name, Role(role), sign_in_id), expires)
            if sign_outs == self._sign_outs:  # else it may be this one that has ended meanwhile
                if len(self._cache) >= MAX_CACHED:
                    self._cache.pop(next(iter(self._cache)))
                self._cache[key] = known
        actor, expires = known
        if expires < now:
            raise _sign_in_required()
        return actor

    @permits(Permission.EVERYONE)
    async def sign_out(self, actor: Actor) -> None:
        """End the sign-in that the actor uses, and its sockets."""
        async with self._database.write() as connection:
            await connection.execute(delete(SignInRow).where(SignInRow.id == actor.sign_in_id))
        self._sign_outs += 1
        self._cache = {
            key: value
            for key, value in self._cache.items()
            if value[0].sign_in_id != actor.sign_in_id
        }
        self.on_sign_out(actor.sign_in_id)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _sign_in_required() -> SignInRequiredError:
    return SignInRequiredError(
        "You are not signed in, or your sign-in has ended.",
        remedy="Open the link that the server printed, or run `earthshine sign-in` there.",
    )
