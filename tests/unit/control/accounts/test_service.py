"""Sign-ins and one-time links."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from earthshine.control.access import Scope
from earthshine.control.accounts import codes, service, sign_ins
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.errors import (
    GoneError,
    NotAllowedError,
    NotFoundError,
    SignInRequiredError,
    TooManyError,
)


async def token_of(accounts, person):
    return await accounts.service.issue_token(person.person_id)


async def browser_of(accounts, person):
    return await accounts.sign_ins.issue(
        person.person_id, "browser", timedelta(days=1), method="test"
    )


# --- one-time links ------------------------------------------------------------------------------


async def test_a_code_signs_in_once(accounts, owner, trail):
    code = await accounts.service.issue_code(owner.person_id)
    signed_in = await accounts.service.redeem(code)
    assert signed_in.actor.person_id == owner.person_id
    assert await accounts.service.authenticate(signed_in.token) == signed_in.actor
    with pytest.raises(GoneError) as caught:
        await accounts.service.redeem(code)
    assert caught.value.remedy
    assert trail.kinds == [AuditKind.SIGNED_IN, AuditKind.SIGN_IN_REFUSED]


async def test_of_several_at_once_one_wins(accounts, owner):
    code = await accounts.service.issue_code(owner.person_id)
    results = await asyncio.gather(
        *[accounts.service.redeem(code) for _ in range(8)], return_exceptions=True
    )
    assert sum(not isinstance(result, GoneError) for result in results) == 1


@pytest.mark.parametrize("code", ["", "wrong", "x" * 1000, "\0", "\ud800"])
async def test_a_wrong_code(accounts, code):
    with pytest.raises(GoneError):
        await accounts.service.redeem(code)


async def test_a_code_expires(accounts, owner, monkeypatch):
    monkeypatch.setattr(codes, "CODE_LIFE", timedelta(seconds=-1))
    code = await accounts.service.issue_code(owner.person_id)
    with pytest.raises(GoneError):
        await accounts.service.redeem(code)


async def test_only_so_many_codes_at_once(accounts, owner, mia, monkeypatch):
    monkeypatch.setattr(codes, "MAX_CODES", 2)
    for person in (owner, mia):
        await accounts.service.issue_code(person.person_id)
    with pytest.raises(TooManyError):
        await accounts.service.issue_code(owner.person_id)


async def test_ones_newest_links_are_those_that_work(accounts, owner, monkeypatch):
    monkeypatch.setattr(codes, "MAX_CODES_EACH", 2)
    made = [await accounts.service.issue_code(owner.person_id) for _ in range(3)]
    with pytest.raises(GoneError):
        await accounts.service.redeem(made[0])
    await accounts.service.redeem(made[1])
    await accounts.service.redeem(made[2])


async def test_who_guesses_codes_is_slowed_down_and_whoever_has_one_is_not(accounts, owner, origin):
    origin("192.0.2.1")
    code = await accounts.service.issue_code(owner.person_id)
    with pytest.raises(TooManyError) as caught:
        for _ in range(1000):
            with contextlib.suppress(GoneError):
                await accounts.service.redeem("wrong")
    assert caught.value.retry_after
    await accounts.service.redeem(code)


# --- tokens --------------------------------------------------------------------------------------


async def test_a_token_of_nobody_is_none(accounts):
    with pytest.raises(NotAllowedError):
        await accounts.service.issue_token("nobody")
    with pytest.raises(SignInRequiredError):
        await accounts.service.authenticate("wrong")


async def test_a_sign_in_expires_also_while_it_is_remembered(accounts, owner, monkeypatch):
    ended: list[str] = []
    accounts.service.on_sign_out = ended.append
    monkeypatch.setattr(service, "TOKEN_LIFE", timedelta(seconds=0.3))
    signed_in = await token_of(accounts, owner)
    await accounts.service.authenticate(signed_in.token)
    until = asyncio.get_running_loop().time() + 5
    with pytest.raises(SignInRequiredError):
        while asyncio.get_running_loop().time() < until:
            await accounts.service.authenticate(signed_in.token)
            await asyncio.sleep(0.02)
    accounts.sign_ins.expire()
    assert ended == [signed_in.actor.sign_in_id], "what rests on it is told"


async def test_the_command_lines_token_is_used_again_at_the_next_start(accounts, owner, trail):
    first = await accounts.service.local_token(owner.person_id, "")
    assert await accounts.service.local_token(owner.person_id, first) == first
    assert trail.kinds == [AuditKind.TOKEN_MADE]
    other = await accounts.service.local_token(owner.person_id, "lost")
    assert other != first
    with pytest.raises(SignInRequiredError):
        await accounts.service.authenticate(first)


async def test_the_command_lines_token_is_renewed_in_time(accounts, owner, monkeypatch):
    monkeypatch.setattr(service, "TOKEN_LIFE", timedelta(days=29))
    first = await accounts.service.local_token(owner.person_id, "")
    assert await accounts.service.local_token(owner.person_id, first) != first


async def test_somebody_elses_token_is_not_taken_for_the_command_lines(accounts, owner, mia):
    theirs = await token_of(accounts, mia)
    made = await accounts.service.local_token(owner.person_id, theirs.token)
    assert (await accounts.service.authenticate(made)).person_id == owner.person_id
    assert await accounts.service.authenticate(theirs.token)


# --- ending --------------------------------------------------------------------------------------


async def test_signing_out_ends_this_sign_in_only(accounts, owner, trail):
    ended: list[str] = []
    accounts.service.on_sign_out = ended.append
    one = await token_of(accounts, owner)
    two = await token_of(accounts, owner)
    await accounts.service.sign_out(one.actor)
    assert ended == [one.actor.sign_in_id]
    assert trail.kinds == [AuditKind.SIGNED_OUT]
    with pytest.raises(SignInRequiredError):
        await accounts.service.authenticate(one.token)
    assert await accounts.service.authenticate(two.token) == two.actor


async def test_a_request_under_way_does_not_keep_a_sign_in_alive(
    accounts, owner, database, monkeypatch
):
    signed_in = await token_of(accounts, owner)
    accounts.sign_ins._known.clear()
    read = database.read
    looked, go_on = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def slowly():
        async with read() as connection:
            yield connection
        looked.set()
        await go_on.wait()

    monkeypatch.setattr(database, "read", slowly)
    under_way = asyncio.create_task(accounts.service.authenticate(signed_in.token))
    await looked.wait()
    await accounts.service.sign_out(signed_in.actor)
    go_on.set()
    with pytest.raises(SignInRequiredError):
        await under_way


async def test_what_is_signed_in_can_be_seen_and_ended(accounts, mia, otto, origin, trail):
    origin("192.0.2.7", "Firefox")
    here = await browser_of(accounts, mia)
    origin("198.51.100.2", "curl")
    there = await token_of(accounts, mia)
    foreign = await browser_of(accounts, otto)
    listed = (await accounts.service.sign_ins(here.actor)).sign_ins
    seen = {one.id: one for one in listed if one.user_agent}
    assert set(seen) == {here.actor.sign_in_id, there.actor.sign_in_id}
    browser = seen[here.actor.sign_in_id]
    assert (browser.kind, browser.address, browser.user_agent, browser.current) == (
        "browser",
        "192.0.2.7",
        "Firefox",
        True,
    )
    assert not seen[there.actor.sign_in_id].current
    ended: list[str] = []
    accounts.service.on_sign_out = ended.append
    for not_mine in (foreign.actor.sign_in_id, "nothing"):
        with pytest.raises(NotFoundError):
            await accounts.service.end(here.actor, not_mine)
    await accounts.service.end(here.actor, there.actor.sign_in_id)
    assert ended == [there.actor.sign_in_id]
    await accounts.service.authenticate(foreign.token)
    assert trail.kinds[-1] is AuditKind.SIGN_IN_ENDED


async def test_all_others_can_be_ended(accounts, mia, otto):
    here = await browser_of(accounts, mia)
    others = [await browser_of(accounts, mia), await token_of(accounts, mia)]
    foreign = await browser_of(accounts, otto)
    await accounts.service.end_others(here.actor)
    for other in others:
        with pytest.raises(SignInRequiredError):
            await accounts.service.authenticate(other.token)
    await accounts.service.authenticate(here.token)
    await accounts.service.authenticate(foreign.token)


async def test_last_seen_is_noted_with_where_from(accounts, mia, origin, database):
    here = await browser_of(accounts, mia)
    (before,) = (
        one for one in (await accounts.service.sign_ins(here.actor)).sign_ins if one.current
    )
    origin("203.0.113.5", "phone")
    await accounts.service.authenticate(here.token)
    (after,) = (
        one for one in (await accounts.service.sign_ins(here.actor)).sign_ins if one.current
    )
    assert after.last_seen_at > before.last_seen_at
    assert (after.address, after.user_agent) == ("203.0.113.5", "phone")


async def test_requests_write_nothing(accounts, mia, database, monkeypatch):
    here = await browser_of(accounts, mia)

    def no_writing():
        raise AssertionError("a request wrote when it was last seen")

    monkeypatch.setattr(database, "write", no_writing)
    for _ in range(5):
        await accounts.service.authenticate(here.token)


async def test_the_browser_used_longest_ago_makes_room(accounts, mia, monkeypatch):
    monkeypatch.setattr(sign_ins, "MAX_BROWSERS", 3)
    browsers = [await browser_of(accounts, mia) for _ in range(3)]
    ended: list[str] = []
    accounts.service.on_sign_out = ended.append
    await accounts.sign_ins.note()
    await accounts.service.authenticate(browsers[0].token)
    await accounts.sign_ins.note()
    await browser_of(accounts, mia)
    assert ended == [browsers[1].actor.sign_in_id]


async def test_tokens_do_not_make_room_for_each_other(accounts, mia, monkeypatch):
    monkeypatch.setattr(sign_ins, "MAX_TOKENS", 3)
    with pytest.raises(TooManyError):
        for _ in range(4):
            await token_of(accounts, mia)


async def test_only_hashes_are_kept(accounts, owner, database, database_url):
    code = await accounts.service.issue_code(owner.person_id)
    token = (await token_of(accounts, owner)).token
    await database.close()
    folder = Path(database_url.removeprefix("sqlite+aiosqlite:///")).parent
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert code.encode() not in everything
    assert token.encode() not in everything


async def test_the_cache_has_a_limit(accounts, owner, monkeypatch):
    monkeypatch.setattr(sign_ins, "MAX_CACHED", 3)
    for _ in range(6):
        await token_of(accounts, owner)
    assert len(accounts.sign_ins._known) <= 3


# --- tokens that people make ---------------------------------------------------------------------


async def test_a_token_has_the_scopes_it_was_made_with_and_an_end(accounts, mia, trail):
    made = await accounts.tokens.make(mia, "ci", [Scope.READ, Scope.CONTROL], 7)
    actor = await accounts.service.authenticate(made.token)
    assert made.token.startswith("earthshine_")
    assert actor.scopes == {Scope.READ, Scope.CONTROL}
    assert (made.info.expires_at - made.info.created_at) == timedelta(days=7)
    assert made.info.name == "ci"
    note = trail.notes[-1]
    assert note.kind is AuditKind.TOKEN_MADE
    assert made.token not in str(note)
    listed = await accounts.tokens.list(mia)
    assert made.info.id in {token.id for token in listed.tokens}
    await accounts.tokens.end(mia, made.info.id)
    with pytest.raises(SignInRequiredError):
        await accounts.service.authenticate(made.token)
    with pytest.raises(NotFoundError):
        await accounts.tokens.end(mia, made.info.id)
    assert trail.kinds[-1] is AuditKind.TOKEN_ENDED


async def test_a_token_makes_none_that_may_more_than_itself(accounts, mia):
    small = await accounts.tokens.make(mia, "small", [Scope.ACCOUNT, Scope.READ], 1)
    actor = await accounts.service.authenticate(small.token)
    await accounts.tokens.make(actor, "same", [Scope.READ], 1)
    with pytest.raises(NotAllowedError, match="control"):
        await accounts.tokens.make(actor, "more", [Scope.READ, Scope.CONTROL], 1)
    for change in (
        accounts.passwords.change(actor, None, "a new password of mine"),
        accounts.passwords.remove(actor),
        accounts.passkeys.registration(actor),
        accounts.passkeys.require_second_factor(actor, required=False),
        accounts.people.link(actor, "", "https://x"),
        accounts.oidc.start_linking(actor, "https://x"),
    ):
        with pytest.raises(NotAllowedError, match="cut down"):
            await change


async def test_a_browser_is_not_ended_as_a_token(accounts, mia):
    here = await browser_of(accounts, mia)
    with pytest.raises(NotFoundError):
        await accounts.tokens.end(mia, here.actor.sign_in_id)


# --- tickets -------------------------------------------------------------------------------------


async def test_a_ticket_stands_for_its_sign_in_once(accounts, mia):
    here = await browser_of(accounts, mia)
    ticket = (await accounts.tickets.issue(here.actor)).ticket
    assert await accounts.tickets.take(ticket) == here.actor
    with pytest.raises(SignInRequiredError):
        await accounts.tickets.take(ticket)


async def test_a_ticket_ends_with_its_sign_in(accounts, mia):
    here = await browser_of(accounts, mia)
    ticket = (await accounts.tickets.issue(here.actor)).ticket
    await accounts.service.sign_out(here.actor)
    with pytest.raises(SignInRequiredError):
        await accounts.tickets.take(ticket)
