import pytest

from earthshine.protocols import envelope
from earthshine.protocols.envelope import (
    Ack,
    Auth,
    Control,
    ControlHello,
    EnvelopeError,
    Error,
    Hello,
    Interrupt,
    Log,
    Ping,
    Pong,
    Problem,
    Status,
    Token,
)
from earthshine.protocols.link import (
    ALLOWED,
    HEARTBEAT,
    HELLO_TIMEOUT,
    MAX_STRIKES,
    WATCHDOG,
    Link,
    Role,
    State,
    refusal,
)
from tests.unit.protocols.test_envelope import FRAMES, HELLO

CONTROL_HELLO = Hello(payload=ControlHello(version=1, software="0", positions=[]))
LOG = FRAMES[3]
STATUS = FRAMES[4]
COMMAND = Control(payload=Interrupt(request_id="1", by="a", command_id="c"))


def opened(role, now=0.0):
    link = Link(role, now)
    hello = HELLO if role is Role.CONTROL else CONTROL_HELLO
    link.receive(envelope.encode(hello), now)
    assert link.state is State.OPEN
    return link


@pytest.mark.parametrize("role", Role)
def test_a_hello_opens_the_conversation(role):
    opened(role)


@pytest.mark.parametrize(
    ("role", "state", "frame"),
    [
        (role, state, frame)
        for (role, state) in ALLOWED
        for frame in (
            HELLO if role is Role.CONTROL else CONTROL_HELLO,
            Auth(payload=Token(token="t")),
            LOG,
            STATUS,
            COMMAND,
            Ack(session_id="s", seq=1),
            Error(payload=Problem(code="c", detail="d")),
            Ping(seq=1),
            Pong(seq=1),
        )
    ],
    ids=lambda value: value.name if hasattr(value, "name") else type(value).__name__,
)
def test_each_end_takes_exactly_what_the_table_allows(role, state, frame):
    link = Link(role, 0) if state is State.GREETING else opened(role)
    if isinstance(frame, ALLOWED[role, state]):
        taken = link.receive(envelope.encode(frame), 1)
        assert taken == (None if isinstance(frame, Pong) else frame)
    else:
        with pytest.raises(EnvelopeError) as caught:
            link.receive(envelope.encode(frame), 1)
        assert caught.value.code == "out-of-order"
        assert not caught.value.fatal


def test_nothing_is_taken_once_closed():
    link = opened(Role.CONTROL)
    link.state = State.CLOSED
    with pytest.raises(EnvelopeError, match="closed"):
        link.receive(envelope.encode(Ping(seq=1)), 1)


@pytest.mark.parametrize(("role", "hello"), [(Role.CONTROL, CONTROL_HELLO), (Role.RUNNER, HELLO)])
def test_a_hello_of_ones_own_role_is_fatal(role, hello):
    with pytest.raises(EnvelopeError) as caught:
        Link(role, 0).receive(envelope.encode(hello), 0)
    assert caught.value.fatal


def test_another_version_is_fatal_and_named():
    hello = Hello(payload=ControlHello(version=2, software="0", positions=[]))
    link = Link(Role.RUNNER, 0)
    with pytest.raises(EnvelopeError) as caught:
        link.receive(envelope.encode(hello), 0)
    assert caught.value.fatal
    assert caught.value.code == "version"
    assert link.state is State.GREETING


def test_messages_that_cannot_be_taken_become_fatal_in_the_end():
    link = opened(Role.CONTROL)
    for _ in range(MAX_STRIKES - 1):
        with pytest.raises(EnvelopeError) as caught:
            link.receive("nonsense", 0)
        assert not caught.value.fatal
    with pytest.raises(EnvelopeError) as caught:
        link.receive("nonsense", 0)
    assert caught.value.fatal


def test_a_ping_is_due_after_silence_of_our_own():
    link = opened(Role.CONTROL)
    assert link.deadline() == HEARTBEAT
    assert link.poll(HEARTBEAT - 0.1) is None
    assert link.poll(HEARTBEAT) == Ping(seq=1)
    link.sent(HEARTBEAT)
    assert link.poll(HEARTBEAT + 1) is None
    assert link.deadline() == HEARTBEAT * 2
    link.heard = HEARTBEAT * 2
    assert link.poll(HEARTBEAT * 2) == Ping(seq=2)


def test_a_silent_peer_is_dead_after_the_watchdogs_time():
    link = opened(Role.CONTROL)
    link.sent(WATCHDOG - 1)
    assert link.deadline() == WATCHDOG
    with pytest.raises(EnvelopeError) as caught:
        link.poll(WATCHDOG)
    assert caught.value.code == "watchdog"
    assert caught.value.fatal


def test_any_message_feeds_the_watchdog():
    link = opened(Role.RUNNER)
    link.receive(envelope.encode(Pong(seq=1)), WATCHDOG - 1)
    link.sent(WATCHDOG)
    assert link.poll(WATCHDOG) is None


def test_silence_proves_nothing_while_we_do_not_read():
    link = opened(Role.CONTROL)
    link.sent(WATCHDOG)
    assert link.poll(WATCHDOG, reading=False) is None
    assert link.poll(WATCHDOG + 5) is None


def test_the_hello_has_to_come_in_time():
    link = Link(Role.CONTROL, 0)
    assert link.deadline() == HELLO_TIMEOUT
    link.receive(envelope.encode(Ping(seq=1)), HELLO_TIMEOUT - 1)
    with pytest.raises(EnvelopeError) as caught:
        link.poll(HELLO_TIMEOUT)
    assert caught.value.code == "hello-timeout"


def test_a_refusal_is_a_typed_frame_of_bounded_length():
    frame = refusal(EnvelopeError("invalid", "x" * 10_000))
    assert frame.payload.code == "invalid"
    assert len(frame.payload.detail) == 500
    assert envelope.decode(envelope.encode(frame)) == frame


def test_log_and_ack_never_go_the_wrong_way():
    assert Log not in ALLOWED[Role.RUNNER, State.OPEN]
    assert Ack not in ALLOWED[Role.CONTROL, State.OPEN]
    assert Status in ALLOWED[Role.CONTROL, State.OPEN]
