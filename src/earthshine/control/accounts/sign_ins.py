"""Sign-ins: who a token speaks for, what is signed in as whom, and ending it.

Each is a row; what was looked up is remembered until the sign-in ends or its person changes. What
rests on a sign-in (sockets, previews) is told at once by `on_end` and `on_change`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from earthshine.control.access import ALL_SCOPES, Actor, Role, Scope
from earthshine.control.accounts.digests import TOKEN_PREFIX, digest, new_id, new_secret
from earthshine.control.accounts.models import Person, SignInRow
from earthshine.control.accounts.schemas import Kind
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import NotAllowedError, SignInRequiredError, TooManyError
from earthshine.control.origin import Origin, current_origin

BROWSER_LIFE: Final = timedelta(days=30)
MAX_CACHED: Final = 10_000
"""Sign-ins that are remembered between requests."""
MAX_BROWSERS: Final = 100
"""Browsers of one person; one more ends the one that was last used longest ago."""
MAX_TOKENS: Final = 100
"""Tokens and devices of one person."""
SEEN_EVERY: Final = 60.0
"""Seconds between notes of when sign-ins were last used."""
EXPIRY_EVERY: Final = 1.0
"""Seconds within which what rests on an expired sign-in ends."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new sign-in: the token goes to the client once and is not kept."""

    token: str
    actor: Actor
    life: timedelta


@dataclass(frozen=True, slots=True)
class _Known:
    actor: Actor
    expires: datetime


