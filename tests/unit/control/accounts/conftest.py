"""The services of accounts on a real database, with cheap hashes and an audit log one can read."""

import dataclasses
from typing import Any

import pytest
from argon2 import PasswordHasher

from earthshine.control.accounts.domain import Accounts
from earthshine.control.accounts.hashing import Hasher
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.authorization import Authorization
from earthshine.control.origin import LOCAL, Origin, _current
from earthshine.control.throttle import Throttle

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@dataclasses.dataclass
class Note:
    kind: AuditKind
    actor: Any
    subject: str
    details: dict[str, Any]


class Notebook:
    """An audit log in memory."""

    def __init__(self):
        self.notes: list[Note] = []

    async def record(
        self, kind, actor=None, *, subject="", session_id=None, runner_id=None, details=None
    ):
        self.notes.append(Note(kind, actor, subject, dict(details or {})))

    @property
    def kinds(self):
        return [note.kind for note in self.notes]


async def no_role(*_):
    return None


@pytest.fixture
def trail():
    return Notebook()


@pytest.fixture
def accounts(database, trail):
    access = Authorization(no_role, lambda _: None)
    made = Accounts(database, access, Throttle(), trail, hasher=Hasher(CHEAP))
    made.serve_at("https://earth.example")
    return made


@pytest.fixture
def store(database):
    return PeopleStore(database)


@pytest.fixture
def owner(empty_database):
    return empty_database[1][0].actor


@pytest.fixture
def mia(empty_database):
    return empty_database[1][1].actor


@pytest.fixture
def otto(empty_database):
    return empty_database[1][2].actor


@pytest.fixture(autouse=True)
def origin():
    """Requests come from the machine itself, unless a test says otherwise."""

    def come_from(address, agent=""):
        _current.set(Origin(address, agent))

    yield come_from
    _current.set(LOCAL)
