import pytest

from earthshine.protocols import feed
from earthshine.protocols.events import Event, Kind
from earthshine.protocols.feed import FeedError


def test_a_record_is_laid_out_as_documented():
    event = Event(0x0102, 0x0304, Kind.GAP, b"data")
    assert feed.record(event) == bytes.fromhex("0000000000000102 0000000000000304 09 00000004") + (
        b"data"
    )


def test_a_message_holds_any_number_of_records():
    events = [Event(1, 5, Kind.OUTPUT, b""), Event(2, 6, 200, b"new"), Event(3, 7, 1, b"\0" * 9)]
    assert list(feed.records(b"".join(map(feed.record, events)))) == events
    assert list(feed.records(b"")) == []


def test_records_that_are_cut_short_are_refused():
    message = feed.record(Event(1, 0, 1, b"abc")) + feed.record(Event(2, 0, 1, b"def"))
    for cut in range(1, len(message)):
        if cut == len(message) // 2:
            continue
        with pytest.raises(FeedError, match="cut short"):
            list(feed.records(message[:cut]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"type":"prompt","commandId":"a-1","text":"hi"}',
            feed.Prompt(command_id="a-1", text="hi"),
        ),
        ('{"type":"interrupt","commandId":"a"}', feed.Interrupt(command_id="a")),
        ('{"type":"resize","cols":80,"rows":24}', feed.Resize(cols=80, rows=24)),
        ('{"type":"lead"}', feed.Lead()),
        ('{"type":"ack","seq":7}', feed.Ack(seq=7)),
        ('{"type":"ping","ts":1.5}', feed.Ping(ts=1.5)),
        ('{"type":"lead","later":1}', feed.Lead()),
    ],
)
def test_what_clients_say(text, message):
    assert feed.decode(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"type":"dance"}',
        '{"type":"prompt","commandId":"a","text":""}',
        '{"type":"prompt","commandId":"","text":"x"}',
        '{"type":"prompt","commandId":"a b","text":"x"}',
        '{"type":"interrupt","commandId":"a\\n"}',
        '{"type":"interrupt","commandId":"%s"}' % ("a" * 65),
        '{"type":"prompt","commandId":"a","text":"%s"}' % ("x" * (256 * 1024 + 1)),
        '{"type":"resize","cols":1,"rows":24}',
        '{"type":"resize","cols":1001,"rows":24}',
        '{"type":"resize","cols":80,"rows":0}',
        '{"type":"resize","cols":80.5,"rows":24}',
        '{"type":"ack","seq":-1}',
        '{"type":"ack","seq":99999999999999999999}',
        '{"type":"ping","ts":1e999}',
        "\ud800",
        "x" * (feed.MAX_TEXT + 1),
    ],
    ids=lambda text: repr(text)[:50],
)
def test_what_is_not_this_protocol_is_refused(text):
    with pytest.raises(FeedError):
        feed.decode(text)
