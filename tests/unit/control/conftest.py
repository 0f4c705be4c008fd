import asyncio
import shutil

import pytest

from earthshine.control.accounts.service import AccountService
from earthshine.control.db.engine import Database
from tests.unit.control.world import in_own_task, world


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A migrated SQLite file with people in it, to be copied; and their sign-ins."""
    path = tmp_path_factory.mktemp("database") / "empty.db"

    async def make():
        database = Database(f"sqlite+aiosqlite:///{path}")
        await database.migrate()
        accounts = AccountService(database, None)  # type: ignore[arg-type]
        owner = await accounts.ensure_owner("owner")
        ids = [owner.person_id, *[await accounts._person(name) for name in ("mia", "otto")]]
        people = [await accounts.issue_token(person_id) for person_id in ids]
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
