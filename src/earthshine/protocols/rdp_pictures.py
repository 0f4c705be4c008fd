"""What an RDP server draws, in a form that IronRDP draws right.

Rows of a bitmap are padded to a multiple of four pixels; its rectangle is as wide as what is to be
seen of them ([MS-RDPBCGR] 2.2.9.1.1.3.1.2.2). IronRDP 0.7 takes rows to be as wide as the
rectangle: such pictures come out sheared, and one at the bottom of the screen stops it. So every
rectangle is made as wide as its rows. The padding shows: up to three columns beside it.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Final

TPKT_HEADER: Final = 4
_TPKT_VERSION: Final = 3
_SEND_DATA_INDICATION: Final = 0x68
_PDU_DEACTIVATE_ALL: Final = 6
_PDU_DATA: Final = 7
_DATA_UPDATE: Final = 2
_UPDATE_BITMAP: Final = 1
_FAST_PATH_BITMAP: Final = 1
_CONTROL: Final = struct.Struct("<HHH")
"""Share control header: length, type, source; 2.2.8.1.1.1.1."""
_DATA: Final = struct.Struct("<IBBHBBH")
"""Share data header behind it: share, pad, stream, length, type, compression, its length."""
_RECTANGLE: Final = struct.Struct("<9H")
"""TS_BITMAP_DATA: left, top, right, bottom, width, height, depth, flags, bytes that follow."""


class ServerPictures:
    """Reads what a server sends after TLS, and rewrites rectangles in place.

    Lengths never change. What cannot be read is passed on as it is: the browser's client is the one
    who judges it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._right = 0
        """The rightmost column that was ever drawn: the screen is at least so wide."""
        self._lost = False

    def receive(self, data: bytes) -> bytes:
        """All whole messages of `data` and of what was kept before."""
        if self._lost:
            return data
        self._buffer += data
        end = 0
        while (length := self._length(end)) is not None:
            if length == 0:
                self._lost = True
                end = len(self._buffer)
                break
            if len(self._buffer) < end + length:
                break
            with contextlib.suppress(IndexError, struct.error):  # shorter than its fields say
                self._message(end, length)
            end += length
        passed = bytes(self._buffer[:end])
        del self._buffer[:end]
        return passed

    def _length(self, at: int) -> int | None:
        """Of the message that begins there; None: not known yet; 0: that is no message."""
        head = self._buffer[at : at + TPKT_HEADER]
        if not head:
            return None
        if head[0] == _TPKT_VERSION:
            length = int.from_bytes(head[2:4]) if len(head) == TPKT_HEADER else None
            return length if length is None or length >= TPKT_HEADER else 0
        if head[0] & 3:
            return 0
        if len(head) < 3:
            return None
        length = head[1] if not head[1] & 0x80 else (head[1] & 0x7F) << 8 | head[2]
        return length if length > 2 else 0

    def _message(self, at: int, length: int) -> None:
        end = at + length
        if self._buffer[at] == _TPKT_VERSION:
            self._slow(at, end)
        else:
            self._fast(at, end)

    def _slow(self, at: int, end: int) -> None:
        """TPKT, X.224 data, MCS send data indication (T.125), share control."""
        if self._buffer[at + 5] >> 4 != 0xF or self._buffer[at + 7] != _SEND_DATA_INDICATION:
            return
        at += 13
        at += 2 if self._buffer[at] & 0x80 else 1
        kind = _CONTROL.unpack_from(self._buffer, at)[1] & 0xF
        if kind == _PDU_DEACTIVATE_ALL:
            self._right = 0  # another size may follow
        if kind != _PDU_DATA:
            return
        at += _CONTROL.size
        _, _, _, _, data_kind, compression, _ = _DATA.unpack_from(self._buffer, at)
        if data_kind == _DATA_UPDATE and not compression:
            self._update(at + _DATA.size, end)

    def _fast(self, at: int, end: int) -> None:
        """Fast-path updates, 2.2.9.1.2; those that are cut into fragments are left alone."""
        if self._buffer[at] >> 6:
            return  # signed or encrypted, which does not happen under TLS
        at += 3 if self._buffer[at + 1] & 0x80 else 2
        while at < end:
            header = self._buffer[at]
            at += 2 if header >> 6 else 1
            size = int.from_bytes(self._buffer[at : at + 2], "little")
            at += 2
            if header == _FAST_PATH_BITMAP:
                self._update(at, min(at + size, end))
            at += size

    def _update(self, at: int, end: int) -> None:
        kind, count = struct.unpack_from("<HH", self._buffer, at)
        if kind != _UPDATE_BITMAP:
            return
        at += 4
        for _ in range(count):
            if at + _RECTANGLE.size > end:
                return
            left, top, right, *rest = _RECTANGLE.unpack_from(self._buffer, at)
            self._right = max(self._right, right)
            left, right = self._as_wide(left, right, rest[1])
            _RECTANGLE.pack_into(self._buffer, at, left, top, right, *rest)
            at += _RECTANGLE.size + rest[-1]

    def _as_wide(self, left: int, right: int, width: int) -> tuple[int, int]:
        """As wide as the rows, inside the screen: at its right edge it moves to the left."""
        if width <= right - left + 1 or width > self._right + 1:
            return left, right
        right = min(left + width - 1, self._right)
        return right - width + 1, right
