"""Passkeys: alone, as second factor, and what does not pass for one."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthshine.control.accounts import passkeys as module
from earthshine.control.accounts.errors import WrongCredentialsError
from earthshine.control.accounts.passkeys import RelyingParty
from earthshine.control.accounts.schemas import PasskeyChallenge
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.errors import (
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    TooManyError,
)
from tests.unit.control.accounts.authenticator import FakeAuthenticator

ORIGIN = "https://earth.example"
PASSWORD = "seven purple bicycles"


@pytest.fixture
def key():
    return FakeAuthenticator(ORIGIN)


async def add(accounts, actor, key, name="phone"):
    asked = await accounts.passkeys.registration(actor)
    return await accounts.passkeys.add(actor, asked.id, name, key.make(asked.options))


@pytest.fixture
async def with_passkey(accounts, mia, key):
    await add(accounts, mia, key)
    return mia


async def sign_in(accounts, key):
    asked = await accounts.passkeys.challenge()
    return await accounts.passkeys.sign_in(asked.id, key.use(asked.options))


async def refused(accounts, key, trail, why):
    with pytest.raises(WrongCredentialsError):
        await sign_in(accounts, key)
    assert trail.notes[-1].kind is AuditKind.SIGN_IN_REFUSED
    assert trail.notes[-1].details["why"] == why


@pytest.mark.parametrize(
    ("url", "rp_id"),
    [
        ("https://earth.example", "earth.example"),
        ("https://earth.example:8443/", "earth.example"),
        ("http://localhost:7180", "localhost"),
        ("http://a.localhost:7180", "a.localhost"),
        ("http://earth.example", None),
        ("http://127.0.0.1:7180", None),
        ("https://192.0.2.1", None),
        ("https://[2001:db8::1]", None),
    ],
)
def test_where_browsers_have_passkeys(url, rp_id):
    here = RelyingParty.at(url)
    assert (here and here.id) == rp_id


async def test_where_there_are_none_it_is_said_how_to_have_them(accounts, mia):
    accounts.serve_at("http://127.0.0.1:7180")
    assert not accounts.passkeys.available
    with pytest.raises(ConflictError) as caught:
        await accounts.passkeys.challenge()
    assert "EARTHSHINE_PUBLIC_URL" in (caught.value.remedy or "")
    with pytest.raises(ConflictError):
        await accounts.passkeys.registration(mia)


async def test_a_passkey_alone_signs_in(accounts, with_passkey, key, trail):
    assert trail.kinds == [AuditKind.PASSKEY_ADDED]
    signed_in = await sign_in(accounts, key)
    assert signed_in.actor.person_id == with_passkey.person_id
    assert trail.notes[-1].details == {"method": "passkey"}
    account = await accounts.people.account(with_passkey)
    assert [(p.name, p.last_used_at is not None) for p in account.passkeys] == [("phone", True)]
    assert (await accounts.people.standing(with_passkey)).has_credentials


async def test_what_is_asked_for_can_be_found_and_verifies_its_user(accounts, mia, key):
    asked = await accounts.passkeys.registration(mia)
    wanted = asked.options["authenticatorSelection"]
    assert (wanted["residentKey"], wanted["userVerification"]) == ("required", "required")
    assert asked.options["rp"]["id"] == "earth.example"
    asked = await accounts.passkeys.challenge()
    assert asked.options["userVerification"] == "required"
    assert asked.options["allowCredentials"] == []
    await add(accounts, mia, key)
    again = await accounts.passkeys.registration(mia)
    assert len(again.options["excludeCredentials"]) == 1


async def test_a_challenge_is_answered_once(accounts, with_passkey, key):
    asked = await accounts.passkeys.challenge()
    answer = key.use(asked.options)
    await accounts.passkeys.sign_in(asked.id, answer)
    with pytest.raises(GoneError):
        await accounts.passkeys.sign_in(asked.id, answer)


async def test_an_answer_to_another_challenge(accounts, with_passkey, key, trail):
    asked = await accounts.passkeys.challenge()
    other = await accounts.passkeys.challenge()
    with pytest.raises(WrongCredentialsError):
        await accounts.passkeys.sign_in(other.id, key.use(asked.options))


async def test_lies_of_a_browser_or_authenticator(accounts, with_passkey, key, trail):
    key.origin = "https://evil.example"
    await refused(accounts, key, trail, "wrong answer")
    key.origin = "https://earth.example:444"
    await refused(accounts, key, trail, "wrong answer")
    key.origin, key.rp_id = ORIGIN, "example"
    await refused(accounts, key, trail, "wrong answer")
    key.rp_id, key.verifies = None, False
    await refused(accounts, key, trail, "wrong answer")
    key.verifies, handle = True, key.user_handle
    key.user_handle = b"somebody else"
    await refused(accounts, key, trail, "somebody else's passkey")
    key.user_handle = handle
    await sign_in(accounts, key)


async def test_another_key_under_the_same_id(accounts, with_passkey, key, trail):
    forged = FakeAuthenticator(ORIGIN)
    forged.id, forged.user_handle = key.id, key.user_handle
    await refused(accounts, forged, trail, "wrong answer")


async def test_a_passkey_that_nobody_has(accounts, trail):
    await refused(accounts, FakeAuthenticator(ORIGIN), trail, "unknown passkey")


async def test_a_counter_that_does_not_grow_tells_of_a_copy(accounts, with_passkey, key, trail):
    key.count = 9
    for _ in range(2):
        await sign_in(accounts, key)  # 10, 11
    for copied in (3, 10):
        key.count = copied
        await refused(accounts, key, trail, "the signature counter went back")
    assert trail.notes[-1].subject == with_passkey.person_id
    key.count = 100
    await sign_in(accounts, key)


async def test_a_passkey_without_a_counter(accounts, with_passkey, key):
    for _ in range(3):
        key.count = -1  # it says 0 each time, as synchronised passkeys do
        await sign_in(accounts, key)


async def test_who_is_disabled_is_not_let_in(accounts, with_passkey, owner, key):
    from earthshine.control.errors import NotAllowedError

    await accounts.people.change(owner, with_passkey.person_id, None, True)
    with pytest.raises(NotAllowedError):
        await sign_in(accounts, key)


# --- as second factor ----------------------------------------------------------------------------


@pytest.fixture
async def with_both(accounts, with_passkey):
    await accounts.passwords.change(with_passkey, None, PASSWORD)
    await accounts.passkeys.require_second_factor(with_passkey, required=True)
    return with_passkey


async def test_password_and_passkey(accounts, with_both, key, trail):
    asked = await accounts.passwords.sign_in("mia", PASSWORD)
    assert isinstance(asked, PasskeyChallenge)
    assert len(asked.options["allowCredentials"]) == 1
    key.verifies = False  # a security key that is only touched is enough behind a password
    signed_in = await accounts.passkeys.sign_in(asked.id, key.use(asked.options))
    assert signed_in.actor.person_id == with_both.person_id
    assert trail.notes[-1].details == {"method": "password and passkey"}


async def test_somebody_elses_passkey_is_no_second_factor(accounts, with_both, otto, trail):
    theirs = FakeAuthenticator(ORIGIN)
    await add(accounts, otto, theirs)
    asked = await accounts.passwords.sign_in("mia", PASSWORD)
    with pytest.raises(WrongCredentialsError):
        await accounts.passkeys.sign_in(asked.id, theirs.use(asked.options))
    assert trail.notes[-1].details["why"] == "somebody else's passkey"


async def test_the_last_second_factor_stays(accounts, with_both, key):
    (passkey,) = (await accounts.people.account(with_both)).passkeys
    with pytest.raises(ConflictError):
        await accounts.passkeys.remove(with_both, passkey.id)
    await sign_in(accounts, key)  # still there
    await accounts.passkeys.require_second_factor(with_both, required=False)
    await accounts.passkeys.remove(with_both, passkey.id)
    with pytest.raises(NotFoundError):
        await accounts.passkeys.remove(with_both, passkey.id)


async def test_without_a_passkey_none_can_be_required(accounts, mia):
    with pytest.raises(ConflictError):
        await accounts.passkeys.require_second_factor(mia, required=True)


# --- adding --------------------------------------------------------------------------------------


async def test_a_challenge_is_for_one_purpose_and_one_sign_in(accounts, mia, otto, key):
    asked = await accounts.passkeys.registration(mia)
    made = key.make(asked.options)
    with pytest.raises(GoneError):
        await accounts.passkeys.add(otto, asked.id, "stolen", made)
    with pytest.raises(GoneError):
        await accounts.passkeys.add(mia, asked.id, "too late", made)
    await add(accounts, mia, key)
    asked = await accounts.passkeys.registration(mia)
    with pytest.raises(GoneError):
        await accounts.passkeys.sign_in(asked.id, key.use({**asked.options, "rpId": "x"}))


async def test_a_passkey_belongs_to_one_person(accounts, with_passkey, otto, key):
    with pytest.raises(ConflictError):
        await add(accounts, otto, key)


@pytest.mark.parametrize("lie", ["origin", "rp", "unverified", "empty", "large"])
async def test_what_is_no_passkey_for_this_server(accounts, mia, key, lie):
    asked = await accounts.passkeys.registration(mia)
    key.origin = "https://evil.example" if lie == "origin" else ORIGIN
    key.rp_id = "evil.example" if lie == "rp" else None
    key.verifies = lie != "unverified"
    made = key.make(asked.options)
    if lie == "empty":
        made = {}
    if lie == "large":
        made["more"] = "x" * 100_000
    with pytest.raises(InvalidRequestError):
        await accounts.passkeys.add(mia, asked.id, "phone", made)


async def test_only_so_many(accounts, mia, monkeypatch):
    monkeypatch.setattr(module, "MAX_PASSKEYS", 2)
    for _ in range(2):
        await add(accounts, mia, FakeAuthenticator(ORIGIN))
    with pytest.raises(TooManyError):
        await add(accounts, mia, FakeAuthenticator(ORIGIN))


# --- whatever comes ------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle")


@given(field=st.sampled_from(FIELDS), value=JSON | st.binary(max_size=80), cut=st.integers(0, 200))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_client_sends_ends_in_a_documented_error(
    accounts, with_passkey, key, field, value, cut
):
    from webauthn.helpers import bytes_to_base64url

    accounts.passkeys._throttle._full_until.clear()
    other = FakeAuthenticator(ORIGIN)
    registration = await accounts.passkeys.registration(with_passkey)
    made = other.make(registration.options)
    challenge = await accounts.passkeys.challenge()
    used = key.use(challenge.options)
    for credential in (made, used):
        whole = copy.deepcopy(credential["response"].get(field, ""))
        if isinstance(value, bytes):
            credential["response"][field] = whole[:cut] + bytes_to_base64url(value)
        else:
            credential["response"][field] = value
    try:
        await accounts.passkeys.add(with_passkey, registration.id, "x", made)
    except InvalidRequestError:
        pass
    else:
        (mine,) = [
            p for p in (await accounts.people.account(with_passkey)).passkeys if p.name == "x"
        ]
        await accounts.passkeys.remove(with_passkey, mine.id)
    try:
        signed_in = await accounts.passkeys.sign_in(challenge.id, used)
    except WrongCredentialsError:
        return
    await accounts.service.sign_out(signed_in.actor)
