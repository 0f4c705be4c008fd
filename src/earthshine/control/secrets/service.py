"""Storing secrets, and handing them to agents.

Values go in through `store_*` and out through `for_session` only. They are encrypted at rest, never
part of an answer, a log line or an audit record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import delete, func, insert, or_, select, update

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import ConflictError, NotFoundError, TooManyError
from earthshine.control.secrets.cipher import Cipher, Place, UnsealError
from earthshine.control.secrets.models import SecretRow
from earthshine.control.secrets.rules import check_name, check_value
from earthshine.control.secrets.schemas import SecretList, SecretView

PERSON: Final = "person"
RUNNER: Final = "runner"
MAX_SECRETS: Final = 64
"""Of one person or runner."""
MAX_HANDED: Final = 128 * 1024
"""Bytes of names and values that one session gets."""
MIN_MASKED: Final = 8
"""Characters of a value from which on it is looked for in text: shorter ones are in any text."""


class SecretService:
    """Secrets of people and of runners. Without a cipher nothing can be stored or used."""

    def __init__(
        self, database: Database, access: Access, trail: Trail, cipher: Cipher | None
    ) -> None:
        self.access = access
        self._database = database
        self._trail = trail
        self._cipher = cipher

    # --- a person's own --------------------------------------------------------------------------

    @permits(Permission.ACCOUNT)
    async def list_own(self, actor: Actor) -> SecretList:
        """The actor's."""
        return await self._list(PERSON, actor.person_id)

    @permits(Permission.ACCOUNT)
    async def store_own(self, actor: Actor, name: str, value: SecretStr) -> SecretView:
        """Store one of the actor's, or give it another value."""
        return await self._store(actor, Place(PERSON, actor.person_id, name), value)

    @permits(Permission.ACCOUNT)
    async def remove_own(self, actor: Actor, name: str) -> None:
        """Remove one of the actor's."""
        await self._remove(actor, Place(PERSON, actor.person_id, name))

    # --- a runner's ------------------------------------------------------------------------------

    @permits(Permission.RUNNER_OWN)
    async def list_of_runner(self, actor: Actor, runner_id: str) -> SecretList:
        """A runner's."""
        return await self._list(RUNNER, runner_id)

    @permits(Permission.RUNNER_OWN)
    async def store_for_runner(
        self, actor: Actor, runner_id: str, name: str, value: SecretStr
    ) -> SecretView:
        """Store one for a runner, or give it another value."""
        return await self._store(actor, Place(RUNNER, runner_id, name), value)

    @permits(Permission.RUNNER_OWN)
    async def remove_of_runner(self, actor: Actor, runner_id: str, name: str) -> None:
        """Remove one of a runner's."""
        await self._remove(actor, Place(RUNNER, runner_id, name))

    # --- rules -----------------------------------------------------------------------------------

    async def _list(self, kind: str, owner_id: str) -> SecretList:
        rows = await self._rows([(kind, owner_id)])
        return SecretList(
            secrets=[_view(row) for row in sorted(rows, key=lambda row: str(row.name))],
            available=self._cipher is not None,
            detail=None if self._cipher else "This server has no key for secrets.",
        )

    async def _store(self, actor: Actor, place: Place, value: SecretStr) -> SecretView:
        check_name(place.name)
        text = value.get_secret_value()
        check_value(text)
        sealed = self._needed().seal(place, text)
        await self._record(AuditKind.SECRET_STORED, actor, place)
        row = {
            "owner_kind": place.owner_kind,
            "owner_id": place.owner_id,
            "name": place.name,
            "key_id": self._needed().key_id,
            "sealed": sealed,
            "created_at": datetime.now(UTC),
            "last_used_at": None,
        }
        async with self._database.write() as connection:
            await connection.execute(delete(SecretRow).where(*_at(place)))
            of_owner = (
                SecretRow.owner_kind == place.owner_kind,
                SecretRow.owner_id == place.owner_id,
            )
            count = select(func.count()).select_from(SecretRow).where(*of_owner)
            if ((await connection.execute(count)).scalar() or 0) >= MAX_SECRETS:
                raise TooManyError(
                    f"There are {MAX_SECRETS} secrets already.", remedy="Remove one first."
                )
            await connection.execute(insert(SecretRow).values(row))
        return SecretView(
            name=place.name,
            created_at=row["created_at"],
            last_used_at=None,
            runner_id=place.owner_id if place.owner_kind == RUNNER else None,
        )

    async def _remove(self, actor: Actor, place: Place) -> None:
        query = select(SecretRow.name).where(*_at(place))
        async with self._database.read() as connection:
            if (await connection.execute(query)).first() is None:
                raise NotFoundError("There is no such secret.")
        await self._record(AuditKind.SECRET_REMOVED, actor, place)
        async with self._database.write() as connection:
            await connection.execute(delete(SecretRow).where(*_at(place)))

    async def _record(self, kind: AuditKind, actor: Actor | None, place: Place) -> None:
        await self._trail.record(
            kind,
            actor,
            subject=place.name,
            runner_id=place.owner_id if place.owner_kind == RUNNER else None,
            details={"owner": place.owner_kind},
        )

    def _needed(self) -> Cipher:
        if self._cipher is None:
            raise ConflictError(
                "This server has no key for secrets.",
                remedy="An admin sets EARTHSHINE_SECRETS_KEY_FILE.",
            )
        return self._cipher

    async def _rows(self, owners: Iterable[tuple[str, str]]) -> list[Any]:
        wanted = [
            (SecretRow.owner_kind == kind) & (SecretRow.owner_id == owner_id)
            for kind, owner_id in owners
        ]
        async with self._database.read() as connection:
            query = select(SecretRow.__table__).where(or_(*wanted))
            return list((await connection.execute(query)).all())

    # --- for the server itself -------------------------------------------------------------------

    async def for_session(self, actor: Actor, session_id: str, runner_id: str) -> dict[str, str]:
        """What an agent of `actor` gets on a runner: the runner's secrets, over them the actor's.

        The use is recorded, with names only. Raises ConflictError.
        """
        rows = await self._rows([(PERSON, actor.person_id), (RUNNER, runner_id)])
        if not rows:
            return {}
        environment: dict[str, str] = {}
        used: dict[str, Any] = {}
        for row in sorted(rows, key=lambda row: row.owner_kind == PERSON):
            environment[row.name] = self._unseal(row)
            used[row.name] = row
        size = sum(len(name) + len(value.encode()) for name, value in environment.items())
        if size > MAX_HANDED:
            raise ConflictError(
                f"Your secrets and the runner's together have {size} bytes; a session takes "
                f"{MAX_HANDED}.",
                remedy="Remove some.",
            )
        await self._trail.record(
            AuditKind.SECRET_USED,
            actor,
            subject=", ".join(sorted(environment)),
            session_id=session_id,
            runner_id=runner_id,
            details={"names": sorted(environment)},
        )
        await self._note_use(used)
        return environment

    async def _note_use(self, used: Mapping[str, Any]) -> None:
        now = datetime.now(UTC)
        async with self._database.write() as connection:
            for row in used.values():
                place = Place(row.owner_kind, row.owner_id, row.name)
                await connection.execute(
                    update(SecretRow).where(*_at(place)).values(last_used_at=now)
                )

    def _unseal(self, row: Any) -> str:
        try:
            return self._needed().unseal(Place(row.owner_kind, row.owner_id, row.name), row.sealed)
        except UnsealError:
            whose = "runner's" if row.owner_kind == RUNNER else "person's"
            raise ConflictError(
                f"The {whose} secret {row.name} was stored with another key than this server has.",
                remedy="Store it again or remove it; or an admin brings back the old key.",
            ) from None

    async def masking(self, person_ids: Iterable[str], runner_id: str) -> Callable[[str], str]:
        """A function that takes the values of these owners' secrets out of a text.

        For what people write themselves and the audit log keeps: prompts and commands.
        """
        owners = [(PERSON, person_id) for person_id in set(person_ids)]
        values = []
        for row in await self._rows([*owners, (RUNNER, runner_id)]):
            try:
                value = self._unseal(row)
            except ConflictError:
                continue
            if len(value) >= MIN_MASKED:
                values.append((value, f"[redacted {row.name}]"))
        values.sort(key=lambda pair: len(pair[0]), reverse=True)

        def mask(text: str) -> str:
            for value, name in values:
                text = text.replace(value, name)
            return text

        return mask

    async def remove_all_of(self, kind: str, owner_id: str, actor: Actor | None = None) -> None:
        """A person or runner is gone for good, its secrets with it."""
        for row in await self._rows([(kind, owner_id)]):
            await self._record(AuditKind.SECRET_REMOVED, actor, Place(kind, owner_id, row.name))
        async with self._database.write() as connection:
            await connection.execute(
                delete(SecretRow).where(
                    SecretRow.owner_kind == kind, SecretRow.owner_id == owner_id
                )
            )


def _at(place: Place) -> tuple[Any, ...]:
    return (
        SecretRow.owner_kind == place.owner_kind,
        SecretRow.owner_id == place.owner_id,
        SecretRow.name == place.name,
    )


def _view(row: Any) -> SecretView:
    return SecretView(
        name=row.name,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        runner_id=row.owner_id if row.owner_kind == RUNNER else None,
    )
