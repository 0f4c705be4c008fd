"""Writing the audit log, on a real SQLite file."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from earthshine.control.access import Actor, Role
from earthshine.control.audit import trail as trails
from earthshine.control.audit.chain import Head, Verifier
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.audit.rows import AuditReader
from earthshine.control.audit.trail import DatabaseTrail
from earthshine.control.db.engine import Database
from earthshine.control.errors import AuditUnavailableError, InvalidRequestError
from earthshine.control.origin import Origin, acting_from

ANNA = Actor("p1", "Anna", Role.MEMBER, sign_in_id="s1")


@pytest.fixture
async def trail(database):
    """One whose writer runs."""
    trail = DatabaseTrail(database)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(trail.run())
        while not trail._is_running:
            await asyncio.sleep(0)
        yield trail
        trail.stop()
        await running


async def everything(database):
    """All records, and what is wrong with them."""
    verifier = Verifier()
    found = []
    head = None
    async for part in AuditReader(database).everything(DatabaseTrail(database).head):
        if isinstance(part, Head):
            head = part
            continue
        for record in part:
            verifier.add(record)
            found.append(record)
    assert head is not None
    return found, verifier.finish(head)


async def test_a_record_is_there_on_return_and_says_who_what_and_from_where(trail, database):
    with acting_from(Origin("192.0.2.7")):
        await trail.record(
            AuditKind.PROMPTED,
            ANNA,
            subject="fix it",
            session_id="a1",
            runner_id="r1",
            details={"text": "do\x00 this\n\N{SNOWMAN}", "n": 1, "all": ["a", "b"], "no": None},
        )
    (record,), report = await everything(database)
    assert report.ok
    fields = dict(record.fields)
    assert fields.pop("at").endswith("Z")
    assert fields == {
        "seq": 1,
        "kind": "prompted",
        "personId": "p1",
        "personName": "Anna",
        "address": "192.0.2.7",
        "subject": "fix it",
        "sessionId": "a1",
        "runnerId": "r1",
        "details": {"text": "do\x00 this\n\N{SNOWMAN}", "n": 1, "all": ["a", "b"], "no": None},
    }


async def test_nobody_in_particular(trail, database):
    await trail.record(AuditKind.SIGN_IN_REFUSED)
    ((record,), _) = await everything(database)
    assert (record.fields["personId"], record.fields["personName"]) == (None, "")
    assert record.fields["address"] == "local"


async def test_many_at_once_are_one_chain_in_few_transactions(trail, database, monkeypatch):
    batches = []
    write = trail._write

    async def counted(batch):
        batches.append(len(batch))
        await write(batch)

    monkeypatch.setattr(trail, "_write", counted)
    await asyncio.gather(
        *[trail.record(AuditKind.PROMPTED, ANNA, subject=str(n)) for n in range(300)]
    )
    found, report = await everything(database)
    assert report.ok
    assert [record.fields["subject"] for record in found] == [str(n) for n in range(300)]
    assert len(batches) < 10


async def test_several_servers_on_one_database_do_not_fork_the_chain(trail, database, database_url):
    other_database = Database(database_url)
    other = DatabaseTrail(other_database)
    await asyncio.gather(
        *[t.record(AuditKind.PROMPTED, ANNA) for t in (trail, other) for _ in range(25)]
    )
    await other_database.close()
    found, report = await everything(database)
    assert (len(found), report.ok) == (50, True)


async def test_before_it_runs_and_after_records_write_themselves(database):
    trail = DatabaseTrail(database)
    await trail.record(AuditKind.SET_UP)
    running = asyncio.create_task(trail.run())
    await trail.record(AuditKind.PROMPTED, ANNA)
    trail.stop()
    await running
    await trail.record(AuditKind.STOPPED, ANNA)
    found, report = await everything(database)
    assert [record.fields["kind"] for record in found] == ["set-up", "prompted", "stopped"]
    assert report.ok


async def test_what_waits_when_it_is_stopped_is_still_written(database):
    trail = DatabaseTrail(database)
    running = asyncio.create_task(trail.run())
    waiting = [asyncio.create_task(trail.record(AuditKind.TYPED, ANNA)) for _ in range(5)]
    await asyncio.sleep(0)
    trail.stop()
    await asyncio.gather(running, *waiting)
    assert len((await everything(database))[0]) == 5


async def test_a_caller_that_goes_away_is_recorded_all_the_same(trail, database, eventually):
    asked = asyncio.create_task(trail.record(AuditKind.PROMPTED, ANNA))
    await asyncio.sleep(0)
    asked.cancel()
    await trail.record(AuditKind.STOPPED, ANNA)
    assert len((await everything(database))[0]) == 2


# --- failing closed ------------------------------------------------------------------------------


async def refuse_inserts(database):
    async with database.write() as connection:
        await connection.execute(
            text(
                "CREATE TRIGGER broken BEFORE INSERT ON audit_records "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        )


async def test_what_cannot_be_written_is_an_error_and_leaves_nothing(trail, database, caplog):
    await trail.record(AuditKind.PROMPTED, ANNA)
    await refuse_inserts(database)
    with pytest.raises(AuditUnavailableError) as caught:
        await trail.record(AuditKind.STOPPED, ANNA)
    assert caught.value.remedy
    assert "the disk is full" in (trail.failure or "")
    assert "the disk is full" in caplog.text
    async with database.write() as connection:
        await connection.execute(text("DROP TRIGGER broken"))
    await trail.record(AuditKind.STOPPED, ANNA)
    assert trail.failure is None
    found, report = await everything(database)
    assert [record.fields["kind"] for record in found] == ["prompted", "stopped"]
    assert report.ok


async def test_too_many_that_wait_are_refused(trail, monkeypatch):
    monkeypatch.setattr(trails, "MAX_WAITING", 2)
    results = await asyncio.gather(
        *[trail.record(AuditKind.PROMPTED, ANNA) for _ in range(5)], return_exceptions=True
    )
    assert [isinstance(result, AuditUnavailableError) for result in results] == [
        *[False] * 2,
        *[True] * 3,
    ]


async def test_too_large_a_record_is_refused(trail, database):
    await trail.record(AuditKind.PROMPTED, ANNA, details={"text": "\x00" * 256 * 1024})
    with pytest.raises(InvalidRequestError):
        await trail.record(AuditKind.PROMPTED, ANNA, details={"text": "x" * trails.MAX_RECORD})
    found, report = await everything(database)
    assert (len(found), report.ok) == (1, True)
    assert len(found[0].fields["details"]["text"]) == 256 * 1024


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "x" * 1000])
async def test_names_that_a_column_cannot_hold(trail, database, name):
    strange = Actor(name, name, Role.MEMBER, sign_in_id="s")
    await trail.record(
        AuditKind.PROMPTED, strange, subject=name, session_id=name, details={"text": name}
    )
    _, report = await everything(database)
    assert report.ok


async def test_a_head_that_is_missing(database):
    trail = DatabaseTrail(database)
    async with database.write() as connection:
        await connection.execute(text("DROP TRIGGER audit_head_no_delete"))
        await connection.execute(text("DELETE FROM audit_head"))
    with pytest.raises(AuditUnavailableError):
        await trail.record(AuditKind.PROMPTED)
    with pytest.raises(AuditUnavailableError):
        await trail.head()
    await trail.anchor("now")


async def test_the_head_is_noted_in_the_servers_log(database, caplog, monkeypatch):
    monkeypatch.setattr(trails, "ANCHOR_EVERY", 0.01)
    caplog.set_level("INFO")
    trail = DatabaseTrail(database)
    running = asyncio.create_task(trail.run())
    await trail.record(AuditKind.PROMPTED)
    head = await trail.head()
    while not any(r.when == "hourly" and str(head) in r.getMessage() for r in _noted(caplog)):
        await asyncio.sleep(0.005)
    trail.stop()
    await running
    noted = _noted(caplog)
    assert [r.when for r in (noted[0], noted[-1])] == ["start", "stop"]


def _noted(caplog):
    return [r for r in caplog.records if r.getMessage().startswith("audit log head")]


# --- the database refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_records SET subject = 'x'",
        "UPDATE audit_records SET seq = 9 WHERE seq = 2",
        "DELETE FROM audit_records",
        "DELETE FROM audit_records WHERE seq = 2",
        "INSERT OR REPLACE INTO audit_records SELECT * FROM audit_records WHERE seq = 2",
        "REPLACE INTO audit_records SELECT * FROM audit_records",
        "UPDATE OR REPLACE audit_records SET seq = 1 WHERE seq = 2",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET hash = 'x'",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (2, 0, 'x')",
        "INSERT OR REPLACE INTO audit_head VALUES (1, 0, 'x')",
    ],
)
async def test_the_database_refuses_to_change_what_is_written(trail, database, statement):
    for _ in range(3):
        await trail.record(AuditKind.PROMPTED, ANNA)
    before = await everything(database)
    with pytest.raises(DBAPIError, match="only grows"):
        async with database.write() as connection:
            await connection.execute(text(statement))
    after = await everything(database)
    assert after == before
    assert after[1].ok


async def test_a_row_that_somebody_damaged_is_still_read_and_named(trail, database):
    for n in range(4):
        await trail.record(AuditKind.PROMPTED, ANNA, details={"n": n})
    async with database.write() as connection:
        await connection.execute(text("DROP TRIGGER audit_records_no_update"))
        for statement in (
            "UPDATE audit_records SET details = '{' WHERE seq = 1",
            "UPDATE audit_records SET at = 'never' WHERE seq = 2",
            """UPDATE audit_records SET details = '{"n": 2}' WHERE seq = 3""",
            "UPDATE audit_records SET kind = x'00ff', hash = 5 WHERE seq = 4",
        ):
            await connection.execute(text(statement))
    _, report = await everything(database)
    assert sorted({problem.seq for problem in report.problems}) == [1, 2, 3, 4]


async def test_an_empty_log(database):
    found, report = await everything(database)
    assert (found, report.ok, report.head) == ([], True, Head())


async def test_a_record_that_somebody_put_behind_the_head_is_named(trail, database):
    for _ in range(2):
        await trail.record(AuditKind.PROMPTED, ANNA)
    async with database.write() as connection:
        await connection.execute(
            text(
                "INSERT INTO audit_records SELECT 3, at, kind, person_id, person_name, address, "
                "subject, session_id, runner_id, details, hash, hash FROM audit_records "
                "WHERE seq = 2"
            )
        )
    _, report = await everything(database)
    assert ("rewritten", 3) in [(p.finding, p.seq) for p in report.problems]
    with pytest.raises(AuditUnavailableError):
        await trail.record(AuditKind.PROMPTED, ANNA)


async def test_records_that_come_while_it_is_read_are_read_as_well(trail, database):
    await trail.record(AuditKind.PROMPTED, ANNA)
    later = iter(range(3))

    async def head():
        for _ in later:
            await trail.record(AuditKind.PROMPTED, ANNA)
            break
        return await trail.head()

    verifier = Verifier()
    async for part in AuditReader(database).everything(head):
        if isinstance(part, Head):
            report = verifier.finish(part)
        else:
            for record in part:
                verifier.add(record)
    assert (report.ok, report.records) == (True, 4)
