import json

import msgspec
import pytest

from earthshine.protocols import envelope
from earthshine.protocols.envelope import (
    Ack,
    Auth,
    Control,
    ControlHello,
    Done,
    EncodedEvents,
    EncodedLog,
    EnvelopeError,
    Error,
    Events,
    Hello,
    Log,
    Ping,
    Pong,
    Position,
    Problem,
    Refused,
    RunnerHello,
    SessionCondition,
    SpoolPosition,
    Status,
    Stop,
    Token,
)
from earthshine.protocols.events import MAX_DATA, Event, Kind, encode
from earthshine.protocols.revdial import Dial

HELLO = Hello(
    client_id="r1",
    payload=RunnerHello(
        version=1,
        instance="i",
        name="box",
        hostname="box",
        platform="Linux",
        software="0",
        home="/home/a",
        agents=[],
        sessions=[SpoolPosition(session_id="s", first_seq=1, last_seq=9, ended=False)],
    ),
)
FRAMES = [
    HELLO,
    Hello(
        payload=ControlHello(
            version=1, software="0", positions=[Position(session_id="s", seq=3, bytes=70)]
        )
    ),
    Auth(payload=Token(token="secret")),
    Log(session_id="s", seq=1, payload=Events(events=[Event(1, 2, Kind.OUTPUT, b"\x00\xff")])),
    Status(session_id="s", payload=SessionCondition(code="disk-full", detail="d")),
    Ack(session_id="s", seq=4),
    Control(session_id="s", payload=Stop(request_id="1", by="anna", how="stop", command_id="c")),
    Control(payload=Done(request_id="1", value={"folders": []})),
    Control(payload=Refused(request_id="1", code="x", detail="y")),
    Error(payload=Problem(code="hole", detail="expected 1")),
    Ping(seq=1),
    Pong(seq=1),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_a_frame_reads_the_same_from_text_and_from_binary(frame):
    assert envelope.decode(envelope.encode(frame)) == frame
    assert envelope.decode(envelope.encode_text(frame)) == frame


def test_the_text_form_has_the_names_of_the_protocol():
    frame = Ack(session_id="s", client_id="r", seq=4, ts=5)
    assert json.loads(envelope.encode_text(frame)) == {
        "type": "ack",
        "sessionId": "s",
        "clientId": "r",
        "seq": 4,
        "ts": 5,
    }


def test_dialling_commands_travel_in_control_frames():
    dial = Dial(dial_id="d", ticket="t", destination="127.0.0.1:80")
    frame = Control(client_id="r", payload=dial)
    assert envelope.decode(envelope.encode(frame)) == frame


def test_what_a_spool_holds_goes_out_as_it_is():
    event = Event(1, 2, Kind.OUTPUT, b"\x00\xff")
    sent = EncodedLog(
        session_id="s", seq=1, payload=EncodedEvents(events=[msgspec.Raw(encode(event))])
    )
    read = envelope.decode(envelope.encode(sent))
    assert isinstance(read, Log)
    assert read.payload.events == [event]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "malformed"),
        ("", "malformed"),
        ("{", "malformed"),
        (b"\xc1", "malformed"),
        ("[" * 100_000, "invalid"),
        ("[]", "invalid"),
        (
            '{"type":"control","payload":{"action":"done","requestId":"1","value":' + "[" * 100_000,
            "malformed",
        ),
        ("{}", "invalid"),
        ('{"type":"dance"}', "invalid"),
        ('{"type":"control","payload":{"action":"dance"}}', "invalid"),
        ('{"type":"log","payload":{"events":[[1,1,1,"aGk="]]}}', "invalid"),
        ('{"type":"log","sessionId":"s","seq":1,"payload":{"events":[]}}', "invalid"),
        ('{"type":"log","sessionId":"s","seq":1,"payload":{"events":[[0,1,1,""]]}}', "invalid"),
        ('{"type":"ack","sessionId":"s"}', "invalid"),
        ('{"type":"ack","seq":1}', "invalid"),
        ('{"type":"ping","seq":99999999999999999999999}', "invalid"),
        ('{"type":"ping","seq":-1}', "invalid"),
        ('{"type":"ping","ts":99999999999999999999999}', "invalid"),
        ("x" * (envelope.MAX_MESSAGE + 1), "too-large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_taken_names_its_fault(message, code):
    with pytest.raises(EnvelopeError) as caught:
        envelope.decode(message)
    assert caught.value.code == code
    assert not caught.value.fatal


def test_a_log_has_a_limit_of_entries():
    events = [Event(n + 1, 0, 1, b"") for n in range(envelope.MAX_EVENTS + 1)]
    with pytest.raises(EnvelopeError, match="entries"):
        envelope.decode(envelope.encode(Log(session_id="s", seq=1, payload=Events(events=events))))


def test_an_entry_of_a_log_has_the_limits_of_entries():
    event = Event(1, 0, Kind.OUTPUT, bytes(MAX_DATA + 1))
    message = envelope.encode(Log(session_id="s", seq=1, payload=Events(events=[event])))
    with pytest.raises(EnvelopeError, match="at most"):
        envelope.decode(message)


def test_a_greeting_has_a_limit_of_sessions():
    assert isinstance(HELLO.payload, RunnerHello)
    position = HELLO.payload.sessions[0]
    crowd = msgspec.structs.replace(
        HELLO.payload,
        sessions=[position] * (envelope.MAX_SESSIONS + 1),
    )
    with pytest.raises(EnvelopeError) as caught:
        envelope.decode(envelope.encode(Hello(payload=crowd)))
    assert caught.value.fatal
