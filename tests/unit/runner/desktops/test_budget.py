"""How often something is started again."""

from __future__ import annotations

from earthshine.runner.desktops.holder.budget import (
    FIRST_DELAY,
    MAX_RESTARTS,
    WINDOW_SECONDS,
    RestartBudget,
)


def test_each_restart_waits_twice_as_long_until_there_are_no_more() -> None:
    budget = RestartBudget()
    waits = [budget.spend(second) for second in range(MAX_RESTARTS + 1)]
    assert waits == [FIRST_DELAY * 2**n for n in range(MAX_RESTARTS)] + [None]
    assert budget.total == MAX_RESTARTS


def test_time_restores_it() -> None:
    budget = RestartBudget()
    for second in range(MAX_RESTARTS):
        budget.spend(second)
    assert budget.spend(MAX_RESTARTS + WINDOW_SECONDS) == FIRST_DELAY


def test_so_does_somebody_who_asks() -> None:
    budget = RestartBudget()
    for _ in range(MAX_RESTARTS + 1):
        budget.spend(0)
    budget.restore()
    assert budget.spend(0) == FIRST_DELAY
