"""Short-lived, single use, bounded."""

from datetime import timedelta

import pytest

from earthshine.control.accounts import pending
from earthshine.control.accounts.pending import Pending


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(clock):
    return Pending[str](timedelta(seconds=60), clock)


def test_it_is_taken_once(kept):
    kept.add("secret", "value")
    assert kept.get("secret") == kept.get("secret") == "value"
    assert kept.take("secret") == "value"
    assert kept.take("secret") is None
    assert len(kept) == 0


def test_it_expires(kept, clock):
    kept.add("secret", "value")
    clock.now += 60
    assert kept.get("secret") is None
    assert kept.take("secret") is None
    assert len(kept) == 0


def test_what_has_expired_goes_when_something_new_comes(kept, clock):
    kept.add("old", "value")
    clock.now += 61
    kept.add("new", "value")
    assert len(kept) == 1


def test_one_address_takes_no_place_from_another(kept, origin, monkeypatch):
    monkeypatch.setattr(pending, "MAX_PER_ADDRESS", 3)
    origin("192.0.2.1")
    kept.add("mine", "value")
    origin("198.51.100.1")
    for number in range(10):
        kept.add(f"theirs {number}", "value")
    assert kept.get("mine") == "value"
    assert len(kept) == 4
    assert kept.get("theirs 9") == "value"


def test_there_is_an_end_to_how_many(kept, origin, monkeypatch):
    monkeypatch.setattr(pending, "MAX_PENDING", 5)
    for number in range(20):
        origin(f"192.0.2.{number}")
        kept.add(str(number), "value")
    assert len(kept) == 5
    assert len(kept._by_address) == 5
