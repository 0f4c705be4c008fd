"""A chain that somebody has tampered with, and what is said about it."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.control.audit import chain
from earthshine.control.audit.chain import (
    GENESIS,
    ChainError,
    Finding,
    Head,
    Sealed,
    Verifier,
    canonical,
    head_line,
    heads_of_lines,
    moment,
    read_line,
    seal,
    verify_lines,
)

HASH = "ab" * 32


def records(count, head=None, *, word="did"):
    """A chain of so many records, and its head."""
    head = head or Head()
    found = []
    for _ in range(count):
        fields = {"kind": word, "subject": f"what {head.seq + 1}", "details": {"n": head.seq}}
        sealed, head = chain.append(fields, head)
        found.append(sealed)
    return found, head


def check(found, head=None, known=()):
    verifier = Verifier(known)
    for record in found:
        verifier.add(record)
    return verifier.finish(head)


def findings(report):
    return [(problem.finding, problem.seq) for problem in report.problems]


def resealed(record, previous=None, **fields):
    """What somebody who knows the format makes of a record."""
    changed = {**record.fields, **fields}
    previous = previous or record.previous
    return Sealed(changed, previous, seal(changed, previous))


def edited(record, **fields):
    """What somebody who does not know it makes of it."""
    return Sealed({**record.fields, **fields}, record.previous, record.hash)


def test_a_chain_that_nobody_touched():
    found, head = records(5)
    report = check(found, head)
    assert report.ok
    assert (report.records, report.head) == (5, head)
    assert check([], Head()).ok


def test_the_hash_is_what_the_document_says():
    (first, second), _ = records(2)
    body = b'{"details":{"n":1},"kind":"did","seq":2,"subject":"what 2"}'
    expected = hashlib.sha256(
        b"earthshine audit record 1\n" + bytes.fromhex(first.hash) + body
    ).hexdigest()
    assert second.hash == expected
    assert first.previous == GENESIS == "0" * 64


@pytest.mark.parametrize("at", range(5))
def test_an_altered_record(at):
    found, head = records(5)
    found[at] = edited(found[at], subject="something else")
    assert findings(check(found, head)) == [(Finding.ALTERED, at + 1)]


@pytest.mark.parametrize("at", range(5))
def test_an_altered_record_with_a_hash_that_fits_it(at):
    found, head = records(5)
    found[at] = resealed(found[at], subject="something else")
    assert findings(check(found, head)) == [(Finding.ALTERED, at + 1)]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("what", ["previous", "hash"])
def test_altered_hashes(at, what):
    found, head = records(5)
    parts = {"previous": found[at].previous, "hash": found[at].hash, what: HASH}
    found[at] = Sealed(found[at].fields, parts["previous"], parts["hash"])
    assert findings(check(found, head)) == [(Finding.ALTERED, at + 1)]


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (1, 1, "record 1 is missing"),
        (2, 2, "record 2 is missing"),
        (1, 3, "records 1 to 3 are missing"),
        (2, 4, "records 2 to 4 are missing"),
    ],
)
def test_removed_records(first, last, words):
    found, head = records(6)
    report = check(found[: first - 1] + found[last:], head)
    assert findings(report) == [(Finding.REMOVED, first)]
    assert report.problems[0].what == words


def test_records_removed_at_the_end_are_missed_when_the_head_is_known():
    found, head = records(6)
    report = check(found[:4], head)
    assert findings(report) == [(Finding.TRUNCATED, 5)]
    assert report.problems[0].what == "records 5 to 6 are missing at the end"
    assert check(found[:4]).ok, "without the head nobody can tell"
    assert findings(check([], head)) == [(Finding.TRUNCATED, 1)]


def test_records_in_another_order():
    found, head = records(6)
    found[2], found[4] = found[4], found[2]
    report = check(found, head)
    assert [finding for finding, _ in findings(report)] == [Finding.REORDERED] * 2
    assert [seq for _, seq in findings(report)] == [3, 4]
    assert report.problems[0].what == "record 3 stands behind record 5"


def test_records_that_were_given_each_others_numbers():
    """Where the order is that of the numbers, as in a database."""
    found, head = records(6)
    found[1], found[4] = edited(found[4], seq=2), edited(found[1], seq=5)
    report = check(found, head)
    assert findings(report) == [(Finding.REORDERED, 2), (Finding.REORDERED, 5)]
    assert report.problems[0].what == "what stands as record 2 was written as record 5"


def test_a_record_that_is_there_twice():
    found, head = records(4)
    assert findings(check([*found[:3], found[1], found[3]], head)) == [(Finding.REPEATED, 2)]


def test_records_removed_and_the_rest_renumbered():
    found, head = records(5)
    fewer = [found[0], *[edited(record, seq=record.seq - 1) for record in found[2:]]]
    report = check(fewer, head)
    assert {seq for _, seq in findings(report)} == {2, 3, 4, 5}
    assert findings(report)[-1] == (Finding.TRUNCATED, 5)


def test_a_chain_rewritten_from_a_point_on_needs_something_noted_elsewhere():
    found, head = records(6)
    other, other_head = records(3, Head(3, found[2].hash), word="did nothing")
    rewritten = [*found[:3], *other]
    assert check(rewritten, other_head).ok, "it holds in itself"
    report = check(rewritten, other_head, known=[head])
    assert findings(report) == [(Finding.REWRITTEN, 6)]
    every = [Head(record.seq, record.hash) for record in found]
    report = check(rewritten, other_head, known=every)
    assert findings(report) == [(Finding.REWRITTEN, 4)]
    assert report.problems[0].what == "records 4 to 6 are not what was noted before"


def test_a_chain_that_has_grown_since_it_was_noted():
    found, head = records(3)
    more, new_head = records(2, head)
    assert check([*found, *more], new_head, known=[Head(2, found[1].hash), head]).ok


def test_a_chain_shorter_than_what_was_noted():
    found, head = records(5)
    short = Head(3, found[2].hash)
    assert findings(check(found[:3], short, known=[head])) == [(Finding.TRUNCATED, 4)]


def test_records_behind_the_head_and_a_head_that_is_another():
    found, _ = records(5)
    assert findings(check(found, Head(3, found[2].hash))) == [(Finding.REWRITTEN, 4)]
    assert findings(check(found, Head(5, HASH))) == [(Finding.ALTERED, 5)]
    (other,), _ = records(1, Head(0, HASH))
    assert findings(check([other])) == [(Finding.REWRITTEN, 1)]


def test_a_report_is_bounded(monkeypatch):
    monkeypatch.setattr(chain, "MAX_PROBLEMS", 5)
    monkeypatch.setattr(chain, "MAX_COMPARED", 2)
    found, head = records(20)
    report = check([edited(record, kind="x") for record in found], head)
    assert (len(report.problems), report.more) == (5, 15)


# --- any tampering -------------------------------------------------------------------------------

LENGTH = 8
CHANGES = st.one_of(
    st.tuples(st.just("alter"), st.integers(0, LENGTH - 1)),
    st.tuples(st.just("reseal"), st.integers(0, LENGTH - 1)),
    st.tuples(st.just("remove"), st.integers(0, LENGTH - 1)),
    st.tuples(st.just("repeat"), st.integers(0, LENGTH - 1)),
    st.tuples(st.just("swap"), st.integers(0, LENGTH - 2)),
)


@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_no_change_goes_unnoticed(changes):
    original, head = records(LENGTH)
    found = list(original)
    for change, at in changes:
        at = min(at, max(0, len(found) - 2))
        if not found:
            break
        if change == "alter":
            found[at] = edited(found[at], subject="x")
        elif change == "reseal":
            found[at] = resealed(found[at], subject="x")
        elif change == "remove":
            del found[at]
        elif change == "repeat":
            found.insert(at, found[at])
        elif len(found) > 1:
            found[at], found[at + 1] = found[at + 1], found[at]
    assert check(found, head).ok == (found == original)


# --- lines ---------------------------------------------------------------------------------------


def export(found, head):
    return [record.line() + b"\n" for record in found] + [head_line(head) + b"\n"]


def test_an_export_can_be_read_again():
    found, head = records(4)
    lines = export(found, head)
    assert [read_line(line) for line in lines] == [*found, head]
    assert verify_lines(lines).ok
    assert list(heads_of_lines(lines)) == [Head(record.seq, record.hash) for record in found]
    assert list(heads_of_lines([head_line(head)])) == [head]


def test_an_export_that_was_cut():
    found, head = records(4)
    assert findings(verify_lines(export(found, head)[:3])) == [(Finding.INCOMPLETE, 4)]
    assert findings(verify_lines([])) == [(Finding.INCOMPLETE, 1)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"seq":1}',
        b'{"head":1}',
        b'{"head":{"seq":1,"hash":"x"}}',
        b'{"hash":"%s","previous":"%s","seq":0}' % (HASH.encode(), HASH.encode()),
        b'{"hash":"%s","previous":"%s","seq":1.0}' % (HASH.encode(), HASH.encode()),
        b'{"hash":"%s","previous":"%s","seq":true}' % (HASH.encode(), HASH.encode()),
        b"[" * 100_000,
    ],
)
def test_lines_that_are_no_records(line):
    with pytest.raises(ChainError):
        read_line(line)
    found, head = records(2)
    lines = export(found, head)
    assert findings(verify_lines([lines[0], line, *lines[1:]])) == [(Finding.UNREADABLE, 2)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"kind":"did"', b'"kind": "did"'),
        (b'"kind":"did"', b'"kind":"did","kind":"did"'),
        (b'"kind":"did"', b'"kind":"nothing","kind":"did"'),
        (b'"kind":"did"', b'"kind":"d\\u0069d"'),
    ],
)
def test_a_line_that_only_means_the_same_is_not_the_same(old, new):
    found, head = records(3)
    lines = export(found, head)
    assert old in lines[1]
    lines[1] = lines[1].replace(old, new)
    report = verify_lines(lines)
    assert findings(report)[0][0] == Finding.UNREADABLE
    assert "record 2" in report.problems[0].what


def test_lines_that_are_too_long(monkeypatch):
    monkeypatch.setattr(chain, "MAX_LINE", 100)
    found, head = records(1)
    assert findings(verify_lines(export(found, head)))[0] == (Finding.UNREADABLE, 1)


def test_lines_behind_the_head():
    found, head = records(2)
    lines = export(found, head)
    assert findings(verify_lines([*lines, lines[0]])) == [(Finding.UNREADABLE, 3)]


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_answered(lines):
    assert not verify_lines(lines).ok


@given(st.binary(max_size=200), st.integers(0, 10))
def test_bytes_written_over_an_export_are_noticed(junk, at):
    found, head = records(5)
    whole = b"".join(export(found, head))
    start = min(at * 97, len(whole))
    damaged = whole[:start] + junk + whole[start + len(junk) :]
    report = verify_lines(damaged.splitlines(keepends=True))
    assert report.ok == (damaged == whole)


def test_comparing_with_what_is_no_export():
    found, head = records(3)
    lines = export(found, head)
    with pytest.raises(ChainError, match="line 2"):
        list(heads_of_lines([lines[0], b"x"]))
    with pytest.raises(ChainError, match="order"):
        list(heads_of_lines([lines[1], lines[0]]))


# --- canonical -----------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.from_regex(r"[a-zA-Z]{1,8}", fullmatch=True), VALUES))
def test_canonical_json_is_json_and_does_not_depend_on_order(value):
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(dict(reversed(list(value.items())))) == text
    assert canonical(json.loads(text)) == text


def test_canonical_json_as_rfc_8785_writes_it():
    value = {"b": '\u20ac$\u000f\nA\'B"\\\\"/\x7f', "a": [None, True, 56]}
    assert canonical(value) == (
        '{"a":[null,true,56],"b":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f"}'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), b"x", "\ud800"])
def test_what_has_no_canonical_json(value):
    with pytest.raises((ValueError, TypeError)):
        canonical({"a": value})


def test_times():
    assert moment(0) == "1970-01-01T00:00:00.000Z"
    assert moment(1_793_181_905_007) == "2026-10-28T10:05:05.007Z"


def test_heads_as_text():
    head = Head(12, HASH)
    assert Head.parse(f" {head}\n") == head
    for text in ("", "1", "x:" + HASH, "1:" + HASH[:-1], "-1:" + HASH, "1:" + HASH.upper()):
        with pytest.raises(ChainError):
            Head.parse(text)
