"""Who may sign in, as what, and that it takes effect at once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from earthshine.control.access import Role
from earthshine.control.accounts.models import Person
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.errors import (
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    SignInRequiredError,
)

URL = "https://earth.example"


async def code_of(link):
    return link.url.partition("#sign-in=")[2]


async def test_the_owner_is_made_once(accounts):
    first = await accounts.people.ensure_owner("owner")
    again = await accounts.people.ensure_owner("somebody else")
    assert first == again
    assert first.is_admin
    assert await accounts.service.name(first.person_id) == "owner"
    assert await accounts.service.name("nobody") == "?"


async def test_the_first_start_is_recorded(accounts, database, trail):
    async with database.write() as connection:
        await connection.execute(update(Person).values(role=Role.MEMBER))
    owner = await accounts.people.ensure_owner("owner")
    assert owner.name == "owner 2"
    assert trail.kinds == [AuditKind.SET_UP]


async def test_an_admin_adds_somebody_who_comes_in_by_a_link(accounts, owner, trail):
    added = await accounts.people.add(owner, "Zoë", Role.MEMBER, URL)
    assert (added.person.name, added.person.role, added.person.has_password) == (
        "Zoë",
        "member",
        False,
    )
    assert trail.kinds == [AuditKind.PERSON_ADDED, AuditKind.SIGN_IN_LINK_MADE]
    signed_in = await accounts.service.redeem(await code_of(added.link))
    assert (signed_in.actor.name, signed_in.actor.role) == ("Zoë", Role.MEMBER)
    for taken in ("zoë", "ZOË", "Ｚoë"):
        with pytest.raises(ConflictError):
            await accounts.people.add(owner, taken, Role.MEMBER, URL)
    with pytest.raises(InvalidRequestError):
        await accounts.people.add(owner, "\u202eZoe", Role.MEMBER, URL)


async def test_links_for_oneself_and_by_an_admin_for_others(accounts, owner, mia):
    link = await accounts.people.link(mia, "", URL)
    assert (await accounts.service.redeem(await code_of(link))).actor.name == "mia"
    link = await accounts.people.link(mia, "MIA", URL)
    assert link.url.startswith(f"{URL}/#sign-in=")
    for name in ("otto", "new", "owner"):
        with pytest.raises(NotAllowedError):
            await accounts.people.link(mia, name, URL)
    link = await accounts.people.link(owner, "new", URL)
    signed_in = await accounts.service.redeem(await code_of(link))
    assert (signed_in.actor.name, signed_in.actor.is_admin) == ("new", False)
    link = await accounts.people.link(owner, "Otto", URL)
    assert (await accounts.service.redeem(await code_of(link))).actor.name == "otto"


async def test_a_role_that_changes_does_so_at_once(accounts, owner, mia, trail):
    signed_in = await accounts.service.issue_token(mia.person_id)
    changed: list[str] = []
    accounts.sign_ins.on_change = changed.append
    view = await accounts.people.change(owner, mia.person_id, Role.ADMIN, None)
    assert view.role == "admin"
    assert signed_in.actor.sign_in_id in changed, "its sockets are told"
    assert (await accounts.service.authenticate(signed_in.token)).role is Role.ADMIN
    await accounts.people.change(owner, mia.person_id, Role.MEMBER, None)
    assert (await accounts.service.authenticate(signed_in.token)).role is Role.MEMBER
    assert trail.kinds == [AuditKind.ROLE_CHANGED] * 2
    assert [note.details["role"] for note in trail.notes] == ["admin", "member"]


async def test_who_is_disabled_is_out_until_enabled_again(accounts, owner, mia, trail):
    signed_in = await accounts.service.issue_token(mia.person_id)
    code = await accounts.service.issue_code(mia.person_id)
    ended: list[str] = []
    accounts.service.on_sign_out = ended.append
    view = await accounts.people.change(owner, mia.person_id, None, True)
    assert view.disabled
    assert signed_in.actor.sign_in_id in ended
    with pytest.raises(SignInRequiredError):
        await accounts.service.authenticate(signed_in.token)
    with pytest.raises(GoneError):
        await accounts.service.redeem(code)
    with pytest.raises(NotAllowedError):
        await accounts.service.issue_token(mia.person_id)
    with pytest.raises(ConflictError):
        await accounts.people.sign_in_code(owner, mia.person_id, URL)
    await accounts.people.change(owner, mia.person_id, None, False)
    await accounts.service.issue_token(mia.person_id)
    assert trail.kinds[0] is AuditKind.PERSON_DISABLED
    assert trail.kinds[-1] is AuditKind.PERSON_ENABLED


async def test_who_is_removed_is_gone_and_the_name_is_free(accounts, owner, mia, trail):
    signed_in = await accounts.service.issue_token(mia.person_id)
    told: list[str] = []

    async def tell(person_id):
        told.append(person_id)

    accounts.people.on_removed.append(tell)
    await accounts.people.remove(owner, mia.person_id)
    assert told == [mia.person_id]
    with pytest.raises(SignInRequiredError):
        await accounts.service.authenticate(signed_in.token)
    listed = (await accounts.people.list(owner)).people
    assert "mia" not in [person.name for person in listed]
    for again in (
        accounts.people.remove(owner, mia.person_id),
        accounts.people.change(owner, mia.person_id, None, False),
        accounts.people.sign_in_code(owner, mia.person_id, URL),
        accounts.people.end_all(owner, mia.person_id),
    ):
        with pytest.raises(NotFoundError):
            await again
    assert await accounts.service.name(mia.person_id) == "mia", "what she made still says whose"
    added = await accounts.people.add(owner, "mia", Role.MEMBER, URL)
    assert added.person.id != mia.person_id
    assert AuditKind.PERSON_REMOVED in trail.kinds


async def test_the_last_admin_stays(accounts, owner, mia):
    for attempt in (
        accounts.people.change(owner, owner.person_id, Role.MEMBER, None),
        accounts.people.change(owner, owner.person_id, None, True),
        accounts.people.remove(owner, owner.person_id),
    ):
        with pytest.raises(ConflictError, match="last admin"):
            await attempt
    await accounts.people.change(owner, mia.person_id, Role.ADMIN, None)
    await accounts.people.change(owner, owner.person_id, Role.MEMBER, None)
    # A disabled admin is none to fall back on.
    await accounts.people.change(owner, owner.person_id, Role.ADMIN, True)
    with pytest.raises(ConflictError, match="last admin"):
        await accounts.people.remove(owner, mia.person_id)


async def test_two_admins_cannot_end_each_other_at_once(accounts, owner, mia):
    await accounts.people.change(owner, mia.person_id, Role.ADMIN, None)
    results = await asyncio.gather(
        accounts.people.change(owner, mia.person_id, Role.MEMBER, None),
        accounts.people.change(owner, owner.person_id, Role.MEMBER, None),
        return_exceptions=True,
    )
    assert sum(isinstance(result, ConflictError) for result in results) == 1


async def test_renaming_oneself(accounts, mia):
    signed_in = await accounts.service.issue_token(mia.person_id)
    actor = await accounts.people.rename(signed_in.actor, " Mia  Müller ")
    assert actor.name == "Mia Müller"
    assert (await accounts.service.authenticate(signed_in.token)).name == "Mia Müller"
    assert await accounts.service.name(mia.person_id) == "Mia Müller"
    for taken in ("Otto", "OWNER"):
        with pytest.raises(ConflictError):
            await accounts.people.rename(signed_in.actor, taken)
    await accounts.people.rename(signed_in.actor, "MIA MÜLLER")


async def test_who_there_is(accounts, owner, mia):
    await accounts.service.issue_token(mia.person_id)
    people = (await accounts.people.list(owner)).people
    assert [person.name for person in people] == ["mia", "otto", "owner"]
    assert people[0].last_seen_at is not None
    names = (await accounts.people.names(mia)).people
    assert [person.name for person in names] == ["mia", "otto", "owner"]


async def test_an_admin_ends_all_that_is_signed_in_as_somebody(accounts, owner, mia):
    theirs = [await accounts.service.issue_token(mia.person_id) for _ in range(2)]
    own = await accounts.service.issue_token(owner.person_id)
    await accounts.people.end_all(owner, mia.person_id)
    for one in theirs:
        with pytest.raises(SignInRequiredError):
            await accounts.service.authenticate(one.token)
    await accounts.service.authenticate(own.token)


# --- guests --------------------------------------------------------------------------------------

SOON = timedelta(minutes=5)


async def guest(accounts, name="Gina", life=SOON):
    return await accounts.people.add_guest(name, datetime.now(UTC) + life)


async def test_a_guest_is_in_until_the_guest_expires(accounts, mia, monkeypatch):
    person_id = await guest(accounts, "mia", timedelta(seconds=0.3))
    signed_in = await accounts.people.sign_in_guest(person_id, timedelta(days=1))
    assert (signed_in.actor.role, signed_in.actor.name) == (Role.GUEST, "mia 2")
    assert signed_in.life < timedelta(seconds=1), "the cookie does not outlive the guest"
    until = asyncio.get_running_loop().time() + 5
    with pytest.raises(SignInRequiredError):
        while asyncio.get_running_loop().time() < until:
            await accounts.service.authenticate(signed_in.token)
            await asyncio.sleep(0.02)
    with pytest.raises(NotAllowedError):
        await accounts.people.sign_in_guest(person_id, SOON)


async def test_a_guest_stays_a_guest(accounts, owner):
    person_id = await guest(accounts)
    with pytest.raises(ConflictError):
        await accounts.people.change(owner, person_id, Role.MEMBER, None)
    with pytest.raises(ConflictError):
        await accounts.people.sign_in_code(owner, person_id, URL)
    assert person_id not in {p.id for p in (await accounts.people.names(owner)).people}
    signed_in = await accounts.people.sign_in_guest(person_id, SOON)
    with pytest.raises(NotAllowedError):
        await accounts.people.rename(signed_in.actor, "Anna")
    with pytest.raises(NotAllowedError):
        await accounts.passwords.change(signed_in.actor, None, "a password of a guest")


async def test_a_guests_session_is_told(accounts):
    person_id = await guest(accounts)
    signed_in = await accounts.people.sign_in_guest(person_id, SOON)
    assert (await accounts.people.standing(signed_in.actor)).shared_session_id is None

    async def shared(asked):
        return f"session of {asked}"

    accounts.people.shared_session = shared
    standing = await accounts.people.standing(signed_in.actor)
    assert standing.shared_session_id == f"session of {person_id}"
    assert not standing.has_credentials


async def test_guests_are_forgotten_in_time(accounts, owner, store):
    old = await guest(accounts, "Old", timedelta(days=-31))
    recent = await guest(accounts, "Recent", timedelta(days=-1))
    await accounts.people.purge_guests()
    assert await store.name(old) == "?"
    assert await store.name(recent) == "Recent"
    assert "Recent" not in {p.name for p in (await accounts.people.list(owner)).people}
