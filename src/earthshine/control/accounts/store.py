"""Rows of people: found, named, added. Asks nobody's permission: services do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from earthshine.control.access import Role
from earthshine.control.accounts import names
from earthshine.control.accounts.digests import new_id
from earthshine.control.accounts.models import Person
from earthshine.control.accounts.sign_ins import active
from earthshine.control.db.engine import Database
from earthshine.control.errors import ConflictError, NotFoundError, TooManyError

MAX_PEOPLE: Final = 10_000
MAX_NAMES_TRIED: Final = 100
MAX_NAMES_CACHED: Final = 10_000


class PeopleStore:
    """Finds and adds people."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[str, str] = {}

    async def name(self, person_id: str) -> str:
        """A person's name; that of somebody removed as well."""
        if person_id not in self._names:
            async with self._database.read() as connection:
                query = select(Person.name).where(Person.id == person_id)
                found = (await connection.execute(query)).scalar()
            if found is None:
                return "?"
            if len(self._names) >= MAX_NAMES_CACHED:
                self._names.pop(next(iter(self._names)))
            self._names[person_id] = found
        return self._names[person_id]

    def renamed(self, person_id: str) -> None:
        """The name is another now."""
        self._names.pop(person_id, None)

    async def get(self, person_id: str) -> Row[Any]:
        """Somebody who has not been removed. Raises NotFoundError."""
        async with self._database.read() as connection:
            return await self.in_transaction(connection, person_id)

    async def in_transaction(self, connection: AsyncConnection, person_id: str) -> Row[Any]:
        """The same, locked against other writers. Raises NotFoundError."""
        query = select(Person.__table__).where(Person.id == person_id, Person.removed_at.is_(None))
        row = (await connection.execute(query.with_for_update())).first()
        if row is None:
            raise NotFoundError("There is no such person.")
        return row

    async def by_name(self, name: str) -> Row[Any] | None:
        """Whoever is called so, in whatever case."""
        query = select(Person.__table__).where(Person.name_key == names.key(name))
        async with self._database.read() as connection:
            return (await connection.execute(query)).first()

    async def active_admins(self, connection: AsyncConnection) -> list[str]:
        """Admins who can sign in, locked so that two cannot end each other at once."""
        query = (
            select(Person.id)
            .where(Person.role == Role.ADMIN, *active(datetime.now(UTC)))
            .with_for_update()
        )
        return [*(await connection.execute(query)).scalars()]

    async def add(
        self, name: str, role: Role, *, expires_at: datetime | None = None, exact: bool = True
    ) -> str:
        """Add somebody; their id. A name that is taken gets a number unless it must be `exact`.

        Raises InvalidRequestError for what is no name, ConflictError, TooManyError.
        """
        name = names.clean(name)
        for number in range(1, MAX_NAMES_TRIED):
            suffix = f" {number}" if number > 1 else ""
            chosen = name[: names.MAX_NAME - len(suffix)].rstrip() + suffix
            try:
                async with self._database.write() as connection:
                    return await self._insert(connection, chosen, role, expires_at)
            except IntegrityError:
                if exact:
                    break
        raise ConflictError("Somebody has that name already.", remedy="Choose another.")

    async def _insert(
        self, connection: AsyncConnection, name: str, role: Role, expires_at: datetime | None
    ) -> str:
        count = select(func.count()).select_from(Person).where(Person.removed_at.is_(None))
        if ((await connection.execute(count)).scalar() or 0) >= MAX_PEOPLE:
            raise TooManyError(f"There are {MAX_PEOPLE} people already.")
        person_id = new_id()
        row = {
            "id": person_id,
            "name": name,
            "name_key": names.key(name),
            "role": role,
            "created_at": datetime.now(UTC),
            "expires_at": expires_at,
        }
        await connection.execute(insert(Person).values(row))
        return person_id
