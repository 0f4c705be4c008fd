import asyncio
import shutil

import pytest

from earthshine.control.access import Role
from earthshine.control.accounts.domain import Accounts
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import NoTrail
from earthshine.control.db.engine import Database
from earthshine.control.throttle import Throttle
from tests.unit.control.world import in_own_task, world


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A migrated SQLite file with people in it, to be copied; and their sign-ins."""
    path = tmp_path_factory.mktemp("database") / "empty.db"

    async def make():
        database = Database(f"sqlite+aiosqlite:///{path}")
        await database.migrate()
        accounts = Accounts(database, None, Throttle(), NoTrail())  # type: ignore[arg-type]
        store = PeopleStore(database)
        owner = await accounts.people.ensure_owner("owner")
        members = [await store.add(name, Role.MEMBER) for name in ("mia", "otto")]
        ids = [owner.person_id, *members]
        people = [await accounts.service.issue_token(person_id) for person_id in ids]
        await database.close()
        return people

    return path, asyncio.run(make())


@pytest.fixture
def database_url(tmp_path, empty_database):
    path = tmp_path / "state" / "earthshine.db"
    path.parent.mkdir()
    shutil.copy(empty_database[0], path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def database(database_url, no_blocking):
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def here(database_url, empty_database, no_blocking):
    """A control plane that serves, with people."""
    async with in_own_task(world(database_url, empty_database[1])) as value:
        yield value


@pytest.fixture
async def runner(here):
    """A fake runner, greeted."""
    return await here.runner()
