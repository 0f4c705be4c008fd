import asyncio
from datetime import timedelta

import pytest

from earthshine.control.accounts import service
from earthshine.control.accounts.service import AccountService
from earthshine.control.authorization import Authorization
from earthshine.control.errors import (
    GoneError,
    InvalidRequestError,
    NotAllowedError,
    SignInRequiredError,
    TooManyError,
)


async def nobody(*_):
    return None


@pytest.fixture
def accounts(database):
    return AccountService(database, Authorization(nobody, lambda _: None))


@pytest.fixture
def owner(empty_database):
    return empty_database[1][0].actor


async def test_the_owner_is_made_once(accounts):
    first = await accounts.ensure_owner("owner")
    again = await accounts.ensure_owner("somebody else")
    assert first == again
    assert first.is_admin
    assert await accounts.name(first.person_id) == "owner"
    assert await accounts.name("nobody") == "?"


async def test_a_code_signs_in_once(accounts, owner):
    code = await accounts.issue_code(owner.person_id)
    signed_in = await accounts.redeem(code)
    assert signed_in.actor.person_id == owner.person_id
    assert await accounts.authenticate(signed_in.token) == signed_in.actor
    with pytest.raises(GoneError) as caught:
        await accounts.redeem(code)
    assert caught.value.remedy


async def test_of_several_at_once_one_wins(accounts, owner):
    code = await accounts.issue_code(owner.person_id)
    results = await asyncio.gather(
        *[accounts.redeem(code) for _ in range(8)], return_exceptions=True
    )
    assert sum(not isinstance(result, GoneError) for result in results) == 1


@pytest.mark.parametrize("code", ["", "wrong", "x" * 1000, "\0"])
async def test_a_wrong_code(accounts, code):
    with pytest.raises(GoneError):
        await accounts.redeem(code)


async def test_a_code_expires(accounts, owner, monkeypatch):
    monkeypatch.setattr(service, "CODE_LIFE", timedelta(seconds=-1))
    code = await accounts.issue_code(owner.person_id)
    with pytest.raises(GoneError):
        await accounts.redeem(code)


async def test_only_so_many_codes_at_once(accounts, owner, monkeypatch):
    monkeypatch.setattr(service, "MAX_CODES", 2)
    for _ in range(2):
        await accounts.issue_code(owner.person_id)
    with pytest.raises(TooManyError):
        await accounts.issue_code(owner.person_id)


async def test_a_token_of_nobody_is_none(accounts):
    with pytest.raises(InvalidRequestError):
        await accounts.issue_token("nobody")
    with pytest.raises(SignInRequiredError):
        await accounts.authenticate("wrong")


async def test_a_sign_in_expires_also_while_it_is_remembered(accounts, owner, monkeypatch):
    monkeypatch.setattr(service, "TOKEN_LIFE", timedelta(seconds=0.3))
    signed_in = await accounts.issue_token(owner.person_id)
    await accounts.authenticate(signed_in.token)
    until = asyncio.get_running_loop().time() + 5
    with pytest.raises(SignInRequiredError):
        while asyncio.get_running_loop().time() < until:
            await accounts.authenticate(signed_in.token)
            await asyncio.sleep(0.02)


async def test_signing_out_ends_this_sign_in_only(accounts, owner):
    ended: list[str] = []
    accounts.on_sign_out = ended.append
    one = await accounts.issue_token(owner.person_id)
    two = await accounts.issue_token(owner.person_id)
    await accounts.sign_out(one.actor)
    assert ended == [one.actor.sign_in_id]
    with pytest.raises(SignInRequiredError):
        await accounts.authenticate(one.token)
    assert await accounts.authenticate(two.token) == two.actor


async def test_a_request_under_way_does_not_keep_a_sign_in_alive(
    accounts, owner, database, monkeypatch
):
    signed_in = await accounts.issue_token(owner.person_id)
    accounts._cache.clear()
    read = database.read
    looked, go_on = asyncio.Event(), asyncio.Event()

    import contextlib

    @contextlib.asynccontextmanager
    async def slowly():
        async with read() as connection:
            yield connection
        looked.set()
        await go_on.wait()

    monkeypatch.setattr(database, "read", slowly)
    under_way = asyncio.create_task(accounts.authenticate(signed_in.token))
    await looked.wait()
    await accounts.sign_out(signed_in.actor)
    go_on.set()
    await under_way
    with pytest.raises(SignInRequiredError):
        await accounts.authenticate(signed_in.token)


async def test_only_hashes_are_kept(accounts, owner, database, database_url):
    from pathlib import Path

    code = await accounts.issue_code(owner.person_id)
    token = (await accounts.issue_token(owner.person_id)).token
    await database.close()
    folder = Path(database_url.removeprefix("sqlite+aiosqlite:///")).parent
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert code.encode() not in everything
    assert token.encode() not in everything


async def test_links_for_oneself_and_by_an_admin_for_others(accounts, owner, empty_database):
    member = empty_database[1][1].actor
    link = await accounts.sign_in_code(member, "", "http://x")
    assert (await accounts.redeem(link.url.partition("#sign-in=")[2])).actor.name == "mia"
    link = await accounts.sign_in_code(member, "mia", "http://x")
    assert link.url.startswith("http://x/#sign-in=")
    for name in ("otto", "new", "owner"):
        with pytest.raises(NotAllowedError):
            await accounts.sign_in_code(member, name, "http://x")
    link = await accounts.sign_in_code(owner, "new", "http://x")
    signed_in = await accounts.redeem(link.url.partition("#sign-in=")[2])
    assert (signed_in.actor.name, signed_in.actor.is_admin) == ("new", False)


async def test_the_cache_has_a_limit(accounts, owner, monkeypatch):
    monkeypatch.setattr(service, "MAX_CACHED", 3)
    for _ in range(6):
        await accounts.issue_token(owner.person_id)
    assert len(accounts._cache) <= 3


# --- through the API -----------------------------------------------------------------------------


async def test_a_browser_signs_in_with_a_cookie_that_pages_cannot_read(here, owner):
    code = await here.plane.accounts.issue_code(owner.person_id)
    async with here.anonymous() as browser:
        answer = await browser.post("/api/v1/sign-in", json={"code": code})
        cookie = answer.headers["set-cookie"].lower()
        for flag in ("httponly", "samesite=strict", "path=/", "max-age=2592000"):
            assert flag in cookie
        me = (await browser.get("/api/v1/me")).json()
        assert (me["name"], me["isAdmin"], me["previewEnabled"]) == ("owner", True, False)
        assert (await browser.post("/api/v1/sign-out")).status_code == 204
        assert (await browser.get("/api/v1/me")).status_code == 401
        answer = await browser.post("/api/v1/sign-in", json={"code": code})
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")


@pytest.mark.parametrize("person", ["a b", "x" * 65, "a/b", "<script>"])
async def test_names_are_plain(here, person):
    answer = await here.owner.http.post("/api/v1/sign-in-codes", json={"person": person})
    assert answer.status_code == 422
    assert person not in answer.text


@pytest.mark.parametrize("token", ["x" * 300, "grüße", "a b"])
async def test_tokens_that_cannot_be(here, token):
    async with here.anonymous() as client:
        header = f"Bearer {token}".encode("latin-1")
        answer = await client.get("/api/v1/me", headers=[(b"authorization", header)])
        assert answer.status_code == 401
