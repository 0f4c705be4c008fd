"""The code, the fingerprint, what is signed."""

import itertools

import pytest

from earthshine.protocols import pairing
from earthshine.protocols.pairing import (
    ALPHABET,
    BadAddressError,
    BadCodeError,
    BadKeyError,
    BadProofError,
    PairingError,
    ServerAddress,
)

CODE = pairing.new_code(bytes(range(7)))
PRIVATE = bytes(range(32))
KEY = pairing.public_key(PRIVATE)
PIN = "sha256:" + "a" * 43


# --- the code ------------------------------------------------------------------------------------


def test_a_code_has_at_least_forty_bits_of_randomness():
    assert pairing.CODE_SYMBOLS * 5 == 55
    with pytest.raises(PairingError):
        pairing.new_code(bytes(6))
    assert pairing.new_code(bytes(7)) == "0" * 12


def test_every_random_bit_counts():
    codes = {pairing.new_code((1 << bit).to_bytes(7, "big")) for bit in range(55)}
    assert len(codes) == 55


@pytest.mark.parametrize(
    "typed",
    [
        pairing.show_code(CODE),
        pairing.show_code(CODE).lower(),
        CODE,
        f"  {CODE[:4]} {CODE[4:8]}\t{CODE[8:]}\n",
        pairing.show_code(CODE).replace("-", "\N{EN DASH}"),
        pairing.show_code(CODE).replace("-", "\N{NON-BREAKING HYPHEN}"),
        pairing.show_code(CODE).replace("-", "\N{MINUS SIGN}"),
        pairing.show_code(CODE).replace("0", "O").replace("1", "l"),
        "".join(chr(ord(sign) + 0xFEE0) for sign in CODE),  # full-width, as some keyboards have it
    ],
)
def test_what_people_type_is_understood(typed):
    assert pairing.read_code(typed) == CODE


@pytest.mark.parametrize(
    "typed", ["", "-", "ABC", CODE + "0", "U" * 12, "é" * 12, "x" * 100_000, "\x00" * 12, "\ud800"]
)
def test_what_is_no_code_is_refused(typed):
    with pytest.raises(BadCodeError):
        pairing.read_code(typed)


def test_every_single_mistake_is_found():
    for place, sign in itertools.product(range(12), ALPHABET):
        wrong = CODE[:place] + sign + CODE[place + 1 :]
        if wrong != CODE:
            with pytest.raises(BadCodeError):
                pairing.read_code(wrong)


def test_every_two_signs_that_changed_places_are_found():
    for one, other in itertools.combinations(range(12), 2):
        signs = list(CODE)
        signs[one], signs[other] = signs[other], signs[one]
        if (wrong := "".join(signs)) != CODE:
            with pytest.raises(BadCodeError):
                pairing.read_code(wrong)


# --- fingerprints --------------------------------------------------------------------------------


def test_a_fingerprint_is_short_enough_to_compare_and_long_enough_to_trust():
    shown = pairing.fingerprint(KEY)
    assert [len(group) for group in shown.split("-")] == [4, 4, 4, 4]
    assert shown == pairing.fingerprint(KEY)
    assert shown != pairing.fingerprint(pairing.public_key(bytes(32)))


def test_fingerprints_are_the_same_however_they_are_grouped():
    shown = pairing.fingerprint(KEY)
    assert pairing.same_fingerprint(shown, shown.lower().replace("-", " "))
    assert not pairing.same_fingerprint(shown, shown[:-1])
    assert not pairing.same_fingerprint("", "")
    assert not pairing.same_fingerprint(shown, shown + "0")


# --- signatures ----------------------------------------------------------------------------------

SIGNED = {
    "present": lambda o: pairing.present_transcript(o, CODE, KEY, "box", "h", "p"),
    "collect": lambda o: pairing.collect_transcript(o, "id", "challenge"),
    "session": lambda o: pairing.session_transcript(o, "id", "token", "challenge"),
    "stream": lambda o: pairing.stream_transcript(o, "id", "token", "challenge"),
    "unpair": lambda o: pairing.unpair_transcript(o, "id", "challenge"),
}


def test_a_signature_is_good_for_one_purpose_at_one_server():
    messages = {
        (purpose, origin): make(origin)
        for purpose, make in SIGNED.items()
        for origin in ("https://here", "https://elsewhere")
    }
    for signed, message in messages.items():
        signature = pairing.sign(PRIVATE, message)
        for shown, other in messages.items():
            if shown == signed:
                pairing.verify(KEY, signature, other)
            else:
                with pytest.raises(BadProofError):
                    pairing.verify(KEY, signature, other)


def test_fields_cannot_run_into_each_other():
    one = pairing.transcript(pairing.Purpose.COLLECT, "ab", "c")
    assert one != pairing.transcript(pairing.Purpose.COLLECT, "a", "bc")
    assert one != pairing.transcript(pairing.Purpose.COLLECT, "abc")


def test_the_token_itself_is_not_in_what_is_signed():
    assert b"secret" not in pairing.session_transcript("o", "id", "secret", "c")
    assert CODE.encode() not in pairing.present_transcript("o", CODE, KEY, "", "", "")


@pytest.mark.parametrize("signature", ["", "A" * 86, "A" * 85, "!" * 86, "é" * 86, "A" * 88])
def test_a_signature_that_is_none_is_a_bad_proof(signature):
    with pytest.raises(BadProofError):
        pairing.verify(KEY, signature, b"message")


def test_bytes_have_one_spelling():
    text = pairing.to_text(KEY)
    assert pairing.from_text(text, 32) == KEY
    for other in (text + "=", text + "\n", text[:-1], text.replace(text[0], "*", 1), "é" * 43):
        with pytest.raises(BadKeyError):
            pairing.from_text(other, 32)
    with pytest.raises(BadKeyError):
        pairing.from_text(text[:-1] + ALPHABET[(ALPHABET.index(text[-1].upper()) + 1) % 32], 31)


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.org/", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80/x", "http://example.org"),
        ("https://example.org:7180", "https://example.org:7180"),
        ("http://[::1]:7180", "http://[::1]:7180"),
    ],
)
def test_the_origin_is_written_as_browsers_do(url, origin):
    assert pairing.origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://x",
        "https://",
        "https://a:b@c",
        "https://x:99999",
        "https://[",
        "x:",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadAddressError):
        pairing.origin_of(url)


def test_the_pin_travels_with_the_address():
    assert pairing.read_address(f"https://host/#{PIN}") == ServerAddress("https://host", PIN)
    assert pairing.read_address("https://host") == ServerAddress("https://host", None)
    with pytest.raises(BadAddressError):
        pairing.read_address("https://host?code=x")
    with pytest.raises(BadAddressError):
        pairing.read_address("https://" + "x" * 1000)


@pytest.mark.parametrize("pin", [None, PIN])
def test_the_qr_code_says_all_that_is_needed(pin):
    address = ServerAddress("https://host:7180", pin)
    assert pairing.read_pairing_uri(pairing.pairing_uri(address, CODE)) == (address, CODE)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "earthshine:pair",
        "earthshine:other?server=https://h",
        "https://h",
        "earthshine:pair?&&&",
    ],
)
def test_what_is_no_pairing_address_is_refused(uri):
    with pytest.raises(BadAddressError):
        pairing.read_pairing_uri(uri)
    with pytest.raises(BadCodeError):
        pairing.read_pairing_uri("earthshine:pair?server=https://h&code=x")
