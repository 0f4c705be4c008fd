"""Files and pieces of recordings on a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import transfer
from earthshine.protocols.transfer import (
    END,
    MAX_MESSAGE,
    MAX_PIECE,
    Deframer,
    FileEnded,
    GetSegment,
    PieceCame,
    PutFile,
    Ready,
    Refused,
    Said,
    Segment,
    Segments,
    TransferError,
)

SEGMENT = Segment(
    session="s1",
    recording="0123456789abcdef",
    number=1,
    began=1_700_000_000_000,
    start=0,
    duration=90_000,
    size=10,
    crc=7,
    width=640,
    height=480,
    sps=b"\x67\x42\xc0\x1e",
    pps=b"\x68",
    events=[(0, 1), (500, 9)],
)
MESSAGES = (
    PutFile(session="s1", name="a", size=3, by="anna"),
    Ready(size=3),
    Refused(code="exists", detail="there is one", remedy="replace it"),
    Segments(segments=[SEGMENT], more=True),
    GetSegment(session="s1", recording="0123456789abcdef", number=4),
)


def test_a_conversation_in_any_pieces():
    stream = b"".join(transfer.encode(message) for message in MESSAGES)
    stream += transfer.piece(b"abc") + END
    for size in (1, 2, 7, len(stream)):
        deframer = Deframer()
        heard: list[object] = []
        for at in range(0, len(stream), size):
            heard += deframer.feed(stream[at : at + size])
        assert heard == [*(Said(message) for message in MESSAGES), PieceCame(b"abc"), FileEnded()]


@pytest.mark.parametrize(
    "frame",
    [
        b"\0\0\0\0\x04",
        (MAX_PIECE + 1).to_bytes(4) + b"\x02",
        (MAX_MESSAGE + 1).to_bytes(4) + b"\x01",
        b"\0\0\0\x01\x03x",
        b"\0\0\0\x01\x01\xc1",
    ],
)
def test_what_is_not_the_protocol_is_an_error(frame):
    with pytest.raises(TransferError):
        Deframer().feed(frame)


@pytest.mark.parametrize(
    "wrong",
    [
        {"session": "../x"},
        {"recording": "../../../../../x"},
        {"recording": "0123456789ABCDEF"},
        {"number": 0},
    ],
)
def test_ids_cannot_lead_out_of_their_folder(wrong):
    import msgspec

    fields = {"what": "get-segment", "session": "s1", "recording": "0" * 16, "number": 1, **wrong}
    body = msgspec.msgpack.encode(fields)
    with pytest.raises(TransferError):
        Deframer().feed(len(body).to_bytes(4) + b"\x01" + body)


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_bytes_end_in_events_or_an_error(parts):
    deframer = Deframer()
    try:
        for part in parts:
            deframer.feed(part)
    except TransferError:
        pass
