"""Own client against own host over a bad network, as processes of their own.

A sample here; `python -m benchmarks moonlight_matrix` runs all 180 combinations.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.moonlight_processes import ALL_CASES, Arena, Case, faults, running_arena

pytestmark = pytest.mark.serial
SEED = 20
SAMPLE = 14


def sample() -> list[Case]:
    """Drawn at random, but so that every value of every column occurs."""
    draw = random.Random(SEED)
    missing = {(name, value) for case in ALL_CASES for name, value in vars(case).items()}
    chosen: list[Case] = []
    while missing or len(chosen) < SAMPLE:
        case = draw.choice(ALL_CASES)
        values = set(vars(case).items())
        if case not in chosen and (values & missing or not missing):
            chosen.append(case)
            missing -= values
    return chosen


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with running_arena(tmp_path_factory.mktemp("matrix")) as arena:
        yield arena


@pytest.mark.parametrize("case", sample(), ids=str)
def test_what_arrives_is_what_was_drawn(arena: Arena, case: Case) -> None:
    found = arena.run(case)
    assert faults(case, found) == [], found
