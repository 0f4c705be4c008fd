"""Names and passwords."""

import asyncio
import contextlib

import pytest
from argon2 import PasswordHasher

from earthshine.control.access import Role
from earthshine.control.accounts import hashing
from earthshine.control.accounts.errors import WrongCredentialsError
from earthshine.control.accounts.hashing import Hasher
from earthshine.control.accounts.schemas import PasskeyChallenge
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.errors import InvalidRequestError, TooManyError

GOOD = "seven purple bicycles"


@pytest.fixture
async def with_password(accounts, mia):
    await accounts.passwords.change(mia, None, GOOD)
    return mia


async def test_the_right_password_signs_in(accounts, with_password, trail):
    for name in ("mia", "MIA", "Ｍia"):
        signed_in = await accounts.passwords.sign_in(name, GOOD)
        assert signed_in.actor.person_id == with_password.person_id
    assert trail.notes[-1].kind is AuditKind.SIGNED_IN
    assert trail.notes[-1].details == {"method": "password"}
    assert GOOD not in str(trail.notes)


async def test_a_wrong_one_an_unknown_name_and_no_password_are_told_alike(
    accounts, with_password, owner, otto, trail
):
    await accounts.people.change(owner, otto.person_id, None, True)
    said = set()
    for name, password in (
        ("mia", "wrong password"),
        ("nobody", GOOD),
        ("owner", GOOD),  # has none
        ("otto", GOOD),  # disabled
        ("", ""),
        ("mia", ""),
        ("mia", "x" * 4096),
        ("mia", GOOD + "\0"),
        ("mia", "\ud800"),
    ):
        with pytest.raises(WrongCredentialsError) as caught:
            await accounts.passwords.sign_in(name, password)
        said.add((caught.value.detail, caught.value.remedy))
        assert trail.notes[-1].kind is AuditKind.SIGN_IN_REFUSED
    assert len(said) == 1
    assert "nobody" not in str(trail.notes), "it may have been a password in the wrong field"


async def test_unknown_names_are_hashed_as_well(accounts, with_password, monkeypatch):
    worked: list[str] = []
    real = PasswordHasher.verify

    def verify(self, kept, password):
        worked.append(kept)
        return real(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    for name in ("mia", "nobody", "owner"):
        with pytest.raises(WrongCredentialsError):
            await accounts.passwords.sign_in(name, "wrong password")
    assert len(worked) == 3
    parameters = {kept.rpartition("$")[0].rpartition("$")[0] for kept in worked}
    assert len(parameters) == 1, "at the same cost"


async def test_who_guesses_is_slowed_down_and_the_owner_gets_in(accounts, with_password, origin):
    origin("198.51.100.7")
    await accounts.passwords.sign_in("mia", GOOD)
    for last in range(40):  # strangers, from everywhere
        origin(f"192.0.2.{last}")
        with pytest.raises((WrongCredentialsError, TooManyError)):
            await accounts.passwords.sign_in("mia", "wrong password")
    with pytest.raises(TooManyError):
        await accounts.passwords.sign_in("mia", GOOD)
    origin("198.51.100.7")
    await accounts.passwords.sign_in("mia", GOOD)


async def test_changing_it_reaches_the_same_limit(accounts, with_password, origin):
    origin("192.0.2.1")
    with pytest.raises(TooManyError):
        for _ in range(20):
            with contextlib.suppress(WrongCredentialsError):
                await accounts.passwords.change(with_password, "wrong", GOOD + "!")
    with pytest.raises(TooManyError):
        await accounts.passwords.sign_in("mia", GOOD)


@pytest.mark.parametrize(
    "bad",
    ["short", "x" * 1025, "password123", "PASSWORD123", "aaaaaaaaaaaa", "qwertyuiop", "1234567890"],
)
async def test_a_bad_password_is_refused(accounts, mia, bad):
    with pytest.raises(InvalidRequestError):
        await accounts.passwords.change(mia, None, bad)


async def test_ones_own_name_is_no_password(accounts, mia):
    actor = await accounts.people.rename(mia, "Mia Elisabeth")
    with pytest.raises(InvalidRequestError):
        await accounts.passwords.change(actor, None, "MIA elisabeth")


async def test_changing_it_needs_the_present_one(accounts, with_password, trail):
    for current in (None, "", "wrong password"):
        with pytest.raises(WrongCredentialsError):
            await accounts.passwords.change(with_password, current, "another fine password")
    signed_in = await accounts.service.issue_token(with_password.person_id)
    await accounts.passwords.change(with_password, GOOD, "another fine password")
    await accounts.passwords.sign_in("mia", "another fine password")
    with pytest.raises(WrongCredentialsError):
        await accounts.passwords.sign_in("mia", GOOD)
    await accounts.service.authenticate(signed_in.token)  # stays
    assert trail.kinds.count(AuditKind.PASSWORD_CHANGED) == 2


async def test_removing_it(accounts, with_password):
    assert (await accounts.people.account(with_password)).has_password
    assert (await accounts.people.standing(with_password)).has_credentials
    await accounts.passwords.remove(with_password)
    assert not (await accounts.people.account(with_password)).has_password
    assert not (await accounts.people.standing(with_password)).has_credentials
    with pytest.raises(WrongCredentialsError):
        await accounts.passwords.sign_in("mia", GOOD)


async def test_it_is_the_same_however_it_is_typed(accounts, mia):
    await accounts.passwords.change(mia, None, "caf\u00e9 au lait s'il vous pla\u00eet")
    typed = "cafe\u0301 au\u00a0lait s'il vous plai\u0302t"
    await accounts.passwords.sign_in("mia", typed)


async def test_a_hash_with_old_parameters_is_made_anew(accounts, with_password, store):
    before = (await store.get(with_password.person_id)).password_hash
    stronger = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)
    accounts.passwords._hasher._argon2 = stronger
    await accounts.passwords.sign_in("mia", GOOD)
    after = (await store.get(with_password.person_id)).password_hash
    assert after != before
    assert "m=128,t=2" in after
    await accounts.passwords.sign_in("mia", GOOD)


