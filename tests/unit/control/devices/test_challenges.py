import pytest

from earthshine.control.devices import challenges
from earthshine.control.devices.challenges import LIFE, Challenges
from earthshine.control.devices.errors import StaleChallengeError
from earthshine.control.errors import TooManyError


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def test_a_challenge_is_good_once():
    book = Challenges()
    text = book.issue()
    book.check(text)
    book.check(text)
    book.use(text)
    for spent in (book.check, book.use):
        with pytest.raises(StaleChallengeError):
            spent(text)


def test_it_is_good_for_a_minute():
    clock = Clock()
    book = Challenges(clock)
    text = book.issue()
    clock.now += LIFE - 1
    book.check(text)
    clock.now += 1
    with pytest.raises(StaleChallengeError):
        book.check(text)


def test_another_servers_or_a_made_up_one_is_refused():
    text = Challenges().issue()
    book = Challenges()
    mine = book.issue()
    changed = ("B" if mine[0] == "A" else "A") + mine[1:]
    for wrong in (text, changed, mine + "=", mine + "A", mine[:-1], "", "é", "\ud800", "A" * 128):
        with pytest.raises(StaleChallengeError):
            book.check(wrong)


def test_what_is_remembered_is_bounded_and_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(challenges, "MAX_USED", 2)
    clock = Clock()
    book = Challenges(clock)
    for _ in range(2):
        book.use(book.issue())
    with pytest.raises(TooManyError):
        book.use(book.issue())
    clock.now += LIFE
    book.use(book.issue())
    assert len(book._used) == 1
