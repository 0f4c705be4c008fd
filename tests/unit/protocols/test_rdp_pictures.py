"""Rectangles of an RDP server's pictures, made as wide as their rows."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols.rdp_pictures import ServerPictures

SCREEN = (0, 0, 1023, 3, 1024, 4)
"""Left, top, right, bottom; width and height of the bitmap."""


def rectangles(*all_of_them, kind=1):
    parts = [struct.pack("<HH", kind, len(all_of_them))]
    for left, top, right, bottom, width, height in all_of_them:
        pixels = bytes(range(width % 7))
        head = (left, top, right, bottom, width, height, 32, 0x401, len(pixels))
        parts.append(struct.pack("<9H", *head) + pixels)
    return b"".join(parts)


def slow(update, pdu=0x17, data_kind=2, compression=0):
    data = struct.pack("<IBBHBBH", 1, 0, 1, len(update), data_kind, compression, 0) + update
    share = struct.pack("<HHH", 6 + len(data), pdu, 1002) + data
    size = (len(share) | 0x8000).to_bytes(2)
    mcs = b"\x68\0\x01\x03\xeb\x70" + size + share
    return b"\x03\0" + (len(mcs) + 7).to_bytes(2) + b"\x02\xf0\x80" + mcs


def fast(update, header=1):
    body = bytes([header]) + len(update).to_bytes(2, "little") + update
    return b"\0" + (len(body) + 3 | 0x8000).to_bytes(2) + body


def drawn(*all_of_them, wrap=slow):
    """Where a client draws these, on a screen that was drawn as a whole before."""
    pictures = ServerPictures()
    pictures.receive(wrap(rectangles(SCREEN)))
    message = wrap(rectangles(*all_of_them))
    passed = pictures.receive(message)
    assert len(passed) == len(message)
    found, at = [], passed.index(rectangles(*all_of_them)[:4]) + 4
    for one in all_of_them:
        found.append(struct.unpack_from("<6H", passed, at))
        at += 18 + one[4] % 7
    return found


@pytest.mark.parametrize("wrap", [slow, fast])
def test_a_rectangle_gets_the_width_of_its_rows(wrap):
    plain = (8, 50, 15, 62, 8, 13)
    padded = (20, 50, 25, 62, 8, 13)
    assert drawn(plain, padded, wrap=wrap) == [plain, (20, 50, 27, 62, 8, 13)]


def test_at_the_right_edge_it_stays_on_the_screen():
    assert drawn((1018, 0, 1023, 9, 8, 10)) == [(1016, 0, 1023, 9, 8, 10)]


def test_a_screen_that_becomes_smaller_is_learned_again():
    pictures = ServerPictures()
    pictures.receive(slow(rectangles(SCREEN)))
    pictures.receive(slow(b"", pdu=0x16))
    pictures.receive(slow(rectangles((0, 0, 639, 3, 640, 4))))
    passed = pictures.receive(slow(rectangles((636, 0, 638, 3, 4, 4))))
    assert struct.pack("<4H", 636, 0, 639, 3) in passed


@pytest.mark.parametrize(
    "message",
    [
        slow(rectangles((20, 50, 25, 62, 8, 13), kind=2)),
        slow(rectangles((20, 50, 25, 62, 8, 13)), data_kind=31),
        slow(rectangles((20, 50, 25, 62, 8, 13)), compression=0x21),
        fast(rectangles((20, 50, 25, 62, 8, 13)), header=0x21),
        fast(rectangles((20, 50, 25, 62, 8, 13)), header=2),
        slow(rectangles((20, 50, 25, 62, 8, 13))[:15]),
        b"\x03\0\0\x0b\x06\xd0\0\0\x12\x34\0",
    ],
    ids=["palette", "another", "compressed", "fragment", "other fast path", "cut short", "confirm"],
)
def test_everything_else_is_passed_as_it_is(message):
    pictures = ServerPictures()
    pictures.receive(slow(rectangles(SCREEN)))
    assert pictures.receive(message) == message


def test_a_message_is_passed_when_it_is_whole():
    message = slow(rectangles(SCREEN))
    pictures = ServerPictures()
    assert pictures.receive(message[:9]) == b""
    assert pictures.receive(message[9:] + message[:3]) == message
    assert pictures.receive(message[3:]) == message


@given(st.lists(st.binary(max_size=80), max_size=12))
def test_no_byte_is_lost_or_added(parts):
    pictures = ServerPictures()
    passed = b"".join(pictures.receive(part) for part in parts)
    sent = b"".join(parts)
    assert len(sent) - len(passed) < 2**16
    assert len(passed) <= len(sent)
    if sent[:1] and sent[0] not in (0, 3) and sent[0] & 3:
        assert passed == sent


@given(st.integers(0, 1023), st.integers(1, 1024), st.integers(0, 3), st.data())
def test_a_rectangle_never_leaves_the_screen(left, width, padding, data):
    right = min(1023, left + width - 1)
    rows = right - left + 1 + padding
    cut = data.draw(st.integers(0, 60))
    pictures = ServerPictures()
    pictures.receive(slow(rectangles(SCREEN)))
    message = slow(rectangles((left, 0, right, 3, rows, 4)))
    passed = pictures.receive(message[:cut]) + pictures.receive(message[cut:])
    at = message.index(struct.pack("<HH", 1, 1)) + 4
    new_left, _, new_right, _ = struct.unpack_from("<4H", passed, at)
    assert 0 <= new_left <= left
    assert new_right <= 1023
    assert new_right - new_left + 1 == (rows if rows <= 1024 else right - left + 1)
