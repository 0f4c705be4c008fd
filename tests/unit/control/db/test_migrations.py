"""Migrations carry along what is there already."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from earthshine.control.db.engine import Database

THEN = "'2026-01-01 00:00:00.000000'"
SESSION = (
    "INSERT INTO sessions (id, owner_id, runner_id, title, agent, command, prompt, folder, state, "
    "cols, rows, last_seq, log_bytes, created_at) "
    f"VALUES ('x', 'a', 'r', '', '', '[]', '', '', 'exited', 1, 1, 0, 0, {THEN})"
)
FIRST = [
    f"INSERT INTO people VALUES ('a', 'Anna', 1, {THEN}), ('b', 'anna', 0, {THEN})",
    f"INSERT INTO people VALUES ('c', 'ben', 0, {THEN})",
    f"INSERT INTO sign_ins VALUES ('s', 'hash', 'a', 'token', {THEN}, {THEN})",
    f"INSERT INTO runners VALUES ('r', '', '', '', '', '', '[]', {THEN}, {THEN})",
    SESSION,
]


@pytest.fixture
async def first(tmp_path):
    """A database as the first version left it, with a person's session in it."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/earthshine.db")

    def upgrade(connection):
        config = Config()
        config.set_main_option("script_location", "earthshine.control.db:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    async with database._engine.connect() as connection:
        await connection.run_sync(upgrade)
        await connection.commit()
    async with database.write() as connection:
        for statement in FIRST:
            await connection.execute(text(statement))
    yield database
    await database.close()


async def rows(database, query):
    async with database.read() as connection:
        return [tuple(row) for row in (await connection.execute(text(query))).all()]


async def test_people_their_sign_ins_and_sessions_are_still_there(first):
    await first.migrate()
    people = await rows(first, "SELECT id, name, name_key, role, disabled FROM people ORDER BY id")
    assert people == [
        ("a", "Anna", "anna", "admin", 0),
        ("b", "anna 2", "anna 2", "member", 0),
        ("c", "ben", "ben", "member", 0),
    ]
    scopes = "account admin control read runners"
    query = "SELECT id, scopes, last_seen_at = created_at FROM sign_ins"
    assert await rows(first, query) == [("s", scopes, 1)]
    assert await rows(first, "SELECT id, owner_id FROM sessions") == [("x", "a")]
    assert await rows(first, "PRAGMA foreign_key_check") == []


async def test_references_are_watched_again_afterwards(first):
    await first.migrate()
    assert await rows(first, "PRAGMA foreign_keys") == [(1,)]
