"""A door with a password, played against the client's side and against bytes that make no sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols.rfb import (
    BadMessageError,
    ClientMessages,
    RefusedError,
    RfbError,
    ServerHandshake,
    ServerInit,
    ServerStage,
    vnc_response,
)
from earthshine.protocols.rfb_door import DoorHandshake, DoorStage

CHALLENGE = bytes(range(16))
DESKTOP = ServerInit(800, 600, bytes(16), "Earthshine")


def meet(password: str) -> tuple[DoorHandshake, ServerHandshake]:
    """Both ends, up to the verdict."""
    door, client = DoorHandshake(CHALLENGE), ServerHandshake(password)
    to_client = door.begin()
    while door.stage is not DoorStage.JUDGEMENT:
        to_client = door.receive(client.receive(to_client))
    return door, client


def test_a_client_with_the_password_gets_the_desktop():
    door, client = meet("pa55word")
    assert door.response == vnc_response(b"pa55word", CHALLENGE)
    to_client = door.accept(DESKTOP)
    while door.stage is not DoorStage.DONE:
        to_client = door.receive(client.receive(to_client))
    client.receive(to_client)
    assert client.stage is ServerStage.DONE
    assert client.desktop == DESKTOP


def test_a_client_that_is_refused_hears_why():
    door, client = meet("wrong")
    assert door.response != vnc_response(b"pa55word", CHALLENGE)
    with pytest.raises(RefusedError, match="This password has been used"):
        client.receive(door.refuse("This password has been used"))


def test_version_3_3_is_told_its_security_type_and_gets_no_reason():
    door = DoorHandshake(CHALLENGE)
    assert door.receive(b"RFB 003.003\n") == b"\0\0\0\x02" + CHALLENGE
    assert door.receive(bytes(16)) == b""
    assert door.stage is DoorStage.JUDGEMENT
    assert door.refuse("why") == b"\0\0\0\x01"


def test_what_comes_behind_the_handshake_is_kept():
    door, _ = meet("pa55word")
    door.accept(DESKTOP)
    assert door.receive(b"\x01\x02early") == DESKTOP.encode()
    assert door.early == b"\x02early"


@pytest.mark.parametrize("said", [b"RFB 004.000\n", b"GET / HTTP/1", b"RFB 003.003 "])
def test_other_protocols_are_refused(said):
    with pytest.raises(BadMessageError):
        DoorHandshake(CHALLENGE).receive(said)


def test_no_way_around_the_password():
    door = DoorHandshake(CHALLENGE)
    door.receive(b"RFB 003.008\n")
    with pytest.raises(BadMessageError, match="not offered"):
        door.receive(b"\x01")


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_end_in_an_rfb_error_or_wait(pieces):
    door = DoorHandshake(CHALLENGE)
    try:
        for piece in [b"RFB 003.", *pieces]:
            door.receive(piece)
    except RfbError:
        return
    assert door.stage is not DoorStage.DONE


def test_a_client_of_fixed_size_cannot_change_it():
    messages = ClientMessages(view_only=False, fixed_size=True)
    encodings = b"\x02\0\0\x02" + (-308).to_bytes(4, signed=True) + (-223).to_bytes(4, signed=True)
    kept = b"\x02\0\0\x01" + (-223).to_bytes(4, signed=True)
    assert messages.receive(encodings) == kept
    resize = b"\xfb\0\x04\0\x03\0\x01\0" + bytes(16)
    assert messages.receive(resize + b"\x04\x01\0\0\0\0\0a") == b"\x04\x01\0\0\0\0\0a"
