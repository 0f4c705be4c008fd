"""Reed-Solomon: reference vectors, every loss pattern that must and must not be repaired."""

import hashlib
import itertools
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from earthshine.protocols.moonlight import fec
from earthshine.protocols.moonlight.fec import FecError

PAIRS = [(1, 2), (2, 2), (4, 2), (10, 3), (50, 10), (100, 20), (127, 127), (200, 40), (212, 43)]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=PAIRS, ids=str)
def vector(request, recording):
    vectors = recording("fec_video.json")["vectors"]
    return next(
        v for v in vectors if (v["data"], v["parity"]) == request.param and v["matrix"] == "cauchy"
    )


@pytest.fixture(scope="module")
def audio_vector(recording):
    return next(v for v in recording("fec_video.json")["vectors"] if v["matrix"] == "audio")


def shards(recording: Any, vector: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    octets = recording("fec_video.bin")
    data = octets[vector["input_offset"] : vector["input_offset"] + vector["input_length"]]
    parity = octets[vector["parity_offset"] : vector["parity_offset"] + vector["parity_length"]]
    assert (sha(data), sha(parity)) == (vector["input_sha256"], vector["parity_sha256"])
    size = vector["shard_size"]
    return (
        np.frombuffer(data, np.uint8).reshape(-1, size),
        np.frombuffer(parity, np.uint8).reshape(-1, size),
    )


def test_parity_equals_the_reference(vector, recording):
    data, parity = shards(recording, vector)
    assert (fec.encode(data, vector["parity"]) == parity).all()


def test_losses_are_repaired_like_the_reference(vector, recording):
    data, parity = shards(recording, vector)
    count = vector["data"]
    for erasure in vector["erasures"]:
        missing = [index for index in erasure["missing"] if index < count]
        rows = [r for r in range(vector["parity"]) if count + r not in erasure["missing"]]
        damaged = data.copy()
        damaged[missing] = 0xAA
        if not erasure["recoverable"]:
            with pytest.raises(FecError):
                fec.recover(damaged, missing, parity[rows], rows, vector["parity"])
            continue
        fec.recover(damaged, missing, parity[rows], rows, vector["parity"])
        assert (damaged == data).all()
        if missing:
            joined = b"".join(damaged[index].tobytes() for index in missing)
            assert sha(joined) == erasure["recovered_all_sha256"]


def test_every_pattern_of_a_small_code():
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, (4, 7), dtype=np.uint8)
    parity = fec.encode(data, 3)
    for kept in itertools.combinations(range(7), 4):
        missing = [n for n in range(4) if n not in kept]
        rows = [n - 4 for n in kept if n >= 4]
        damaged = data.copy()
        damaged[missing] = 0
        fec.recover(damaged, missing, parity[rows], rows, 3)
        assert (damaged == data).all()


@pytest.mark.parametrize("parity_count", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 41, 64, 100])
def test_lane_boundaries(parity_count):
    """Each parity row against a plain evaluation of the definition."""
    rng = np.random.default_rng(parity_count)
    data = rng.integers(0, 256, (20, 5), dtype=np.uint8)
    parity = fec.encode(data, parity_count)
    for row in range(parity_count):
        expected = np.zeros(5, np.uint8)
        for column in range(20):
            coefficient = fec._INVERSE[(parity_count + column) ^ row]
            expected ^= fec._MULTIPLY[coefficient, data[column]]
        assert (parity[row] == expected).all()
    missing = list(range(min(20, parity_count)))
    rows = list(range(parity_count))[-len(missing) :]
    damaged = data.copy()
    damaged[missing] = 0
    fec.recover(damaged, missing, parity[rows], rows, parity_count)
    assert (damaged == data).all()


def test_field_is_the_right_one():
    assert fec._MULTIPLY[2, 0x80] == 0x1D
    for value in range(1, 256):
        assert fec._MULTIPLY[value, fec._INVERSE[value]] == 1


def test_parity_is_written_in_place():
    data = np.arange(30, dtype=np.uint8).reshape(3, 10)
    room = np.zeros((5, 10), np.uint8)
    room[:3] = data
    fec.encode(room[:3], 2, out=room[3:])
    assert (room[3:] == fec.encode(data, 2)).all()
    assert (room[:3] == data).all()


@pytest.mark.parametrize(("data", "parity"), [(1, 0), (200, 56), (255, 1)])
def test_impossible_codes_are_refused(data, parity):
    with pytest.raises(FecError):
        fec.encode(np.zeros((data, 4), np.uint8), parity)


def test_nothing_missing_needs_nothing():
    data = np.zeros((2, 4), np.uint8)
    fec.recover(data, [], data[:0], [], 0)
    assert not data.any()
    with pytest.raises(FecError):
        fec.recover(data, [0], data[:0], [], 2)


# -- audio ----------------------------------------------------------------------------------------


def test_audio_parity_equals_the_reference(audio_vector, recording):
    data, parity = shards(recording, audio_vector)
    assert fec.encode_audio([row.tobytes() for row in data]) == (
        parity[0].tobytes(),
        parity[1].tobytes(),
    )


def test_every_audio_loss_up_to_two_is_repaired():
    data = [random.Random(n).randbytes(64) for n in range(4)]
    parity = fec.encode_audio(data)
    for count in range(4):
        for gone in itertools.combinations(range(6), count):
            left = [None if n in gone else shard for n, shard in enumerate(data)]
            rows = [None if n + 4 in gone else shard for n, shard in enumerate(parity)]
            if count <= 2:
                assert fec.recover_audio(left, rows) == data
            elif sum(1 for n in gone if n < 4) > 2 - sum(1 for n in gone if n >= 4):
                with pytest.raises(FecError):
                    fec.recover_audio(left, rows)


def test_audio_shards_must_have_one_length():
    with pytest.raises(FecError):
        fec.encode_audio([b"a", b"b", b"c", b"dd"])
    with pytest.raises(FecError):
        fec.encode_audio([b"a"] * 3)
    with pytest.raises(FecError):
        fec.recover_audio([None, b"a", b"b", b"c"], [b"dd", None])
    assert fec.encode_audio([b""] * 4) == (b"", b"")
