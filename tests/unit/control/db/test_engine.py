import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, StatementError

from earthshine.control.accounts.models import Person
from earthshine.control.db.base import Base
from earthshine.control.db.engine import Database
from earthshine.control.db.models import ALL_MODELS


@pytest.fixture
async def fresh(tmp_path, no_blocking):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/new/earthshine.db")
    yield database
    await database.close()


async def test_migrating_twice_is_harmless(fresh, tmp_path):
    await fresh.migrate()
    await fresh.migrate()
    path = tmp_path / "new" / "earthshine.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_migrations_make_what_the_models_say(fresh):
    await fresh.migrate()
    assert ALL_MODELS

    def difference(connection):
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, Base.metadata)

    async with fresh.read() as connection:
        assert await connection.run_sync(difference) == []


async def test_migrations_can_be_undone(fresh, no_blocking):
    from alembic import command
    from alembic.config import Config

    await fresh.migrate()
    no_blocking.deactivate()  # nobody undoes them while serving

    def downgrade(connection):
        config = Config()
        config.set_main_option("script_location", "earthshine.control.db:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with fresh._engine.connect() as connection:
        await connection.run_sync(downgrade)
        await connection.commit()
    async with fresh.read() as connection:
        query = text("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = (await connection.execute(query)).scalars().all()
    assert set(names) <= {"alembic_version", "sqlite_sequence"}
    await fresh.migrate()


async def test_runners_and_sessions_of_before_pairing_are_kept(fresh, no_blocking):
    from alembic import command
    from alembic.config import Config

    def upgrade(revision):
        def run(connection):
            config = Config()
            config.set_main_option("script_location", "earthshine.control.db:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

        return run

    no_blocking.deactivate()  # nobody upgrades in steps while serving
    async with fresh._engine.connect() as connection:
        await connection.run_sync(upgrade("0003"))
        await connection.commit()
    at = "2026-01-01 00:00:00"
    people = "id, name, name_key, role, disabled, second_factor, created_at"
    runners = "id, name, hostname, platform, version, home, agents, first_seen, last_seen"
    sessions = (
        "id, owner_id, runner_id, title, agent, command, prompt, folder, state, cols, rows, "
        "last_seq, log_bytes, created_at"
    )
    session = "'s', 'p', 'r', 't', 'shell', '[]', '', '/', 'running', 80, 24, 0, 0"
    rows = (
        f"people ({people}) VALUES ('p', 'mia', 'mia', 'member', 0, 0, '{at}')",
        f"runners ({runners}) VALUES ('r', 'box', 'h', 'p', 'v', '/', '[]', '{at}', '{at}')",
        f"sessions ({sessions}) VALUES ({session}, '{at}')",
    )
    async with fresh.write() as connection:
        for row in rows:
            await connection.execute(text(f"INSERT INTO {row}"))
    async with fresh._engine.connect() as connection:
        await connection.run_sync(upgrade("0004"))
        await connection.commit()
    async with fresh.read() as connection:
        query = text("SELECT r.shared, r.is_device, s.id FROM runners r JOIN sessions s")
        assert (await connection.execute(query)).all() == [(1, 0, "s")]


def person(name, **values):
    row = {"id": name, "name": name, "role": "member", "created_at": datetime.now(UTC)}
    return insert(Person).values(row | values)


async def test_writers_wait_for_each_other_and_readers_do_not(database):
    async def add(number):
        async with database.write() as connection:
            count = (await connection.execute(text("SELECT count(*) FROM people"))).scalar()
            await asyncio.sleep(0)
            await connection.execute(person(f"p{number}"))
            return count

    counts = await asyncio.gather(*[add(number) for number in range(20)])
    assert sorted(counts) == list(range(min(counts), min(counts) + 20)), "one after the other"
    async with database.write() as writing:
        await writing.execute(person("late"))
        async with database.read() as reading:
            names = (await reading.execute(text("SELECT name FROM people"))).scalars().all()
        assert "late" not in names


async def test_a_writer_that_fails_leaves_nothing(database):
    with pytest.raises(ZeroDivisionError):
        async with database.write() as connection:
            await connection.execute(person("half"))
            raise ZeroDivisionError
    async with database.write() as connection:
        await connection.execute(person("half"))


async def test_another_processs_write_is_waited_for(database, database_url):
    other = Database(database_url)
    async with other.write() as theirs:
        await theirs.execute(person("theirs"))

        async def write():
            async with database.write() as ours:
                await ours.execute(person("ours"))

        writing = asyncio.create_task(write())
        done, _ = await asyncio.wait([writing], timeout=0.2)
        assert not done
    await writing
    await other.close()


async def test_references_are_kept(database):
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            query = text("INSERT INTO sign_in_codes VALUES ('a', 'nobody', 0)")
            await connection.execute(query)


async def test_times_have_zones(database):
    with pytest.raises(StatementError, match="zone"):
        async with database.write() as connection:
            await connection.execute(person("naive", created_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    there = timezone(timedelta(hours=5))
    moment = datetime(2026, 1, 1, 12, tzinfo=there)
    async with database.write() as connection:
        await connection.execute(person("zoned", created_at=moment))
        query = Person.__table__.select().where(Person.name == "zoned")
        row = (await connection.execute(query)).one()
    assert row.created_at == moment
    assert row.created_at.tzinfo is UTC


async def test_it_is_a_file(database_url):
    assert Path(database_url.removeprefix("sqlite+aiosqlite:///")).is_file()


async def test_what_has_to_survive_a_power_cut_is_synchronised(database):
    async def mode(**options):
        async with database.write(**options) as connection:
            return (await connection.execute(text("PRAGMA synchronous"))).scalar()

    normal, full = 1, 2
    found = [await mode(durable=durable) for durable in (False, True, True, False, True)]
    assert found == [normal, full, full, normal, full]
    assert await asyncio.gather(*[mode(durable=n % 2 == 0) for n in range(8)]) == [full, normal] * 4
