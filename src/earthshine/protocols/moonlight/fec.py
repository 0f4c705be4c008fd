"""Reed-Solomon parity as GameStream uses it: GF(2^8) with polynomial 0x11D and two fixed matrices.

Video blocks carry a systematic Cauchy code: with ``p`` parity shards, parity row j and data
column i have the coefficient 1 / ((p + i) XOR j). Any ``d`` of ``d + p`` shards restore all, as
long as d + p <= 255. Audio uses a fixed 2 x 4 matrix.

How it is fast: with L a power of two and g a multiple of L, the coefficients of rows g to g + L - 1
in one column are 1 / (a XOR k), k = 0..L-1, with a = (p + i) XOR g. So one table per byte ``a``
holds, for every data byte, L product bytes side by side, and one lookup yields L parity bytes.
The tables do not depend on the shard counts: 64 KiB x L for L = 8, 16 and 32 lanes, made on demand.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from earthshine.protocols.moonlight.errors import MoonlightError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Octets = NDArray[np.uint8]
    Indices = NDArray[np.intp]

MAX_SHARDS = 255
AUDIO_DATA = 4
AUDIO_PARITY = 2

_POLYNOMIAL = 0x11D
_LANES = (8, 16, 32)
_AUDIO_MATRIX = ((0x77, 0x40, 0x38, 0x0E), (0xC7, 0xA7, 0x0D, 0x6C))


class FecError(MoonlightError):
    """Too few shards to restore the missing ones, or impossible shard counts."""


def _field() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    exponent = np.zeros(512, np.int64)
    logarithm = np.zeros(256, np.int64)
    value = 1
    for power in range(255):
        exponent[power] = exponent[power + 255] = value
        logarithm[value] = power
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return exponent, logarithm


_EXP, _LOG = _field()
_MULTIPLY: Octets = np.zeros((256, 256), np.uint8)
_MULTIPLY[1:, 1:] = _EXP[_LOG[1:, None] + _LOG[None, 1:]]
# 1/0 is only looked up for lanes beyond the last parity row, whose results are thrown away.
_INVERSE: Octets = np.zeros(256, np.uint8)
_INVERSE[1:] = _EXP[255 - _LOG[1:]]


@functools.cache
def _tables(lanes: int) -> NDArray[np.void]:
    """Entry [a, v]: ``lanes`` bytes, the k-th being v / (a XOR k)."""
    coefficients = _INVERSE[np.arange(256)[:, None] ^ np.arange(lanes)]
    products = _MULTIPLY[coefficients].transpose(0, 2, 1)
    return np.ascontiguousarray(products).view(f"V{lanes}").reshape(256, 256)


def prepare() -> None:
    """Make all tables now, so that the first frame does not wait for them (some 20 ms, once)."""
    for lanes in _LANES:
        _tables(lanes)


def encode(data: Octets, parity_count: int, out: Octets | None = None) -> Octets:
    """Parity of ``data`` (d x size bytes) as a p x size array, written to ``out`` if given.

    Raises `FecError` unless 1 <= d, 1 <= p and d + p <= `MAX_SHARDS`.
    """
    count, size = data.shape
    if count < 1 or parity_count < 1 or count + parity_count > MAX_SHARDS:
        raise FecError(f"{count} data and {parity_count} parity shards do not form a code")
    parity = np.empty((parity_count, size), np.uint8) if out is None else out
    rows = data.astype(np.intp)
    columns = [parity_count + column for column in range(count)]
    for start, lanes in _groups(parity_count):
        last = min(start + lanes, parity_count)
        parity[start:last] = _combine(columns, rows, start, lanes)[: last - start]
    return parity


def recover(
    data: Octets,
    missing: Sequence[int],
    parity: Octets,
    parity_rows: Sequence[int],
    parity_count: int,
) -> None:
    """Fill the ``missing`` rows of ``data`` (d x size) in place.

    ``parity`` holds the received parity shards, ``parity_rows`` which of the ``parity_count`` they
    are. Content of missing rows is ignored. Raises `FecError` when more is missing than was
    received.
    """
    count = data.shape[0]
    if not missing:
        return
    if len(missing) > len(parity_rows) or count + parity_count > MAX_SHARDS:
        raise FecError(f"{len(missing)} shards are missing, {len(parity_rows)} parity shards came")
    used = list(parity_rows[: len(missing)])
    lost = set(missing)
    present = [row for row in range(count) if row not in lost]
    syndromes = parity[: len(missing)].copy()
    if present:
        columns = [parity_count + row for row in present]
        rows = data[present].astype(np.intp)
        for start, lanes in _groups(max(used) + 1):
            wanted = [n for n, row in enumerate(used) if start <= row < start + lanes]
            if wanted:
                partial = _combine(columns, rows, start, lanes)
                syndromes[wanted] ^= partial[[used[n] - start for n in wanted]]
    inverse = _cauchy_inverse(used, [parity_count + row for row in missing])
    data[list(missing)] = _multiply(inverse, syndromes)


def _groups(count: int) -> list[tuple[int, int]]:
    """Cut rows 0 to count - 1 into (first row, lanes), few lookups first."""
    groups: list[tuple[int, int]] = []
    start = 0
    while start < count:
        lanes = next((n for n in _LANES if count - start <= n), _LANES[-1])
        groups.append((start, lanes))
        start += lanes
    return groups


def _combine(columns: Sequence[int], rows: Indices, start: int, lanes: int) -> Octets:
    """Rows ``start`` to ``start + lanes - 1`` of the code over the given columns."""
    size = rows.shape[1]
    tables = _tables(lanes)
    products = np.empty(size, tables.dtype)
    words = products.view(np.uint64)
    total = np.zeros(size * lanes // 8, np.uint64)
    for column, row in zip(columns, rows, strict=True):
        tables[column ^ start].take(row, out=products, mode="clip")
        np.bitwise_xor(total, words, out=total)
    return total.view(np.uint8).reshape(size, lanes).T


def _multiply(matrix: Octets, rows: Octets) -> Octets:
    """``matrix`` (m x n) times ``rows`` (n x size) over the field."""
    result = np.empty((matrix.shape[0], rows.shape[1]), np.uint8)
    indices = rows.astype(np.intp)
    for start, lanes in _groups(matrix.shape[0]):
        part = np.zeros((lanes, matrix.shape[1]), np.uint8)
        last = min(start + lanes, matrix.shape[0])
        part[: last - start] = matrix[start:last]
        total = np.zeros((rows.shape[1], lanes), np.uint8)
        for column, row in enumerate(indices):
            table = np.ascontiguousarray(_MULTIPLY[part[:, column]].T)
            np.bitwise_xor(total, table.take(row, axis=0), out=total)
        result[start:last] = total.T[: last - start]
    return result


def _cauchy_inverse(rows: Sequence[int], columns: Sequence[int]) -> Octets:
    """Inverse of the square matrix 1 / (x XOR y), x over ``rows`` and y over ``columns``.

    In closed form: entry (i, j) = prod_k (x_j + y_k)(x_k + y_i) /
    ((x_j + y_i) prod_{k != j} (x_j + x_k) prod_{k != i} (y_i + y_k)), with + being XOR.
    """
    x = np.asarray(rows, np.int64)
    y = np.asarray(columns, np.int64)
    cross = _LOG[x[:, None] ^ y[None, :]]
    own_x = _LOG[x[:, None] ^ x[None, :]].sum(axis=1)  # log 0 is stored as 0 and adds nothing
    own_y = _LOG[y[:, None] ^ y[None, :]].sum(axis=1)
    powers = (
        cross.sum(axis=1)[None, :]
        + cross.sum(axis=0)[:, None]
        - cross.T
        - own_x[None, :]
        - own_y[:, None]
    )
    inverse: Octets = _EXP[powers % 255].astype(np.uint8)
    return inverse


# -- audio ------------------------------------------------------------------------------------


@functools.cache
def _translation(coefficient: int) -> bytes:
    row: Octets = _MULTIPLY[coefficient]
    return row.tobytes()


def _weighted(shards: Sequence[tuple[int, bytes]], size: int) -> int:
    total = 0
    for coefficient, shard in shards:
        total ^= int.from_bytes(shard.translate(_translation(coefficient)), "big")
    assert total.bit_length() <= 8 * size
    return total


def encode_audio(data: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The two parity shards of four equally long data shards. Raises `FecError`."""
    if len(data) != AUDIO_DATA or len({len(shard) for shard in data}) != 1:
        raise FecError("audio parity needs four shards of one length")
    size = len(data[0])
    first, second = (
        _weighted(list(zip(row, data, strict=True)), size).to_bytes(size, "big")
        for row in _AUDIO_MATRIX
    )
    return first, second


