"""One-time passwords: good once, for a while, for one desktop."""

import pytest

from earthshine.protocols.rfb import vnc_response
from earthshine.runner.desktops.rdp import offers as module
from earthshine.runner.desktops.rdp.offers import (
    Offer,
    Offers,
    TooManyOffersError,
    Wrong,
    WrongPasswordError,
)

CHALLENGE = bytes(range(16))


def answer(password: str) -> bytes:
    return vnc_response(password.encode(), CHALLENGE)


def why_not(offers: Offers, offer: Offer, now: float) -> Wrong:
    with pytest.raises(WrongPasswordError) as refused:
        offers.redeem(CHALLENGE, answer(offer.password), now)
    assert refused.value.offer_id in ("", offer.offer_id)
    return refused.value.why


def test_a_password_opens_once():
    offers = Offers()
    one = offers.issue(view_only=False, seconds=60, now=0)
    other = offers.issue(view_only=True, seconds=60, now=0)
    assert one.password != other.password
    assert offers.waiting(1) == 2
    assert offers.redeem(CHALLENGE, answer(one.password), 1) is one
    assert why_not(offers, one, 2) is Wrong.USED
    assert offers.redeem(CHALLENGE, answer(other.password), 3) is other
    assert offers.waiting(3) == 0


def test_a_password_expires():
    offers = Offers()
    offer = offers.issue(view_only=False, seconds=60, now=0)
    assert why_not(offers, offer, 60) is Wrong.EXPIRED
    offers.issue(view_only=False, seconds=60, now=60 + module.REMEMBER_SECONDS)
    assert why_not(offers, offer, 700) is Wrong.UNKNOWN


def test_a_password_can_be_withdrawn():
    offers = Offers()
    offer = offers.issue(view_only=False, seconds=60, now=0)
    offers.withdraw(offer.offer_id)
    assert why_not(offers, offer, 1) is Wrong.WITHDRAWN


def test_what_never_was_a_password():
    offers = Offers()
    offers.issue(view_only=False, seconds=60, now=0)
    assert why_not(offers, Offer("", "guess", False, 9), 1) is Wrong.UNKNOWN
    with pytest.raises(WrongPasswordError):
        offers.redeem(CHALLENGE, b"", 1)


def test_there_is_a_limit_and_what_was_used_does_not_count():
    offers = Offers()
    issued = [offers.issue(view_only=False, seconds=60, now=0) for _ in range(module.MAX_OFFERS)]
    with pytest.raises(TooManyOffersError):
        offers.issue(view_only=False, seconds=60, now=1)
    offers.redeem(CHALLENGE, answer(issued[0].password), 1)
    offers.issue(view_only=False, seconds=60, now=1)


def test_a_password_is_in_no_text_about_it():
    offer = Offers().issue(view_only=False, seconds=60, now=0)
    assert offer.password not in repr(offer)