async def test_a_removed_persons_name_and_password_sign_nobody_in(accounts, with_password, owner):
    await accounts.people.remove(owner, with_password.person_id)
    await accounts.people.add(owner, "mia", Role.MEMBER, "http://x")
    with pytest.raises(WrongCredentialsError):
        await accounts.passwords.sign_in("mia", GOOD)


async def test_the_second_factor_is_asked_for_when_the_password_was_right(
    accounts, with_password, database
):
    from sqlalchemy import update

    from earthshine.control.accounts.models import Person

    async with database.write() as connection:
        await connection.execute(
            update(Person).where(Person.id == with_password.person_id).values(second_factor=True)
        )
    assert isinstance(await accounts.passwords.sign_in("mia", GOOD), PasskeyChallenge)
    with pytest.raises(WrongCredentialsError):
        await accounts.passwords.sign_in("mia", "wrong password")


# --- how many at once ----------------------------------------------------------------------------


class SlowHash:
    """Stands in for argon2: stays until it is let go."""

    def __init__(self, release):
        self.release = release
        self.running = self.most = 0

    def hash(self, _):
        self.running += 1
        self.most = max(self.most, self.running)
        self.release.wait(10)
        self.running -= 1
        return "hash"


async def test_two_are_hashed_at_a_time_and_the_queue_has_an_end(eventually, monkeypatch):
    import threading

    monkeypatch.setattr(hashing, "MAX_WAITING", 5)
    release = threading.Event()
    slow = SlowHash(release)
    hasher = Hasher(slow)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        under_way = [tasks.create_task(hasher.hash("x")) for _ in range(5)]
        await eventually(lambda: slow.running == 2)
        with pytest.raises(TooManyError) as caught:
            await hasher.hash("one too many")
        assert caught.value.retry_after
        release.set()
    assert [task.result() for task in under_way] == ["hash"] * 5
    assert slow.most == 2
    await hasher.hash("again")


def test_hashes_cost_what_the_standard_recommends():
    parameters = Hasher()._argon2
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (65536, 3, 4)
    assert parameters.type.name == "ID"
