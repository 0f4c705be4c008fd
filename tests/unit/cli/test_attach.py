from __future__ import annotations

import pytest

from earthshine.cli.attach import EscapeKeys


@pytest.mark.parametrize(
    ("reads", "passed", "leaves"),
    [
        ([b"ls\r"], b"ls\r", False),
        ([b"\x1dd"], b"", True),
        ([b"\x1d", b"d"], b"", True),
        ([b"abc\x1dd"], b"abc", True),
        ([b"\x1dx"], b"\x1dx", False),
        ([b"\x1d\x1dd"], b"\x1d", True),
        ([b"d"], b"d", False),
        ([b"\x1d"], b"", False),
    ],
)
def test_only_the_escape_key_followed_by_d_leaves(
    reads: list[bytes], passed: bytes, leaves: bool
) -> None:
    keys = EscapeKeys()
    results = [keys.feed(read) for read in reads]
    assert b"".join(part for part, _ in results) == passed
    assert any(leave for _, leave in results) is leaves