def recover_audio(data: Sequence[bytes | None], parity: Sequence[bytes | None]) -> list[bytes]:
    """All four data shards from at least four of six. None marks a missing shard.

    Raises `FecError` when too many are missing or their lengths differ.
    """
    missing = [index for index, shard in enumerate(data) if shard is None]
    rows = [index for index, shard in enumerate(parity) if shard is not None][: len(missing)]
    lengths = {len(shard) for shard in (*data, *parity) if shard is not None}
    if len(data) != AUDIO_DATA or len(rows) < len(missing) or len(lengths) != 1:
        raise FecError("audio block cannot be restored")
    size = lengths.pop()
    whole = [shard if shard is not None else bytes(size) for shard in data]
    syndromes = [
        _weighted(list(zip(_AUDIO_MATRIX[row], whole, strict=True)), size)
        ^ int.from_bytes(parity[row] or b"", "big")
        for row in rows
    ]
    solved = _solve_audio(rows, missing, [value.to_bytes(size, "big") for value in syndromes])
    for index, shard in zip(missing, solved, strict=True):
        whole[index] = shard
    return whole


def _solve_audio(rows: list[int], missing: list[int], syndromes: list[bytes]) -> list[bytes]:
    size = len(syndromes[0]) if syndromes else 0
    if len(missing) < 2:
        inverse = [
            [int(_INVERSE[_AUDIO_MATRIX[row][column]])] for row in rows for column in missing
        ]
    else:
        (a, b), (c, d) = ([_AUDIO_MATRIX[row][column] for column in missing] for row in rows)
        determinant = int(_MULTIPLY[a, d] ^ _MULTIPLY[b, c])
        scale = int(_INVERSE[determinant])
        inverse = [[int(_MULTIPLY[scale, v]) for v in pair] for pair in ((d, b), (c, a))]
    return [
        _weighted(list(zip(line, syndromes, strict=True)), size).to_bytes(size, "big")
        for line in inverse
    ]
