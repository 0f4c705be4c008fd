import msgspec
import pytest

from earthshine.protocols.envelope import Input, Prompt
from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import (
    MAX_MESSAGE,
    Acked,
    Condition,
    MessageError,
    Ready,
    Tail,
    Unpacker,
    pack,
)


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (messages.to_holder, Input(data=b"\x03")),
        (messages.to_holder, Prompt(request_id="1", text="t", by="a", command_id="c")),
        (messages.to_holder, Acked(seq=3)),
        (messages.from_holder, Tail(seq=9)),
        (messages.from_holder, Condition(code="disk-full", detail="d")),
        (messages.startup, Ready(pid=5)),
    ],
)
def test_a_message_survives(decoder, message):
    (body,) = Unpacker().feed(pack(message))
    assert decoder.decode(body) == message


def test_messages_come_byte_by_byte():
    unpacker = Unpacker()
    found = [body for byte in pack(Tail(seq=1)) * 2 for body in unpacker.feed(bytes([byte]))]
    assert [messages.from_holder.decode(body) for body in found] == [Tail(seq=1)] * 2


def test_a_message_that_is_too_long_is_refused_before_it_comes():
    with pytest.raises(MessageError):
        Unpacker().feed((MAX_MESSAGE + 1).to_bytes(4, "big"))


def test_a_message_for_the_other_end_is_refused():
    (body,) = Unpacker().feed(pack(Tail(seq=1)))
    with pytest.raises(msgspec.ValidationError):
        messages.to_holder.decode(body)
