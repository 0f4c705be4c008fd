"""Sharing a session with people, and by links."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import delete, func, insert, select, update

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.accounts.models import Person
from earthshine.control.accounts.sign_ins import SignedIn
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.authorization import GRANTED, SessionRole
from earthshine.control.db.engine import Database
from earthshine.control.errors import (
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    TooManyError,
)
from earthshine.control.sessions.models import SessionRow
from earthshine.control.sharing.membership import MembershipBook
from earthshine.control.sharing.models import SessionMemberRow, ShareLinkRow
from earthshine.control.sharing.schemas import LinkMade, SharedPerson, ShareLink, Shares
from earthshine.control.throttle import Check, Throttle

MAX_PEOPLE: Final = 100
"""People whom one session can be shared with, guests included."""
MAX_LINKS: Final = 20
"""Open links of one session."""
CODE_BYTES: Final = 24


class Guests(Protocol):
    """People without an account, made for a link."""

    async def add_guest(self, name: str, expires_at: datetime) -> str:
        """A new guest's person id."""
        ...

    async def sign_in_guest(self, person_id: str, life: timedelta) -> SignedIn:
        """Sign a guest's browser in."""
        ...

    async def end_sign_ins(self, person_id: str) -> None:
        """End everything that is signed in as this person."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """Where a link led; `signed_in` for a new guest."""

    session_id: str
    signed_in: SignedIn | None


class SharingService:
    """Who may use a session beside its owner. Every change takes effect at once."""

    def __init__(
        self,
        database: Database,
        access: Access,
        book: MembershipBook,
        guests: Guests,
        throttle: Throttle,
        trail: Trail,
    ) -> None:
        self.access = access
        self._database = database
        self._book = book
        self._guests = guests
        self._throttle = throttle
        self._trail = trail

    # --- looking ---------------------------------------------------------------------------------

    @permits(Permission.SESSION_OWN)
    async def list(self, actor: Actor, session_id: str) -> Shares:
        """Whom a session is shared with, and its open links."""
        now = datetime.now(UTC)
        members = (
            select(SessionMemberRow.__table__, Person.name, Person.role.label("standing"))
            .join(Person, Person.id == SessionMemberRow.person_id)
            .where(SessionMemberRow.session_id == session_id)
            .order_by(SessionMemberRow.added_at)
        )
        links = (
            select(ShareLinkRow.__table__, Person.name)
            .join(Person, Person.id == ShareLinkRow.created_by)
            .where(ShareLinkRow.session_id == session_id, ShareLinkRow.expires_at > now)
            .order_by(ShareLinkRow.created_at)
        )
        owner = (
            select(Person.name)
            .join(SessionRow, SessionRow.owner_id == Person.id)
            .where(SessionRow.id == session_id)
        )
        async with self._database.read() as connection:
            people = (await connection.execute(members)).all()
            open_links = (await connection.execute(links)).all()
            owner_name = (await connection.execute(owner)).scalar() or "?"
        return Shares(
            owner_name=owner_name,
            people=[
                SharedPerson(
                    person_id=row.person_id,
                    name=row.name,
                    role=row.role,
                    expires_at=row.expires_at,
                    guest=row.standing == Role.GUEST,
                )
                for row in people
                if row.expires_at is None or row.expires_at > now
            ],
            links=[
                ShareLink(
                    id=row.id,
                    role=row.role,
                    expires_at=row.expires_at,
                    uses=row.uses,
                    created_at=row.created_at,
                    created_by=row.name,
                )
                for row in open_links
            ],
        )

    # --- with people -----------------------------------------------------------------------------

    @permits(Permission.SESSION_OWN)
    async def share(
        self, actor: Actor, session_id: str, person_id: str, role: str, expires_in: int | None
    ) -> None:
        """Share with a person, or change how."""
        now = datetime.now(UTC)
        until = None if expires_in is None else now + timedelta(seconds=expires_in)
        name = await self._name_of(session_id, person_id)
        changed = await self._put(session_id, person_id, SessionRole(role), until, None)
        await self._trail.record(
            AuditKind.SHARE_CHANGED if changed else AuditKind.SESSION_SHARED,
            actor,
            subject=name,
            session_id=session_id,
            details={"role": role, "until": until.isoformat() if until else None},
        )
        await self._book.changed(session_id)

    async def _name_of(self, session_id: str, person_id: str) -> str:
        query = select(Person.name).where(Person.id == person_id)
        async with self._database.read() as connection:
            name = (await connection.execute(query)).scalar()
        if name is None:
            raise NotFoundError("There is no such person.")
        if await self._owner(session_id) == person_id:
            raise ConflictError("The session is theirs.")
        return str(name)

    async def _put(
        self,
        session_id: str,
        person_id: str,
        role: SessionRole,
        until: datetime | None,
        link_id: str | None,
    ) -> bool:
        """Write a membership; whether there was one before. Raises TooManyError."""
        mine = (
            SessionMemberRow.session_id == session_id,
            SessionMemberRow.person_id == person_id,
        )
        count = (
            select(func.count())
            .select_from(SessionMemberRow)
            .where(SessionMemberRow.session_id == session_id)
        )
        values = {"role": role.value, "expires_at": until, "link_id": link_id}
        async with self._database.write() as connection:
            known = await connection.execute(update(SessionMemberRow).where(*mine).values(values))
            if known.rowcount:
                return True
            if ((await connection.execute(count)).scalar() or 0) >= MAX_PEOPLE:
                raise TooManyError(f"The session is shared with {MAX_PEOPLE} people already.")
            await connection.execute(
                insert(SessionMemberRow).values(
                    session_id=session_id,
                    person_id=person_id,
                    added_at=datetime.now(UTC),
                    **values,
                )
            )
        return False

    @permits(Permission.SESSION_OWN)
    async def unshare(self, actor: Actor, session_id: str, person_id: str) -> None:
        """Take it back."""
        taken = (
            delete(SessionMemberRow)
            .where(
                SessionMemberRow.session_id == session_id,
                SessionMemberRow.person_id == person_id,
            )
            .returning(SessionMemberRow.role)
        )
        who = select(Person.name, Person.role).where(Person.id == person_id)
        async with self._database.write() as connection:
            if (await connection.execute(taken)).first() is None:
                raise NotFoundError("The session is not shared with this person.")
            person = (await connection.execute(who)).one()
        await self._trail.record(
            AuditKind.SHARE_ENDED, actor, subject=person.name, session_id=session_id
        )
        await self._book.changed(session_id)
        if person.role == Role.GUEST:
            await self._guests.end_sign_ins(person_id)

    # --- by links --------------------------------------------------------------------------------

    @permits(Permission.SESSION_OWN)
    async def make_link(
        self, actor: Actor, session_id: str, role: str, expires_in: int, url: str
    ) -> LinkMade:
        """A link for whoever has it."""
        code, link_id = secrets.token_urlsafe(CODE_BYTES), secrets.token_hex(8)
        now = datetime.now(UTC)
        mine = ShareLinkRow.session_id == session_id
        count = select(func.count()).select_from(ShareLinkRow).where(mine)
        async with self._database.write() as connection:
            await connection.execute(
                delete(ShareLinkRow).where(mine, ShareLinkRow.expires_at < now)
            )
            if ((await connection.execute(count)).scalar() or 0) >= MAX_LINKS:
                raise TooManyError(
                    f"The session has {MAX_LINKS} links already.", remedy="End one first."
                )
            await connection.execute(
                insert(ShareLinkRow).values(
                    id=link_id,
                    session_id=session_id,
                    code_hash=_hash(code),
                    role=role,
                    created_by=actor.person_id,
                    created_at=now,
                    expires_at=now + timedelta(seconds=expires_in),
                    uses=0,
                )
            )
        await self._trail.record(
            AuditKind.LINK_MADE,
            actor,
            subject=link_id,
            session_id=session_id,
            details={"role": role, "seconds": expires_in},
        )
        return LinkMade(id=link_id, url=f"{url}/#share={code}")

    @permits(Permission.SESSION_OWN)
    async def end_link(self, actor: Actor, session_id: str, link_id: str) -> None:
        """End a link, and what it gave."""
        guests = (
            select(SessionMemberRow.person_id)
            .join(Person, Person.id == SessionMemberRow.person_id)
            .where(SessionMemberRow.link_id == link_id, Person.role == Role.GUEST)
        )
        ended = delete(ShareLinkRow).where(
            ShareLinkRow.session_id == session_id, ShareLinkRow.id == link_id
        )
        async with self._database.write() as connection:
            gone = (await connection.execute(guests)).scalars().all()
            if not (await connection.execute(ended)).rowcount:
                raise NotFoundError("There is no such link.")
        await self._trail.record(
            AuditKind.LINK_ENDED, actor, subject=link_id, session_id=session_id
        )
        await self._book.changed(session_id)
        for person_id in gone:
            await self._guests.end_sign_ins(person_id)

    async def session_of_guest(self, person_id: str) -> str | None:
        """The session that was shared with a guest, the first of several."""
        query = (
            select(SessionMemberRow.session_id)
            .where(SessionMemberRow.person_id == person_id)
            .order_by(SessionMemberRow.added_at)
            .limit(1)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar()

    async def forget(self, person_id: str) -> None:
        """Somebody was removed: nothing is shared with them any more."""
        gone = (
            delete(SessionMemberRow)
            .where(SessionMemberRow.person_id == person_id)
            .returning(SessionMemberRow.session_id)
        )
        async with self._database.write() as connection:
            sessions = (await connection.execute(gone)).scalars().all()
        for session_id in sessions:
            await self._book.changed(session_id)

    async def follow(self, actor: Actor | None, code: str, name: str | None) -> Followed:
        """Use a link: for oneself, or as a new guest. Raises GoneError, TooManyError."""
        with self._throttle.attempt(Check.SHARE_LINK):
            link = await self._link(code)
        role, until = SessionRole(link.role), link.expires_at
        signed_in: SignedIn | None = None
        if actor is None:
            if not name or not name.strip():
                raise InvalidRequestError("Say as whom the others shall see you.")
            guest = await self._guests.add_guest(name.strip(), until)
            await self._put(link.session_id, guest, role, until, link.id)
            signed_in = await self._guests.sign_in_guest(guest, until - datetime.now(UTC))
            actor = signed_in.actor
        elif await self._gains(actor, link.session_id, role):
            await self._put(link.session_id, actor.person_id, role, until, link.id)
        async with self._database.write() as connection:
            await connection.execute(
                update(ShareLinkRow)
                .where(ShareLinkRow.id == link.id)
                .values(uses=ShareLinkRow.uses + 1)
            )
        await self._trail.record(
            AuditKind.LINK_FOLLOWED,
            actor,
            subject=link.id,
            session_id=link.session_id,
            details={"role": role.value, "guest": signed_in is not None},
        )
        await self._book.changed(link.session_id)
        return Followed(link.session_id, signed_in)

    async def _link(self, code: str) -> ShareLinkRow:
        query = select(ShareLinkRow.__table__).where(ShareLinkRow.code_hash == _hash(code))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None or row.expires_at < datetime.now(UTC):
            raise GoneError(
                "This link has expired or was taken back.",
                remedy="Ask whoever sent it for a new one.",
            )
        return row  # type: ignore[return-value]

    async def _gains(self, actor: Actor, session_id: str, role: SessionRole) -> bool:
        """Whether the link gives more than this person has: it never takes anything away."""
        if actor.is_admin or await self._owner(session_id) == actor.person_id:
            return False
        has = await self._book.role(session_id, actor.person_id)
        return has is None or GRANTED[role] > GRANTED[has]

    async def _owner(self, session_id: str) -> str | None:
        query = select(SessionRow.owner_id).where(SessionRow.id == session_id)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar()


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
