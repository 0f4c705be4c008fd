import pytest

from earthshine.runner.holder.screen import cursor
from earthshine.runner.holder.terminal import (
    KITTY_DEPTH,
    MAX_REPLIES,
    PENDING,
    TerminalQueries,
)


def home(_output, _cols, _rows):
    return 1, 1


def terminal(**settings):
    return TerminalQueries(100, 30, settings.pop("cursor", home), **settings)


QUERIES = {
    "primary attributes": (b"\x1b[c", b"\x1b[?62;22;52c"),
    "primary attributes, explicit": (b"\x1b[0c", b"\x1b[?62;22;52c"),
    "secondary attributes": (b"\x1b[>c", b"\x1b[>1;10;0c"),
    "secondary attributes, explicit": (b"\x1b[>0c", b"\x1b[>1;10;0c"),
    "status": (b"\x1b[5n", b"\x1b[0n"),
    "cursor position": (b"\x1b[6n", b"\x1b[1;1R"),
    "cursor position, DEC": (b"\x1b[?6n", b"\x1b[?1;1R"),
    "colour scheme": (b"\x1b[?996n", b"\x1b[?997;1n"),
    "size in cells": (b"\x1b[18t", b"\x1b[8;30;100t"),
    "version": (b"\x1b[>q", b"\x1bP>|Earthshine\x1b\\"),
    "version, explicit": (b"\x1b[>0q", b"\x1bP>|Earthshine\x1b\\"),
    "keyboard protocol": (b"\x1b[?u", b"\x1b[?0u"),
    "known mode that is set": (b"\x1b[?25$p", b"\x1b[?25;1$y"),
    "known mode that is not": (b"\x1b[?2004$p", b"\x1b[?2004;2$y"),
    "synchronised output": (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    "unknown mode": (b"\x1b[?31337$p", b"\x1b[?31337;0$y"),
    "foreground": (b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:e6e6/e8e8/eeee\x1b\\"),
    "background": (b"\x1b]11;?\x07", b"\x1b]11;rgb:0e0e/1010/1616\x1b\\"),
    "cursor colour": (b"\x1b]12;?\x1b\\", b"\x1b]12;rgb:e6e6/e8e8/eeee\x1b\\"),
    "termcap": (b"\x1bP+q544e\x1b\\", b"\x1bP0+r\x1b\\"),
    "setting": (b"\x1bP$qm\x1b\\", b"\x1bP0$r\x1b\\"),
}


@pytest.mark.parametrize(("query", "reply"), QUERIES.values(), ids=QUERIES)
def test_each_query_has_its_reply(query, reply):
    assert terminal().feed(b"text " + query + b" text") == reply


@pytest.mark.parametrize(("query", "reply"), QUERIES.values(), ids=QUERIES)
def test_a_query_may_come_in_pieces(query, reply):
    for cut in range(len(query) + 1):
        watching = terminal()
        assert watching.feed(b"ab" + query[:cut]) + watching.feed(query[cut:] + b"cd") == reply
    watching = terminal()
    assert b"".join(watching.feed(bytes([byte])) for byte in query) == reply
    assert watching.feed(b"later") == b"", "answered once"


@pytest.mark.parametrize(
    "output",
    [
        b"plain",
        b"\x1b[1;31mred\x1b[0m",
        b"\x1b]0;title\x07",
        b"\x1b]10;#ffffff\x07",
        b"\x1b[?62;22;52c",
        b"\x1b[2J\x1b[H",
        b"\x1b[8;30;100t",
        b"\x1b[c"[:2],
    ],
)
def test_what_is_no_query_is_not_answered(output):
    assert terminal().feed(output) == b""


def test_replies_come_in_the_order_of_the_queries():
    assert terminal().feed(b"\x1b[5n\x1b[c\x1b[5n") == b"\x1b[0n\x1b[?62;22;52c\x1b[0n"


def test_a_light_terminal_has_light_colours():
    assert b"fbfb" in terminal(dark=False).feed(b"\x1b]11;?\x07")
    assert terminal(dark=False).feed(b"\x1b[?996n") == b"\x1b[?997;2n"


def test_the_size_is_todays():
    watching = terminal()
    watching.cols, watching.rows = 42, 7
    assert watching.feed(b"\x1b[18t") == b"\x1b[8;7;42t"


def test_modes_are_followed():
    watching = terminal()
    assert not watching.bracketed_paste
    watching.feed(b"\x1b[?1049;2004h")
    assert watching.bracketed_paste
    assert watching.feed(b"\x1b[?1049$p") == b"\x1b[?1049;1$y"
    watching.feed(b"\x1b[?2004l\x1b[?25l")
    assert not watching.bracketed_paste
    assert watching.feed(b"\x1b[?25$p") == b"\x1b[?25;2$y"


@pytest.mark.parametrize("reset", [b"\x1bc", b"\x1b[!p"])
def test_a_reset_resets(reset):
    watching = terminal()
    watching.feed(b"\x1b[?2004h\x1b[?25l\x1b[>5u" + reset)
    assert watching.modes == {7, 25}
    assert watching.feed(b"\x1b[?u") == b"\x1b[?0u"


def test_keyboard_flags_are_a_stack():
    watching = terminal()
    asked = b"\x1b[?u"
    assert watching.feed(b"\x1b[>1u" + asked) == b"\x1b[?1u"
    assert watching.feed(b"\x1b[>5u" + asked) == b"\x1b[?5u"
    assert watching.feed(b"\x1b[=2;2u" + asked) == b"\x1b[?7u", "added"
    assert watching.feed(b"\x1b[=1;3u" + asked) == b"\x1b[?6u", "removed"
    assert watching.feed(b"\x1b[=3u" + asked) == b"\x1b[?3u", "set"
    assert watching.feed(b"\x1b[<u" + asked) == b"\x1b[?1u"
    assert watching.feed(b"\x1b[<9u" + asked) == b"\x1b[?0u"
    assert watching.feed(b"\x1b[<u" + asked) == b"\x1b[?0u"
    for _ in range(KITTY_DEPTH * 3):
        watching.feed(b"\x1b[>3u")
    assert len(watching._kitty) == KITTY_DEPTH


def test_the_cursor_is_left_to_the_leading_viewer():
    watching = terminal()
    watching.attended = True
    assert watching.feed(b"\x1b[6n\x1b[5n") == b"\x1b[0n"
    watching.attended = False
    assert watching.feed(b"\x1b[6n") == b"\x1b[1;1R"


def test_the_cursor_is_where_the_output_before_the_query_left_it():
    watching = terminal(cursor=cursor)
    assert watching.feed(b"\x1b[2J\x1b[5;9Habc\x1b[6n\x1b[1;1H") == b"\x1b[5;12R"
    assert watching.feed(b"\x1b[7;3H") == b""
    assert watching.feed(b"xy\x1b[6n") == b"\x1b[7;5R"


def test_a_query_in_two_pieces_sees_the_same_cursor():
    query = b"\x1b[5;9Habc\x1b[6n"
    for cut in range(len(query)):
        watching = terminal(cursor=cursor)
        assert watching.feed(query[:cut]) + watching.feed(query[cut:] + b"more") == b"\x1b[5;12R"


def test_the_cursor_of_a_long_output():
    watching = terminal(cursor=cursor)
    for _ in range(50):
        watching.feed(b"line\r\n" * 1000)
    assert watching.feed(b"\x1b[6n") == b"\x1b[30;1R"
    assert len(watching._tail) <= 2 * 32 * 1024


@pytest.mark.parametrize(
    ("output", "position"),
    [
        (b"", (1, 1)),
        (b"abc", (1, 4)),
        (b"\r\n" * 50, (10, 1)),
        (b"x" * 20, (1, 20)),
        (b"\x1b[4;6H", (4, 6)),
        (b"\x1b[99;99H", (10, 20)),
        (b"\x1b[>4;2m\x1b[?1;2c\x1b[<u\x1bP+q00\x1b\\ok", (1, 3)),
        (b"\x1b[4;6H\x1b[?2026h\x1b[?2026l", (4, 6)),
        (b"\x1b[\xff\xfe\x00;;;;h\x1b]\x9c", (1, 1)),
    ],
)
def test_the_emulator_knows_the_cursor(output, position):
    row, col = cursor(output, 20, 10)
    if position == (1, 1) and output:
        assert 1 <= row <= 10
        assert 1 <= col <= 20
    else:
        assert (row, col) == position


def test_an_endless_stream_of_queries_is_not_answered_without_end():
    replies = terminal().feed(b"\x1b[>q" * 50_000)
    assert MAX_REPLIES <= len(replies) < MAX_REPLIES + 100


def test_an_unfinished_sequence_is_not_kept_for_ever():
    watching = terminal()
    for _ in range(1000):
        watching.feed(b"\x1b]0;" + b"a" * 200)
        assert len(watching._pending) <= PENDING
    assert watching.feed(b"\x07\x1b[5n") == b"\x1b[0n"


def test_a_huge_title_between_queries_does_not_disturb_them():
    watching = terminal()
    assert watching.feed(b"\x1b[5n\x1b]0;" + b"t" * 70_000) == b"\x1b[0n"
    assert watching.feed(b"t\x07\x1b[5n") == b"\x1b[0n"
