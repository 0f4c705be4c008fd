"""Limits on guessing: what is charged, to whom, and that nobody is locked out."""

import pytest

from earthshine.control.errors import ConflictError, SignInRequiredError, TooManyError
from earthshine.control.origin import LOCAL, Origin, _current
from earthshine.control.throttle import MAX_KEYS, Check, Limit, Rules, Throttle, network_of

RULES = {
    check: Rules(
        address=Limit(5, 10.0), pair=Limit(3, 10.0), account=Limit(4, 20.0), code=Limit(2, 60.0)
    )
    for check in Check
}


@pytest.fixture(autouse=True)
def nowhere_afterwards():
    yield
    _current.set(LOCAL)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return Throttle(RULES, clock)


def at(address):
    _current.set(Origin(address))


def fail(throttle, **keys):
    with pytest.raises(SignInRequiredError), throttle.attempt(Check.SIGN_IN, **keys):
        raise SignInRequiredError("wrong")


def refused(throttle, **keys):
    with pytest.raises(TooManyError) as error, throttle.attempt(Check.SIGN_IN, **keys):
        raise AssertionError("the block must not be entered")
    return error.value.retry_after


def succeed(throttle, **keys):
    with throttle.attempt(Check.SIGN_IN, **keys):
        pass


def test_one_address_may_fail_so_often_and_then_waits(throttle, clock):
    at("192.0.2.1")
    for _ in range(5):
        fail(throttle)
    assert refused(throttle) == pytest.approx(10)
    clock.now += 10
    fail(throttle)
    assert refused(throttle) == pytest.approx(10), "the wait does not grow"
    at("192.0.2.2")
    fail(throttle)


def test_success_costs_nothing(throttle):
    at("192.0.2.1")
    for _ in range(50):
        succeed(throttle, account="anna")


def test_attempts_at_once_are_charged_before_they_are_made(throttle):
    at("192.0.2.1")
    under_way = [throttle.attempt(Check.SIGN_IN) for _ in range(6)]
    for attempt in under_way[:5]:
        attempt.__enter__()
    with pytest.raises(TooManyError):
        under_way[5].__enter__()
    for attempt in under_way[:5]:
        attempt.__exit__(None, None, None)
    succeed(throttle)


def test_a_fault_of_ours_is_nobodys_guess(throttle):
    at("192.0.2.1")
    for _ in range(20):
        with pytest.raises(ZeroDivisionError), throttle.attempt(Check.SIGN_IN):
            raise ZeroDivisionError
    succeed(throttle)


def test_an_account_is_guarded_against_many_addresses(throttle):
    for last in range(4):
        at(f"192.0.2.{last}")
        fail(throttle, account="anna")
    at("192.0.2.200")
    assert refused(throttle, account="anna") == pytest.approx(20)
    succeed(throttle, account="ben")


def test_the_owner_is_not_locked_out_where_they_signed_in_before(throttle):
    at("198.51.100.7")
    succeed(throttle, account="anna")
    for last in range(4):
        at(f"192.0.2.{last}")
        fail(throttle, account="anna")
    at("198.51.100.7")
    succeed(throttle, account="anna")


def test_a_code_has_a_few_attempts_from_anywhere(throttle):
    for last in range(2):
        at(f"192.0.2.{last}")
        fail(throttle, code="K7QP")
    at("192.0.2.9")
    assert refused(throttle, code="K7QP") == pytest.approx(60)
    fail(throttle, code="other")


def test_routes_to_the_same_check_share_its_limits_and_others_have_their_own(throttle):
    at("192.0.2.1")
    for _ in range(5):
        fail(throttle)
    with throttle.attempt(Check.PAIRING):
        pass


def test_any_domain_error_is_a_failure(throttle):
    at("192.0.2.1")
    for _ in range(5):
        with pytest.raises(ConflictError), throttle.attempt(Check.SIGN_IN):
            raise ConflictError("no")
    refused(throttle)


def test_spending_is_for_good(throttle):
    at("192.0.2.1")
    for _ in range(4):
        throttle.spend(Check.DIAL, account="anna")
        at("192.0.2.2")
    with pytest.raises(TooManyError):
        throttle.spend(Check.DIAL, account="anna")


def test_the_machine_itself_is_not_limited_by_address(throttle):
    at("local")
    for _ in range(50):
        fail(throttle)


def test_memory_is_bounded(throttle):
    for number in range(MAX_KEYS + 50):
        at(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        fail(throttle)
    assert len(throttle._full_until) == MAX_KEYS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_what_counts_as_one_address(address, network):
    assert network_of(address) == network
