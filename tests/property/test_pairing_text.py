"""Whatever people type and machines call themselves ends in a value or a documented error."""

import contextlib
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import pairing
from earthshine.protocols.pairing import PairingError
from earthshine.protocols.plaintext import plain_text

TEXT = st.text(st.characters(codec=None), max_size=200)


@given(st.binary(min_size=7, max_size=7))
def test_a_code_is_read_as_it_was_made(entropy):
    code = pairing.new_code(entropy)
    assert pairing.read_code(pairing.show_code(code)) == code


@given(TEXT)
def test_reading_a_code_fails_in_one_way_only(typed):
    with contextlib.suppress(PairingError):
        assert len(pairing.read_code(typed)) == 12


@given(TEXT)
def test_reading_addresses_fails_in_one_way_only(text):
    for read in (pairing.origin_of, pairing.read_address, pairing.read_pairing_uri):
        for form in (text, f"https://{text}", f"earthshine:pair?server={text}&code={text}"):
            try:
                read(form)
            except PairingError:
                continue


@given(TEXT, st.integers(1, 100))
def test_plain_text_is_plain_and_short(text, limit):
    shown = plain_text(text, limit)
    assert len(shown) <= limit
    assert plain_text(shown, limit) == shown
    for sign in shown:
        assert unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_different_fields_are_signed_differently(one, other):
    same = pairing.transcript(pairing.Purpose.STREAM, *one) == pairing.transcript(
        pairing.Purpose.STREAM, *other
    )
    assert same == (one == other)
