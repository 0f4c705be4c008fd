"""The device flow, as a play between a program, a person and a clock."""

import contextlib
from datetime import timedelta

import pytest

from earthshine.control.access import Scope
from earthshine.control.accounts import device_flow
from earthshine.control.accounts.device_flow import ALPHABET, DeviceFlowService
from earthshine.control.accounts.errors import (
    AccessDeniedError,
    AuthorizationPendingError,
    ExpiredTokenError,
    SlowDownError,
)
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    TooManyError,
)

URL = "https://earth.example"
SCOPES = [Scope.READ, Scope.CONTROL]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def flows(accounts, clock, trail):
    return DeviceFlowService(
        accounts.people.access,
        accounts.passwords._throttle,
        trail,
        sign_ins=accounts.sign_ins,
        clock=clock,
    )


@pytest.fixture
async def browser(accounts, mia):
    signed_in = await accounts.sign_ins.issue(mia.person_id, "browser", timedelta(days=1))
    return signed_in.actor


async def start(flows):
    return await flows.start("laptop", SCOPES, URL)


async def test_a_program_is_let_in(flows, browser, accounts, clock, origin, trail):
    origin("203.0.113.9", "earthshine-cli")
    flow = await start(flows)
    assert flow.verification_uri == f"{URL}/device"
    assert flow.verification_uri_complete == f"{URL}/device?code={flow.user_code}"
    assert (flow.interval, flow.expires_in) == (5, 600)
    left, dash, right = flow.user_code.partition("-")
    assert (len(left), dash, len(right)) == (4, "-", 4)
    assert set(left + right) <= set(ALPHABET)
    with pytest.raises(AuthorizationPendingError):
        await flows.collect(flow.device_code)

    origin("198.51.100.1", "Firefox")
    shown = await flows.look_up(browser, flow.user_code)
    assert (shown.client_name, shown.address) == ("laptop", "203.0.113.9")
    assert shown.scopes == ["control", "read"]
    await flows.decide(browser, flow.user_code, approve=True)
    assert trail.notes[-1].kind is AuditKind.DEVICE_APPROVED
    assert trail.notes[-1].details["asked_from"] == "203.0.113.9"

    clock.now += 5
    token = await flows.collect(flow.device_code)
    actor = await accounts.service.authenticate(token.token)
    assert (actor.person_id, actor.scopes) == (browser.person_id, set(SCOPES))
    assert token.person == "mia"
    clock.now += 5
    with pytest.raises(ExpiredTokenError):
        await flows.collect(flow.device_code)
    with pytest.raises(NotFoundError):
        await flows.look_up(browser, flow.user_code)


@pytest.mark.parametrize("typed", ["{}", " {} ", "lower", "nodash", "spaced"])
async def test_a_code_is_understood_however_it_is_typed(flows, browser, typed):
    code = (await start(flows)).user_code
    forms = {"lower": code.lower(), "nodash": code.replace("-", ""), "spaced": " ".join(code)}
    shown = await flows.look_up(browser, forms.get(typed, typed.format(code)))
    assert shown.user_code == code


async def test_somebody_says_no(flows, browser, clock):
    flow = await start(flows)
    await flows.decide(browser, flow.user_code, approve=False)
    with pytest.raises(ConflictError):
        await flows.decide(browser, flow.user_code, approve=True)
    with pytest.raises(AccessDeniedError):
        await flows.collect(flow.device_code)
    clock.now += 5
    with pytest.raises(ExpiredTokenError):
        await flows.collect(flow.device_code)


async def test_nobody_decides_in_time(flows, browser, clock):
    flow = await start(flows)
    clock.now += 600
    with pytest.raises(ExpiredTokenError):
        await flows.collect(flow.device_code)
    with pytest.raises(NotFoundError):
        await flows.decide(browser, flow.user_code, approve=True)


async def test_a_program_that_asks_too_often_has_to_slow_down(flows, clock):
    flow = await start(flows)
    with pytest.raises(AuthorizationPendingError):
        await flows.collect(flow.device_code)
    clock.now += 1
    with pytest.raises(SlowDownError) as caught:
        await flows.collect(flow.device_code)
    assert caught.value.retry_after == 10
    clock.now += 5
    with pytest.raises(SlowDownError) as caught:
        await flows.collect(flow.device_code)
    assert caught.value.retry_after == 15
    clock.now += 15
    with pytest.raises(AuthorizationPendingError):
        await flows.collect(flow.device_code)


async def test_who_approved_and_was_signed_out_since_lets_nobody_in(
    flows, browser, accounts, clock
):
    flow = await start(flows)
    await flows.decide(browser, flow.user_code, approve=True)
    await accounts.service.sign_out(browser)
    with pytest.raises(AccessDeniedError):
        await flows.collect(flow.device_code)


async def test_nobody_lets_in_what_may_more_than_themselves(flows, accounts, mia):
    made = await accounts.tokens.make(mia, "small", [Scope.ACCOUNT, Scope.READ], 1)
    actor = await accounts.service.authenticate(made.token)
    flow = await start(flows)
    with pytest.raises(NotAllowedError):
        await flows.decide(actor, flow.user_code, approve=True)


async def test_guessing_codes_is_limited(flows, browser, origin):
    origin("192.0.2.1")
    await start(flows)
    with pytest.raises(TooManyError):
        for number in range(100):
            with contextlib.suppress(NotFoundError):
                await flows.look_up(browser, f"BCDF-{ALPHABET[number % 20]}XXX")


async def test_a_wrong_device_code(flows):
    for code in ("", "x", "\ud800"):
        with pytest.raises(ExpiredTokenError):
            await flows.collect(code)
    assert device_flow.LENGTH == 8
