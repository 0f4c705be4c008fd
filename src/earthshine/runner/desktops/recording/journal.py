"""A piece while it is made, on the disk: what a runner that was killed had recorded. Pure.

    length u32 | crc32 u32 | body          big-endian

The first body is the piece's beginning, the others what was added to it, all MessagePack. A record
that is not whole is the end.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from earthshine.protocols import fmp4
from earthshine.protocols.fmp4 import StreamError, Tracks
from earthshine.runner.desktops.recording.piece import Begun, Piece

MAX_RECORD: Final = 16 * 1024 * 1024
_HEADER: Final = 8


class _Beginning(msgspec.Struct, array_like=True):
    session: str
    recording: str
    began: int
    origin: int
    number: int
    start: int
    audio_from: int
    width: int
    height: int
    sps: bytes
    pps: bytes
    audio: bool


class Record(msgspec.Struct, array_like=True):
    """Something that was added at a time. Only the time counts where nothing else is said."""

    at: int
    frame: bytes = b""
    """Annex B, as the encoder gave it."""
    packet: bytes = b""
    seq: int = -1


_beginnings: msgspec.msgpack.Decoder[_Beginning] = msgspec.msgpack.Decoder(_Beginning)
_records: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_encoder = msgspec.msgpack.Encoder()


def beginning(piece: Piece) -> bytes:
    """The first record."""
    begun = piece.begun
    tracks = begun.tracks
    return _record(
        _Beginning(
            begun.session,
            begun.recording,
            begun.began,
            begun.origin,
            piece.number,
            piece.start,
            piece.audio_from,
            tracks.width,
            tracks.height,
            tracks.sps,
            tracks.pps,
            tracks.audio,
        )
    )


def record(added: Record) -> bytes:
    """A further one."""
    return _record(added)


def _record(value: msgspec.Struct) -> bytes:
    body = _encoder.encode(value)
    return len(body).to_bytes(4) + zlib.crc32(body).to_bytes(4) + body


def apply(piece: Piece, added: Record) -> None:
    """Add it to the piece. A picture that cannot be read is left out."""
    if added.frame:
        try:
            piece.add(added.at, fmp4.access_unit(added.frame))
        except StreamError:
            return
    if added.packet:
        piece.hear(added.at, added.packet)
    if added.seq >= 0:
        piece.log_is_at(added.at, added.seq)


def recover(data: bytes) -> tuple[Piece, int] | None:
    """The piece, and the last time of which the journal tells; None where it has no picture."""
    piece: Piece | None = None
    last = at = 0
    while len(data) - at >= _HEADER:
        length = int.from_bytes(data[at : at + 4])
        body = data[at + _HEADER : at + _HEADER + length]
        whole = len(body) == length <= MAX_RECORD
        if not whole or zlib.crc32(body) != int.from_bytes(data[at + 4 : at + 8]):
            break
        at += _HEADER + length
        try:
            if piece is None:
                piece = _piece(_beginnings.decode(body))
            else:
                added = _records.decode(body)
                last = max(last, added.at)
                apply(piece, added)
        except msgspec.MsgspecError:
            break
    if piece is None or not piece.frames:
        return None
    return piece, last


def _piece(told: _Beginning) -> Piece:
    tracks = Tracks(told.width, told.height, told.sps, told.pps, told.audio)
    begun = Begun(told.session, told.recording, told.began, told.origin, tracks)
    return Piece(begun, told.number, told.start, told.audio_from)
