import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.control.secrets.cipher import (
    Cipher,
    Place,
    SecretKeyError,
    UnsealError,
    new_key,
    parse_key,
)

KEY = bytes(range(32))
PLACE = Place("person", "p1", "API_KEY")


def test_what_is_sealed_can_be_unsealed():
    cipher = Cipher(KEY)
    sealed = cipher.seal(PLACE, "clé-secrète")
    assert b"secr" not in sealed
    assert Cipher(KEY).unseal(PLACE, sealed) == "clé-secrète"
    assert cipher.seal(PLACE, "clé-secrète") != sealed, "a nonce of its own each time"


@pytest.mark.parametrize(
    "place",
    [
        Place("runner", "p1", "API_KEY"),
        Place("person", "p2", "API_KEY"),
        Place("person", "p1", "OTHER"),
        Place("person", "p1A", "PI_KEY"),
        Place("", 'person", "p1', "API_KEY"),
    ],
)
def test_a_secret_cannot_be_moved_to_another_place(place):
    sealed = Cipher(KEY).seal(PLACE, "value")
    with pytest.raises(UnsealError):
        Cipher(KEY).unseal(place, sealed)


def test_another_key_opens_nothing():
    sealed = Cipher(KEY).seal(PLACE, "value")
    other = Cipher(bytes(32))
    assert other.key_id != Cipher(KEY).key_id
    with pytest.raises(UnsealError):
        other.unseal(PLACE, sealed)


@given(st.binary(max_size=64))
def test_any_bytes_are_answered(sealed):
    with pytest.raises(UnsealError):
        Cipher(KEY).unseal(PLACE, sealed)


@given(st.integers(0, 31), st.integers(1, 255))
def test_no_byte_can_be_changed(at, by):
    sealed = bytearray(Cipher(KEY).seal(PLACE, "val"))
    sealed[at % len(sealed)] ^= by
    with pytest.raises(UnsealError):
        Cipher(KEY).unseal(PLACE, bytes(sealed))


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        f" {base64.b64encode(KEY).decode()}\n",
    ],
)
def test_keys_as_text(text):
    assert parse_key(text) == KEY


@pytest.mark.parametrize(
    "text", ["", "x", "é" * 64, "g" * 64, base64.b64encode(bytes(31)).decode(), "====", "a b"]
)
def test_what_is_no_key(text):
    with pytest.raises(SecretKeyError, match="openssl rand"):
        parse_key(text)


def test_new_keys():
    assert len(parse_key(new_key())) == 32
    assert new_key() != new_key()
    with pytest.raises(SecretKeyError):
        Cipher(b"short")
