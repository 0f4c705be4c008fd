"""Each fuzzing target with its seeds and a few thousand changed ones; `scripts/fuzz` does more."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.targets import TARGETS

RUNS = 300
MAX_BYTES = 8192
SEED = 2047


def changed(seed: bytes, dice: random.Random) -> bytes:
    """Some bytes replaced, removed, doubled or cut off."""
    data = bytearray(seed or b"\0")
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(data)) if data else 0
        match dice.randrange(5):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                data[at : at + 1] = bytes([dice.choice((0, 1, 0x7F, 0x80, 0xFF))])
            case 2:
                del data[at : at + dice.randint(1, 16)]
            case 3:
                data[at:at] = data[at : at + dice.randint(1, 64)]
            case _:
                data[at:at] = dice.randbytes(dice.randint(1, 16))
    return bytes(data[:MAX_BYTES])


@pytest.mark.parametrize("name", list(TARGETS))
def test_nothing_but_documented_errors(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    dice = random.Random(SEED)
    for seed in seeds:
        target.run(seed[:MAX_BYTES])
    for _ in range(RUNS):
        target.run(changed(dice.choice(seeds), dice))
