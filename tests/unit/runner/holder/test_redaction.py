import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.runner.holder.redaction import MIN_LENGTH, QUIET_LONG, Redactor

KEY = "sk-test-0123456789"


def redacted(redactor: Redactor, *chunks: bytes) -> bytes:
    return b"".join([*map(redactor.feed, chunks), redactor.give_up()])


def test_a_secret_is_replaced_by_its_name():
    assert redacted(Redactor({"API_KEY": KEY}), f"key={KEY}\r\n".encode()) == (
        b"key=[redacted API_KEY]\r\n"
    )


def test_a_secret_that_comes_in_pieces():
    redactor = Redactor({"API_KEY": KEY})
    pieces = [bytes([byte]) for byte in f"<{KEY}>{KEY}".encode()]
    assert redacted(redactor, *pieces) == b"<[redacted API_KEY]>[redacted API_KEY]"


def test_ordinary_output_is_not_held_back():
    redactor = Redactor({"API_KEY": KEY})
    assert redactor.feed(b"hello, world\r\n") == b"hello, world\r\n"
    assert redactor.quiet is None


def test_only_what_may_be_a_secret_is_held_back_and_not_for_long():
    redactor = Redactor({"API_KEY": KEY})
    assert redactor.feed(b"makes") == b"make"
    waits = [redactor.quiet]
    for more in (b"k-t", b"est-"):
        assert redactor.feed(more) == b""
        waits.append(redactor.quiet)
    assert waits == [0.01, 0.05, QUIET_LONG], "longer where it looks more like one"
    assert redactor.give_up() == b"sk-test-"
    assert redactor.feed(b"") == b""


def test_the_rest_of_a_secret_that_was_let_go_is_still_hidden():
    redactor = Redactor({"API_KEY": KEY})
    assert redactor.feed(b"sk-") == b""
    assert redactor.give_up() == b"sk-"
    assert redactor.feed(KEY[3:10].encode()) == b""
    assert redactor.feed(KEY[10:].encode() + b"!") == b"[redacted API_KEY]!"


def test_what_was_let_go_is_not_shown_twice():
    redactor = Redactor({"API_KEY": KEY})
    assert redactor.feed(b"sk-") + redactor.give_up() == b"sk-"
    assert redactor.feed(b"nothing") == b"nothing"


def test_of_two_that_begin_alike_the_longer_one_counts():
    redactor = Redactor({"SHORT": KEY, "LONG": KEY + "-more"})
    assert redactor.feed(KEY.encode()) == b"", "it may become the longer one"
    assert redactor.feed(b"-more.") == b"[redacted LONG]."
    assert redacted(redactor, KEY.encode() + b"-mo") == b"[redacted SHORT]-mo"


def test_one_inside_the_beginning_of_another_waits_for_it():
    redactor = Redactor({"OUTER": "abcdefghijklmnop", "INNER": "cdefghijkl"})
    assert redactor.feed(b"abcdefghijkl") == b""
    assert redactor.feed(b"mnop") == b"[redacted OUTER]"
    assert redacted(redactor, b"abcdefghijkl", b"!") == b"ab[redacted INNER]!"


@pytest.mark.parametrize("value", ["", "x", "y" * (MIN_LENGTH - 1)])
def test_short_values_are_not_looked_for(value):
    redactor = Redactor({"PIN": value})
    assert redactor.is_idle
    assert redactor.feed(f"a {value} b".encode()) == f"a {value} b".encode()


# Few letters, so that values overlap in every way.
VALUES = st.dictionaries(
    st.sampled_from(["A", "B", "C", "D"]),
    st.text("ab-", min_size=MIN_LENGTH, max_size=14),
    min_size=1,
)
CHUNKS = st.lists(st.text("ab-.", max_size=20).map(str.encode), max_size=12)


@st.composite
def streams(draw):
    values = draw(VALUES)
    parts = draw(CHUNKS)
    whole = b"".join(
        part + draw(st.sampled_from([b"", *[value.encode() for value in values.values()]]))
        for part in parts
    )
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    return values, whole, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def at_once(values: dict[str, str], whole: bytes) -> bytes:
    """What the redactor has to come to, in the simplest words."""
    names: dict[bytes, bytes] = {v.encode(): n.encode() for n, v in sorted(values.items())}
    longest_first = sorted(names, key=len, reverse=True)
    pattern = b"|".join(map(re.escape, longest_first))
    return re.sub(pattern, lambda m: b"[redacted " + names[m[0]] + b"]", whole)


@given(streams())
def test_however_it_is_cut_the_result_is_the_same(stream):
    values, whole, chunks = stream
    assert redacted(Redactor(values), *chunks) == at_once(values, whole)


@given(streams(), st.data())
def test_letting_go_loses_and_repeats_nothing_that_is_no_secret(stream, data):
    values, _, chunks = stream
    redactor = Redactor(values)
    harmless = [chunk.replace(b"a", b"x") for chunk in chunks]
    values_free = b"".join(harmless)
    if any(value.encode() in values_free for value in values.values()):
        return
    out = b""
    for chunk in harmless:
        out += redactor.feed(chunk)
        if data.draw(st.booleans()):
            out += redactor.give_up()
    assert out + redactor.give_up() == values_free


@given(streams())
def test_no_more_is_held_back_than_a_beginning(stream):
    values, _, chunks = stream
    redactor = Redactor(values)
    longest = max(len(value) for value in values.values())
    for chunk in chunks:
        redactor.feed(chunk)
        assert len(redactor._pending) < longest
