"""Names and passwords."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, select, update

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.accounts import names
from earthshine.control.accounts.common_passwords import is_common
from earthshine.control.accounts.errors import WrongCredentialsError
from earthshine.control.accounts.hashing import Hasher, normal
from earthshine.control.accounts.models import Person
from earthshine.control.accounts.passkeys import PasskeyService
from earthshine.control.accounts.schemas import PasskeyChallenge
from earthshine.control.accounts.sign_ins import (
    BROWSER_LIFE,
    SignedIn,
    SignIns,
    active,
    require_whole,
)
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import ConflictError, InvalidRequestError
from earthshine.control.throttle import Check, Throttle

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 1024
"""Characters."""


class PasswordService:
    """Signs people in by password, and lets them change it."""

    def __init__(
        self,
        database: Database,
        access: Access,
        throttle: Throttle,
        trail: Trail,
        *,
        store: PeopleStore,
        sign_ins: SignIns,
        passkeys: PasskeyService,
        hasher: Hasher,
    ) -> None:
        self.access = access
        self._database = database
        self._throttle = throttle
        self._trail = trail
        self._store = store
        self._sign_ins = sign_ins
        self._passkeys = passkeys
        self._hasher = hasher

    async def sign_in(self, name: str, password: str) -> SignedIn | PasskeyChallenge:
        """A sign-in, or the challenge for the second factor.

        Raises WrongCredentialsError, after the same work whatever is wrong, and TooManyError.
        """
        key = names.key(name)
        with self._throttle.attempt(Check.SIGN_IN, account=key):
            person = await self._who_may(key)
            kept = None if person is None else person.password_hash
            # What is too long is no password, and need not be worked on.
            right = await self._hasher.verify(kept, password[: MAX_LENGTH + 1])
            if person is None or not right:
                # A name that nobody has may be a password in the wrong field: not recorded.
                await self._trail.record(
                    AuditKind.SIGN_IN_REFUSED,
                    subject="" if person is None else person.id,
                    details={"method": "password"},
                )
                raise WrongCredentialsError("The name or the password is wrong.")
        if self._hasher.is_outdated(person.password_hash):
            await self._keep(person.id, await self._hasher.hash(password), was=person.password_hash)
        if person.second_factor:
            return await self._passkeys.second_factor(person.id)
        return await self._sign_ins.issue(person.id, "browser", BROWSER_LIFE, method="password")

    async def _who_may(self, key: str) -> Row[Any] | None:
        query = select(Person.__table__).where(
            Person.name_key == key, Person.role != Role.GUEST, *active(datetime.now(UTC))
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).first()

    @permits(Permission.ACCOUNT)
    async def change(self, actor: Actor, current: str | None, new: str) -> None:
        """Set the password. Other sign-ins stay.

        Raises InvalidRequestError for a bad one, WrongCredentialsError where the present one was
        not given, TooManyError.
        """
        require_whole(actor)
        new = _acceptable(new, actor.name)
        person = await self._store.get(actor.person_id)
        if person.password_hash is not None:
            with self._throttle.attempt(Check.SIGN_IN, account=person.name_key):
                if not await self._hasher.verify(person.password_hash, current or ""):
                    raise WrongCredentialsError("The present password is another.")
        await self._keep(actor.person_id, await self._hasher.hash(new), was=person.password_hash)
        await self._trail.record(
            AuditKind.PASSWORD_CHANGED, actor, subject=actor.person_id, details={"to": "another"}
        )

    @permits(Permission.ACCOUNT)
    async def remove(self, actor: Actor) -> None:
        """Sign in without one from now on."""
        require_whole(actor)
        await self._keep(actor.person_id, None)
        await self._trail.record(
            AuditKind.PASSWORD_CHANGED, actor, subject=actor.person_id, details={"to": "none"}
        )

    async def _keep(self, person_id: str, kept: str | None, **only: str | None) -> None:
        query = update(Person).where(Person.id == person_id, Person.removed_at.is_(None))
        if "was" in only:
            query = query.where(Person.password_hash.is_not_distinct_from(only["was"]))
        async with self._database.write() as connection:
            result = await connection.execute(query.values(password_hash=kept))
        if result.rowcount == 0:
            raise ConflictError("The password was changed meanwhile.", remedy="Try again.")


def _acceptable(password: str, name: str) -> str:
    password = normal(password)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidRequestError(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    if names.key(password) == names.key(name) or is_common(password):
        raise InvalidRequestError(
            "This password would be guessed at once.", remedy="Choose another: a few words do."
        )
    return password
