"""The little that GameStream needs to know about H.264 and HEVC byte streams (Annex B).

Clients skip access unit delimiters and SEI before the first slice of a frame, and take it for an
IDR when it then begins with the first parameter set of its codec.
"""

from __future__ import annotations

from earthshine.protocols.moonlight.sdp import Codec

MAX_PREFIX_NALS = 64

_H264_SPS = 7
_HEVC_VPS = 32
# Per codec: NAL types that are skipped (delimiter, SEI), and types of slices.
_KINDS = {
    Codec.H264: ((6, 9), range(1, 6)),
    Codec.HEVC: ((35, 39), range(32)),
}
_START = b"\x00\x00\x01"


def nal_type(data: bytes, start: int, codec: Codec) -> int:
    """Type of the NAL unit whose header is at ``start``; -1 when there is none."""
    if start >= len(data):
        return -1
    return data[start] >> 1 & 0x3F if codec is Codec.HEVC else data[start] & 0x1F


def start_code(data: bytes) -> int:
    """Length of the start code at the beginning: 3, 4, or 0 when there is none."""
    if data.startswith(_START):
        return 3
    return 4 if data.startswith(b"\x00" + _START) else 0


def without_prefix(data: bytes, codec: Codec) -> bytes:
    """``data`` without the delimiters and SEI before its first slice; parameter sets stay.

    Empty if ``data`` does not begin with a start code or holds nothing else.
    """
    if not start_code(data[:4]):
        return b""
    skipped, slices = _KINDS[codec]
    kept: list[bytes] = []
    position = 0
    for _ in range(MAX_PREFIX_NALS):
        code = start_code(data[position : position + 4])
        kind = nal_type(data, position + code, codec)
        if kind in slices:
            break
        following = _next_start(data, position + code)
        if kind not in skipped:
            kept.append(data[position:following])
        position = following
        if position == len(data):
            break
    return b"".join((*kept, data[position:]))


def prefix_bytes(data: bytes, codec: Codec) -> int:
    """How many bytes come before the first slice: parameter sets, delimiters and SEI.

    They and a little of the slice must fit `VideoPacketiser.first_packet_room`, because clients
    look for NAL units in the first packet only. ``len(data)`` when there is no slice.
    """
    slices = _KINDS[codec][1]
    position = 0
    while position < len(data):
        code = start_code(data[position : position + 4])
        if nal_type(data, position + code, codec) in slices:
            return position
        position = _next_start(data, position + code)
    return position


def _next_start(data: bytes, position: int) -> int:
    """Where the next start code begins, or the end. A zero before it belongs to it."""
    found = data.find(_START, position)
    if found < 0:
        return len(data)
    return found - 1 if found > position and data[found - 1] == 0 else found


def is_idr(data: bytes, codec: Codec) -> bool:
    """Whether a frame, as `without_prefix` leaves it, begins with the codec's first parameter
    set."""
    code = start_code(data[:4])
    first = nal_type(data, code, codec)
    return bool(code) and first == (_HEVC_VPS if codec is Codec.HEVC else _H264_SPS)
