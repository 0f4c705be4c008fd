"""Who may sign in at all, and as what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.accounts import names
from earthshine.control.accounts.codes import SignInCodes
from earthshine.control.accounts.models import (
    OidcIdentityRow,
    PasskeyRow,
    Person,
    SignInCodeRow,
    SignInRow,
)
from earthshine.control.accounts.schemas import (
    Account,
    NameList,
    Passkey,
    PersonAdded,
    PersonList,
    PersonName,
    PersonView,
    SignInCode,
)
from earthshine.control.accounts.sign_ins import SignedIn, SignIns, active, require_whole
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import ConflictError, NotFoundError

REMOVED_KEY: Final = "REMOVED "
"""Begins what stands in for the key of a name that is free again. No key has a capital letter."""
GUESTS_KEPT: Final = timedelta(days=30)
"""How long an expired guest's name is kept where nothing refers to it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What `Me` says beside the actor."""

    has_credentials: bool
    shared_session_id: str | None


async def _nothing_shared(_: str) -> str | None:
    return None


class PeopleService:
    """Adds, changes and removes people."""

    def __init__(
        self,
        database: Database,
        access: Access,
        trail: Trail,
        *,
        store: PeopleStore,
        sign_ins: SignIns,
        codes: SignInCodes,
        provider: str | None,
    ) -> None:
        self.access = access
        self._database = database
        self._trail = trail
        self._store = store
        self._sign_ins = sign_ins
        self._codes = codes
        self._provider = provider
        self.shared_session: Callable[[str], Awaitable[str | None]] = _nothing_shared
        """The session that was shared with a guest; set by whoever shares."""
        self.on_shut_out: list[Callable[[str], Awaitable[None]]] = []
        """Told the id of somebody removed or disabled: what works for them stops."""
        self.on_removed: list[Callable[[str], Awaitable[None]]] = []
        """Told the id of somebody removed, so that what others keep for them goes too."""

    # --- for the server itself -------------------------------------------------------------------

    async def ensure_owner(self, name: str) -> Actor:
        """An admin who can sign in; made at the first start."""
        query = (
            select(Person.id, Person.name)
            .where(Person.role == Role.ADMIN, *active(datetime.now(UTC)))
            .order_by(Person.created_at)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is not None:
            return Actor(row.id, row.name, Role.ADMIN, sign_in_id="")
        person_id = await self._store.add(name, Role.ADMIN, exact=False)
        owner = Actor(person_id, await self._store.name(person_id), Role.ADMIN, sign_in_id="")
        await self._trail.record(AuditKind.SET_UP, owner, subject=person_id)
        return owner

    async def add_guest(self, name: str, expires_at: datetime) -> str:
        """Somebody who came by a share link; their id. Raises InvalidRequestError."""
        person_id = await self._store.add(name, Role.GUEST, expires_at=expires_at, exact=False)
        await self._trail.record(
            AuditKind.PERSON_ADDED, subject=person_id, details={"role": Role.GUEST.value}
        )
        return person_id

    async def sign_in_guest(self, person_id: str, life: timedelta) -> SignedIn:
        """A browser's sign-in for a guest. Raises NotAllowedError once the guest has expired."""
        return await self._sign_ins.issue(person_id, "browser", life, method="share-link")

    async def end_sign_ins(self, person_id: str) -> None:
        """End everything that is signed in as this person, and its sockets."""
        await self._sign_ins.end(SignInRow.person_id == person_id)

    async def purge_guests(self) -> None:
        """Forget guests who expired long ago, unless something refers to them."""
        query = select(Person.id).where(
            Person.role == Role.GUEST, Person.expires_at < datetime.now(UTC) - GUESTS_KEPT
        )
        async with self._database.read() as connection:
            ids = [*(await connection.execute(query)).scalars()]
        for person_id in ids:
            try:
                async with self._database.write() as connection:
                    await connection.execute(delete(Person).where(Person.id == person_id))
            except IntegrityError:
                continue

    # --- oneself ---------------------------------------------------------------------------------

    @permits(Permission.EVERYONE)
    async def standing(self, actor: Actor) -> Standing:
        """Whether the actor can come back without a link, and what a guest was shown."""
        query = select(
            or_(
                exists().where(Person.id == actor.person_id, Person.password_hash.is_not(None)),
                exists().where(PasskeyRow.person_id == actor.person_id),
                exists().where(OidcIdentityRow.person_id == actor.person_id),
            )
        )
        async with self._database.read() as connection:
            has_credentials = bool((await connection.execute(query)).scalar())
        shared = None
        if actor.role is Role.GUEST:
            shared = await self.shared_session(actor.person_id)
        return Standing(has_credentials, shared)

    @permits(Permission.ACCOUNT)
    async def account(self, actor: Actor) -> Account:
        """How the actor can sign in."""
        person = await self._store.get(actor.person_id)
        keys = (
            select(PasskeyRow.__table__)
            .where(PasskeyRow.person_id == actor.person_id)
            .order_by(PasskeyRow.created_at)
        )
        linked = select(OidcIdentityRow.issuer).where(OidcIdentityRow.person_id == actor.person_id)
        async with self._database.read() as connection:
            passkeys = (await connection.execute(keys)).all()
            issuer = (await connection.execute(linked)).scalar()
        return Account(
            name=person.name,
            role=Role(person.role),
            has_password=person.password_hash is not None,
            second_factor=person.second_factor,
            passkeys=[Passkey.model_validate(row) for row in passkeys],
            oidc=None if issuer is None else self._provider or issuer,
        )

    @permits(Permission.ACCOUNT)
    async def rename(self, actor: Actor, name: str) -> Actor:
        """Change the actor's name. Raises InvalidRequestError, ConflictError."""
        name = names.clean(name)
        try:
            async with self._database.write() as connection:
                await connection.execute(
                    update(Person)
                    .where(Person.id == actor.person_id)
                    .values(name=name, name_key=names.key(name))
                )
        except IntegrityError:
            raise ConflictError(
                "Somebody has that name already.", remedy="Choose another."
            ) from None
        self._store.renamed(actor.person_id)
        self._sign_ins.renamed(actor.person_id)
        await self._trail.record(
            AuditKind.RENAMED,
            actor,
            subject=actor.person_id,
            details={"was": actor.name, "now": name},
        )
        return Actor(actor.person_id, name, actor.role, actor.sign_in_id, actor.scopes)

    @permits(Permission.ACCOUNT)
    async def link(self, actor: Actor, person: str, url: str) -> SignInCode:
        """A link that signs somebody in once: oneself, or, for an admin, anybody, also new."""
        if not person or names.key(person) == names.key(actor.name):
            require_whole(actor)
            return await self._link(actor, actor.person_id, url)
        await self.access.require(actor, Permission.ADMIN, None)
        found = await self._store.by_name(names.clean(person))
        if found is not None:
            return await self.sign_in_code(actor, found.id, url)
        return (await self.add(actor, person, Role.MEMBER, url)).link

    async def _link(self, actor: Actor, person_id: str, url: str) -> SignInCode:
        link = await self._codes.link(person_id, url)
        await self._trail.record(AuditKind.SIGN_IN_LINK_MADE, actor, subject=person_id)
        return link

    # --- others ----------------------------------------------------------------------------------

    @permits(Permission.MEMBER)
    async def names(self, actor: Actor) -> NameList:
        """Everybody with whom one can share."""
        query = (
            select(Person.id, Person.name)
            .where(Person.role != Role.GUEST, *active(datetime.now(UTC)))
            .order_by(Person.name_key)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return NameList(people=[PersonName(id=row.id, name=row.name) for row in rows])

    @permits(Permission.ADMIN)
    async def list(self, actor: Actor) -> PersonList:
        """Everybody, by name; not guests who have expired."""
        await self._sign_ins.note()
        async with self._database.read() as connection:
            rows = await self._views(connection)
        return PersonList(people=[*rows])

    async def _views(self, connection: AsyncConnection, *only: Any) -> Sequence[PersonView]:
        passkeys = (
            select(func.count())
            .select_from(PasskeyRow)
            .where(PasskeyRow.person_id == Person.id)
            .scalar_subquery()
        )
        oidc = exists().where(OidcIdentityRow.person_id == Person.id)
        query = (
            select(Person.__table__, passkeys.label("passkeys"), oidc.label("oidc"))
            .where(
                Person.removed_at.is_(None),
                or_(Person.expires_at.is_(None), Person.expires_at > datetime.now(UTC)),
                *only,
            )
            .order_by(Person.name_key)
        )
        return [_view(row) for row in (await connection.execute(query)).all()]

    async def _one(self, person_id: str) -> PersonView:
        async with self._database.read() as connection:
            found = await self._views(connection, Person.id == person_id)
        if not found:
            raise NotFoundError("There is no such person.")
        return found[0]

    @permits(Permission.ADMIN)
    async def add(self, actor: Actor, name: str, role: Role, url: str) -> PersonAdded:
        """Add somebody, and make the link that lets them in. Raises ConflictError."""
        person_id = await self._store.add(name, role)
        await self._trail.record(
            AuditKind.PERSON_ADDED, actor, subject=person_id, details={"role": role.value}
        )
        link = await self._link(actor, person_id, url)
        return PersonAdded(person=await self._one(person_id), link=link)

    @permits(Permission.ADMIN)
    async def change(
        self, actor: Actor, person_id: str, role: Role | None, disabled: bool | None
    ) -> PersonView:
        """Change role and standing; sockets that rest on the old ones are closed at once.

        Raises NotFoundError, and ConflictError where nobody would be left to undo it.
        """
        events: list[tuple[AuditKind, str]] = []
        async with self._database.write() as connection:
            person = await self._store.in_transaction(connection, person_id)
            values: dict[str, Any] = {}
            if role is not None and role != person.role:
                if person.role == Role.GUEST:
                    raise ConflictError("A guest stays a guest.", remedy="Add them as a person.")
                values["role"] = role
                events.append((AuditKind.ROLE_CHANGED, role.value))
            if disabled is not None and disabled != person.disabled:
                values["disabled"] = disabled
                kind = AuditKind.PERSON_DISABLED if disabled else AuditKind.PERSON_ENABLED
                events.append((kind, values.get("role", person.role)))
            if values:
                if disabled or values.get("role") is Role.MEMBER:
                    await self._keep_an_admin(connection, person_id)
                await connection.execute(
                    update(Person).where(Person.id == person_id).values(**values)
                )
        if values.get("disabled"):
            await self._shut_out(person_id)
        elif values:
            await self._sign_ins.changed(person_id)
        for event, now_role in events:
            await self._trail.record(event, actor, subject=person_id, details={"role": now_role})
        return await self._one(person_id)

    @permits(Permission.ADMIN)
    async def remove(self, actor: Actor, person_id: str) -> None:
        """Shut somebody out for good. What they made stays, and their name with it.

        Raises NotFoundError, and ConflictError for the last admin.
        """
        async with self._database.write() as connection:
            person = await self._store.in_transaction(connection, person_id)
            await self._keep_an_admin(connection, person_id)
            for row in (PasskeyRow, OidcIdentityRow):
                await connection.execute(delete(row).where(row.person_id == person_id))
            await connection.execute(
                update(Person)
                .where(Person.id == person_id)
                .values(
                    removed_at=datetime.now(UTC),
                    name_key=REMOVED_KEY + person_id,
                    password_hash=None,
                )
            )
        await self._shut_out(person_id)
        for told in self.on_removed:
            await told(person_id)
        details = {"role": person.role, "name": person.name}
        await self._trail.record(
            AuditKind.PERSON_REMOVED, actor, subject=person_id, details=details
        )

    async def _keep_an_admin(self, connection: AsyncConnection, person_id: str) -> None:
        if await self._store.active_admins(connection) == [person_id]:
            raise ConflictError(
                "This is the last admin.", remedy="Make somebody else an admin first."
            )

    async def _shut_out(self, person_id: str) -> None:
        await self.end_sign_ins(person_id)  # first: what is open ends at once
        for told in self.on_shut_out:
            await told(person_id)
        async with self._database.write() as connection:
            await connection.execute(
                delete(SignInCodeRow).where(SignInCodeRow.person_id == person_id)
            )

    @permits(Permission.ADMIN)
    async def sign_in_code(self, actor: Actor, person_id: str, url: str) -> SignInCode:
        """A link that signs somebody in once. Raises NotFoundError, ConflictError."""
        require_whole(actor)
        person = await self._store.get(person_id)
        if person.disabled or person.role == Role.GUEST:
            raise ConflictError(
                "This person cannot sign in by a link.",
                remedy="Enable them first; guests need the session shared again.",
            )
        return await self._link(actor, person_id, url)

    @permits(Permission.ADMIN)
    async def end_all(self, actor: Actor, person_id: str) -> None:
        """End everything that is signed in as somebody. Raises NotFoundError."""
        await self._store.get(person_id)
        await self.end_sign_ins(person_id)
        await self._trail.record(AuditKind.SIGN_IN_ENDED, actor, subject=person_id)


def _view(row: Row[Any]) -> PersonView:
    return PersonView(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        disabled=row.disabled,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        has_password=row.password_hash is not None,
        passkeys=row.passkeys,
        oidc=bool(row.oidc),
    )