class SignIns:
    """Issues, recognises and ends sign-ins. Asks nobody's permission: services do."""

    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail
        self._known: dict[str, _Known] = {}
        """By hash of the token."""
        self._seen: dict[str, tuple[datetime, Origin, str]] = {}
        """Sign-ins used since the last note: when, where from, whose."""
        self._changes = 0
        self.on_end: Callable[[str], None] = lambda _: None
        """Told the id of a sign-in that has ended."""
        self.on_change: Callable[[str], None] = lambda _: None
        """Told the id of a sign-in whose person may now do other things than before."""

    # --- beginning -------------------------------------------------------------------------------

    async def issue(
        self,
        person_id: str,
        kind: Kind,
        life: timedelta,
        *,
        name: str = "",
        scopes: frozenset[Scope] = ALL_SCOPES,
        method: str | None = None,
    ) -> SignedIn:
        """Sign somebody in; recorded when there is a `method`.

        Raises NotAllowedError for somebody who must not, TooManyError where tokens are too many.
        """
        token = ("" if kind == "browser" else TOKEN_PREFIX) + new_secret()
        now = datetime.now(UTC)
        origin = current_origin()
        async with self._database.write() as connection:
            query = select(Person.expires_at).where(Person.id == person_id, *active(now))
            # Locked, so that somebody who is shut out this moment is not let in behind that.
            person = (await connection.execute(query.with_for_update())).first()
            if person is None:
                raise NotAllowedError("This account cannot sign in.", remedy="Ask an admin.")
            if person.expires_at is not None:
                life = min(life, person.expires_at - now)
            ended = await self._make_room(connection, person_id, kind)
            row = {
                "id": new_id(),
                "token_hash": digest(token),
                "person_id": person_id,
                "kind": kind,
                "name": name,
                "scopes": " ".join(sorted(scopes)),
                "address": origin.address,
                "user_agent": origin.user_agent,
                "created_at": now,
                "last_seen_at": now,
                "expires_at": now + life,
            }
            await connection.execute(insert(SignInRow).values(row))
        self._forget(ended)
        actor = await self.authenticate(token)
        if method is not None:
            await self._trail.record(AuditKind.SIGNED_IN, actor, details={"method": method})
        return SignedIn(token, actor, life)

    async def _make_room(
        self, connection: AsyncConnection, person_id: str, kind: Kind
    ) -> list[str]:
        is_browser = kind == "browser"
        alike = SignInRow.kind == "browser" if is_browser else SignInRow.kind != "browser"
        most = MAX_BROWSERS if is_browser else MAX_TOKENS
        query = (
            select(SignInRow.id)
            .where(SignInRow.person_id == person_id, alike)
            .order_by(SignInRow.last_seen_at.desc())
            .offset(most - 1)
        )
        over = [*(await connection.execute(query)).scalars()]
        if over and not is_browser:
            raise TooManyError(f"There are {most} tokens already.", remedy="End one first.")
        if over:
            await connection.execute(delete(SignInRow).where(SignInRow.id.in_(over)))
        return over

    # --- recognising -----------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Actor:
        """Whose token this is. Raises SignInRequiredError."""
        key = digest(token)
        known = self._known.get(key)
        if known is None:
            known = await self._look_up(SignInRow.token_hash == key)
            if len(self._known) >= MAX_CACHED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = known
        now = datetime.now(UTC)
        if known.expires <= now:
            raise sign_in_required()
        if len(self._seen) < MAX_CACHED:
            self._seen[known.actor.sign_in_id] = (now, current_origin(), known.actor.person_id)
        return known.actor

    async def actor(self, sign_in_id: str) -> Actor:
        """Who is signed in by this sign-in. Raises SignInRequiredError."""
        return (await self._look_up(SignInRow.id == sign_in_id)).actor

    async def _look_up(self, condition: ColumnElement[bool]) -> _Known:
        now = datetime.now(UTC)
        columns = (SignInRow.id, SignInRow.scopes, SignInRow.expires_at)
        person = (Person.id, Person.name, Person.role, Person.expires_at)
        query = (
            select(*columns, *person)
            .join(Person, Person.id == SignInRow.person_id)
            .where(condition, SignInRow.expires_at > now, *active(now))
        )
        while True:
            changes = self._changes
            async with self._database.read() as connection:
                row = (await connection.execute(query)).first()
            if row is None:
                raise sign_in_required()
            if changes == self._changes:
                break  # else it may be this one that has ended while we looked
        sign_in_id, scopes, expires, person_id, name, role, gone = _values(row)
        actor = Actor(person_id, name, Role(role), sign_in_id, _scopes(scopes))
        return _Known(actor, min(expires, gone) if gone else expires)

    # --- looking ---------------------------------------------------------------------------------

    async def rows(self, *conditions: ColumnElement[bool]) -> list[Row[Any]]:
        """Sign-ins that have not expired, last used first."""
        await self.note()
        query = (
            select(SignInRow.__table__)
            .where(*conditions, SignInRow.expires_at > datetime.now(UTC))
            .order_by(SignInRow.last_seen_at.desc(), SignInRow.id)
        )
        async with self._database.read() as connection:
            return [*(await connection.execute(query)).all()]

    # --- changing and ending ---------------------------------------------------------------------

    async def end(self, *conditions: ColumnElement[bool]) -> list[str]:
        """End sign-ins, and at once what rests on them; their ids."""
        async with self._database.write() as connection:
            gone = delete(SignInRow).where(*conditions).returning(SignInRow.id)
            ids = [*(await connection.execute(gone)).scalars()]
        self._forget(ids)
        return ids

    def renamed(self, person_id: str) -> None:
        """A person's name is another; what is open goes on, under the name it was opened with."""
        self._changes += 1
        self._known = {
            key: known for key, known in self._known.items() if known.actor.person_id != person_id
        }

    async def changed(self, person_id: str) -> None:
        """A person may do other things than before."""
        self.renamed(person_id)
        query = select(SignInRow.id).where(SignInRow.person_id == person_id)
        async with self._database.read() as connection:
            ids = [*(await connection.execute(query)).scalars()]
        for sign_in_id in ids:
            self.on_change(sign_in_id)

    def _forget(self, ids: Iterable[str]) -> None:
        ended = frozenset(ids)
        if not ended:
            return
        self._changes += 1
        self._known = {
            key: known for key, known in self._known.items() if known.actor.sign_in_id not in ended
        }
        for sign_in_id in ended:
            self._seen.pop(sign_in_id, None)
            self.on_end(sign_in_id)

    # --- in the background -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: end what has expired, note what was used."""
        noted = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(EXPIRY_EVERY)
            self.expire()
            if asyncio.get_running_loop().time() - noted >= SEEN_EVERY:
                noted = asyncio.get_running_loop().time()
                try:
                    await self.note()
                    await self.end(SignInRow.expires_at <= datetime.now(UTC))
                except (SQLAlchemyError, OSError):
                    # The database is away; the journal says so, and next time may be better.
                    continue

    def expire(self) -> None:
        """Forget what has expired, and end what rests on it."""
        now = datetime.now(UTC)
        expired = [k.actor.sign_in_id for k in self._known.values() if k.expires <= now]
        self._forget(expired)

    async def note(self) -> None:
        """Write down when and from where sign-ins were last used."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        sign_ins = [
            {"key": sign_in_id, "at": at, "from": origin.address, "agent": origin.user_agent}
            for sign_in_id, (at, origin, _) in seen.items()
        ]
        people = {person_id: at for at, _, person_id in sorted(seen.values(), key=lambda s: s[0])}
        note_sign_in = (
            update(SignInRow)
            .where(SignInRow.id == bindparam("key"))
            .values(
                last_seen_at=bindparam("at"),
                address=bindparam("from"),
                user_agent=bindparam("agent"),
            )
        )
        note_person = (
            update(Person).where(Person.id == bindparam("key")).values(last_seen_at=bindparam("at"))
        )
        async with self._database.write() as connection:
            await connection.execute(note_sign_in, sign_ins)
            await connection.execute(
                note_person, [{"key": person_id, "at": at} for person_id, at in people.items()]
            )


def active(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Conditions on a person who may sign in."""
    return (
        Person.disabled.is_(False),
        Person.removed_at.is_(None),
        or_(Person.expires_at.is_(None), Person.expires_at > now),
    )


def _values(row: Any) -> tuple[Any, ...]:
    return tuple(row)  # two of its columns share their name with two others


def _scopes(text: str) -> frozenset[Scope]:
    known = Scope.__members__.values()
    return frozenset(Scope(scope) for scope in text.split() if scope in known)


def sign_in_required() -> SignInRequiredError:
    """Nobody is signed in by that."""
    return SignInRequiredError(
        "You are not signed in, or your sign-in has ended.",
        remedy="Open the link that the server printed, or run `earthshine sign-in` there.",
    )


def require_whole(actor: Actor) -> None:
    """For what would let its user sign in anew, with every right. Raises NotAllowedError.

    Else a token with few scopes could make itself one with all.
    """
    if actor.scopes != ALL_SCOPES:
        raise NotAllowedError(
            "A token that was cut down cannot change how you sign in.",
            remedy="Use a browser, or a token with all scopes.",
        )
