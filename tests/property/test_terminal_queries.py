"""Terminal queries however the output is cut, and on anything at all."""

from hypothesis import given
from hypothesis import strategies as st

from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import MAX_MESSAGE, Acked, MessageError, Unpacker, pack
from earthshine.runner.holder.screen import cursor
from earthshine.runner.holder.terminal import PENDING, TerminalQueries
from tests.unit.runner.holder.test_terminal import QUERIES

PIECES = st.sampled_from(
    [
        *(query for query, _ in QUERIES.values()),
        b"text",
        b"\r\n",
        b"\x1b[1;31m",
        b"\x1b]0;a title\x07",
        b"\x1b]8;;http://x\x1b\\",
        b"\x1b[?2004h",
        b"\x1b[?2004l",
        b"\x1b[?1049;25h",
        b"\x1b[>1u",
        b"\x1b[<u",
        b"\x1b[=5;2u",
        b"\x1bc",
        b"\x1b[3;4H",
    ]
)


def where(output, cols, rows):
    """A stand-in for the emulator that tells all it was given."""
    return len(output), sum(output) % 1000


def replies(chunks):
    watching = TerminalQueries(80, 24, where)
    said = b"".join(watching.feed(chunk) for chunk in chunks)
    return said, watching.modes, watching._kitty


@given(st.lists(PIECES, max_size=12), st.data())
def test_replies_do_not_depend_on_how_the_output_is_cut(pieces, data):
    output = b"".join(pieces)
    whole = replies([output])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=8)))
    chunks = [output[a:b] for a, b in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    assert replies(chunks) == whole
    assert replies([bytes([byte]) for byte in output]) == whole


@given(st.lists(st.binary(max_size=300) | PIECES))
def test_any_output_is_borne(chunks):
    watching = TerminalQueries(80, 24, cursor)
    for chunk in chunks:
        watching.feed(chunk)
        assert len(watching._pending) <= PENDING


@given(st.binary(max_size=500), st.integers(2, 200), st.integers(1, 100))
def test_the_emulator_bears_any_output(output, cols, rows):
    row, col = cursor(output, cols, rows)
    assert 1 <= row <= rows
    assert 1 <= col <= cols


@given(st.lists(st.integers(0, 2**62), max_size=5), st.data())
def test_messages_survive_any_cut(seqs, data):
    stream = b"".join(pack(Acked(seq=seq)) for seq in seqs)
    unpacker, found = Unpacker(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += unpacker.feed(stream[:size])
        stream = stream[size:]
    assert [messages.to_holder.decode(body) for body in found] == [Acked(seq=s) for s in seqs]


@given(st.lists(st.binary(max_size=50)))
def test_any_bytes_are_messages_or_refused(chunks):
    unpacker = Unpacker()
    for chunk in chunks:
        try:
            bodies = unpacker.feed(chunk)
        except MessageError:
            return
        assert all(len(body) <= MAX_MESSAGE for body in bodies)
