"""Who types: every way in which control changes hands."""

import pytest

from earthshine.runner.desktops.viewers.control import NOBODY, Control, Seat

ANNA, OTTO, GUEST = 1, 2, 3


@pytest.fixture
def control() -> Control:
    control = Control()
    control.joined(ANNA, Seat("Anna", "owner", may_control=True))
    control.joined(OTTO, Seat("Otto", "controller", may_control=True))
    control.joined(GUEST, Seat("Guest", "viewer", may_control=False))
    return control


def test_nobody_has_it_at_first(control):
    assert control.holder == NOBODY


def test_the_first_who_types_takes_it(control):
    assert control.acted(ANNA, takes=True)
    assert control.holder == ANNA


def test_passing_by_with_the_pointer_does_not_take_it(control):
    assert not control.acted(ANNA, takes=False)
    assert control.holder == NOBODY


def test_input_counts_only_from_who_has_it(control):
    control.taken(ANNA)
    assert control.acted(ANNA, takes=False)
    assert not control.acted(OTTO, takes=True)
    assert control.holder == ANNA


def test_it_can_be_taken_from_another(control):
    control.taken(ANNA)
    assert control.taken(OTTO)
    assert control.holder == OTTO


def test_asking_is_shown_to_all_until_it_is_given(control):
    control.taken(ANNA)
    assert control.asked(OTTO)
    assert control.holder == ANNA
    assert [one.number for one in control.seen_by(ANNA) if one.asks] == [OTTO]
    assert control.given(ANNA, OTTO)
    assert control.holder == OTTO
    assert not any(one.asks for one in control.seen_by(ANNA))


def test_asking_takes_what_nobody_has(control):
    assert control.asked(OTTO)
    assert control.holder == OTTO


def test_only_who_has_it_can_give_it(control):
    control.taken(ANNA)
    assert not control.given(OTTO, OTTO)
    assert control.holder == ANNA


@pytest.mark.parametrize("to", [GUEST, 99])
def test_it_is_not_given_to_who_may_not_have_it(control, to):
    control.taken(ANNA)
    assert not control.given(ANNA, to)
    assert control.holder == ANNA


def test_it_can_be_given_up(control):
    control.taken(ANNA)
    assert control.given(ANNA, NOBODY)
    assert control.holder == NOBODY


def test_leaving_gives_it_up(control):
    control.taken(ANNA)
    control.left(ANNA)
    assert control.holder == NOBODY
    assert [one.name for one in control.seen_by(OTTO)] == ["Otto", "Guest"]


def test_who_only_watches_gets_it_in_no_way(control):
    assert not control.taken(GUEST)
    assert not control.asked(GUEST)
    assert not control.acted(GUEST, takes=True)
    assert control.holder == NOBODY


def test_a_role_that_may_no_longer_gives_it_up(control):
    control.taken(OTTO)
    control.role_changed(OTTO, "viewer", may_control=False)
    assert control.holder == NOBODY
    assert not control.taken(OTTO)
    control.role_changed(OTTO, "controller", may_control=True)
    assert control.taken(OTTO)


def test_everybody_is_told_which_one_they_are(control):
    assert [one.number for one in control.seen_by(OTTO) if one.you] == [OTTO]
