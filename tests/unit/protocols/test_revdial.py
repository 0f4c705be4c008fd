from typing import Any

import msgspec
import pytest

from earthshine.protocols import revdial
from earthshine.protocols.revdial import (
    Dial,
    DialFailed,
    DialFault,
    DialSpares,
    Grant,
    Preamble,
    TcpDestination,
    TicketBook,
    TicketFault,
    TicketRefusedError,
    UnixDestination,
    parse_destination,
)

ENTROPY = bytes(range(32))
GRANT = Grant("d1", "runner-1", "localhost:3000")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("localhost:3000", TcpDestination("localhost", 3000)),
        ("LocalHost:3000", TcpDestination("localhost", 3000)),
        ("127.0.0.1:1", TcpDestination("127.0.0.1", 1)),
        ("[::1]:65535", TcpDestination("::1", 65535)),
        ("[0:0:0:0:0:0:0:1]:80", TcpDestination("::1", 80)),
        ("db.internal:5432", TcpDestination("db.internal", 5432)),
        ("unix:/run/user/1000/wolf.sock", UnixDestination("/run/user/1000/wolf.sock")),
        ("unix:/tmp/größe.sock", UnixDestination("/tmp/größe.sock")),
    ],
)
def test_a_destination_names_one_address(text, meaning):
    assert parse_destination(text) == meaning
    assert parse_destination(str(meaning)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":3000", "localhost", "localhost:", "localhost:0", "localhost:65536",
        "localhost:03000", "localhost:+80", "localhost:80 ", " localhost:80",
        "localhost:\uff18\uff10",
        "localhost:3000-4000", "localhost:3000,4000", "a:1,b:2", "*:80", "*.internal:80",
        "0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80", "255.255.255.255:80", "224.0.0.1:80",
        "[ff02::1]:80", "[fe80::1%eth0]:80", "::1:80", "[127.0.0.1]:80", "[localhost]:80",
        # Spellings of addresses that resolvers accept and rules would miss:
        "0:80", "127.1:80", "2130706433:80", "0x7f000001:80", "127.0.0.01:80", "x.0x1:80",
        "-a:80", "a-:80", "a..b:80", "a.:80", ".:80", "a b:80", "a\n:80", "user@host:80", "a/b:80",
        "localhost:80/", "höst:80", "a" * 64 + ":80", "a." * 130 + "a:80",
        "unix:", "unix:/", "unix:relative.sock", "unix:/a/../b", "unix:/a/./b", "unix:/a//b",
        "unix:/a/", "unix:/a\0b", "unix:/a\nb", "unix:/tmp/*.sock", "unix:/" + "a" * 107,
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(revdial.BadDestinationError):
        parse_destination(text)


def test_a_wildcard_destination_in_a_ticket():
    """A ticket is for one address: one that stands for many is not read, and none is widened."""
    for text in ("*:80", "0.0.0.0:80", "[::]:80", "localhost:*", "unix:/run/*.sock"):
        with pytest.raises(revdial.BadDestinationError):
            parse_destination(text)
        book = TicketBook()
        ticket = book.issue(GRANT, entropy=bytes(32), now=0)
        with pytest.raises(TicketRefusedError, match="another destination"):
            book.redeem(ticket, runner_id="runner-1", destination=text, now=1)


def test_control_messages_are_one_union_told_apart_by_their_action():
    union = msgspec.json.Decoder(Dial | DialSpares | DialFailed)
    dial = Dial("d1", "t1", "localhost:3000")
    assert msgspec.json.encode(dial) == (
        b'{"action":"dial","dial_id":"d1","ticket":"t1","destination":"localhost:3000"}'
    )
    for message in (dial, DialSpares(["t1", "t2"]), DialFailed("d1", DialFault.REFUSED, "no")):
        assert union.decode(msgspec.json.encode(message)) == message


class TestTickets:
    def test_good_once(self):
        book = TicketBook()
        ticket = book.issue(GRANT, entropy=ENTROPY, now=0)
        show: dict[str, Any] = {
            "runner_id": "runner-1",
            "destination": "localhost:3000",
            "now": 1.0,
        }
        assert book.redeem(ticket, **show) == GRANT
        with pytest.raises(TicketRefusedError) as refused:
            book.redeem(ticket, **show)
        assert refused.value.why is TicketFault.USED

    @pytest.mark.parametrize(
        ("shown", "why"),
        [
            ({"runner_id": "runner-2"}, TicketFault.OTHER_RUNNER),
            ({"destination": "localhost:3001"}, TicketFault.OTHER_DESTINATION),
            ({"destination": "spare"}, TicketFault.OTHER_DESTINATION),
            ({"now": revdial.TICKET_LIFE_SECONDS}, TicketFault.EXPIRED),
        ],
    )
    def test_shown_wrongly_it_is_refused_and_spent(self, shown, why):
        book = TicketBook()
        ticket = book.issue(GRANT, entropy=ENTROPY, now=0)
        right: dict[str, Any] = {
            "runner_id": "runner-1",
            "destination": "localhost:3000",
            "now": 1.0,
        }
        with pytest.raises(TicketRefusedError) as refused:
            book.redeem(ticket, **{**right, **shown})
        assert refused.value.why is why
        with pytest.raises(TicketRefusedError) as again:
            book.redeem(ticket, **right)
        assert again.value.why is TicketFault.USED

    @pytest.mark.parametrize("ticket", ["", "d1", "x" * 5000, "\udc80"])
    def test_knowing_something_else_is_not_enough(self, ticket):
        book = TicketBook()
        book.issue(GRANT, entropy=ENTROPY, now=0)
        with pytest.raises(TicketRefusedError) as refused:
            book.redeem(ticket, runner_id="runner-1", destination="localhost:3000", now=1)
        assert refused.value.why is TicketFault.UNKNOWN

    def test_withdrawn_by_dial_or_by_runner(self):
        book = TicketBook()
        first = book.issue(GRANT, entropy=ENTROPY, now=0)
        second = book.issue(Grant("d2", "runner-1", "spare"), entropy=bytes(32), now=0)
        book.withdraw(dial_id="d1")
        for ticket, destination, why in (
            (first, "localhost:3000", TicketFault.UNKNOWN),
            (second, "spare", None),
        ):
            if why is None:
                book.redeem(ticket, runner_id="runner-1", destination=destination, now=1)
                continue
            with pytest.raises(TicketRefusedError) as refused:
                book.redeem(ticket, runner_id="runner-1", destination=destination, now=1)
            assert refused.value.why is why
        book.withdraw(runner_id="runner-1")
        assert len(book) == 0

    def test_bounded_and_forgetful(self):
        book = TicketBook(limit=2)
        one = book.issue(GRANT, entropy=bytes(32), now=0)
        book.issue(GRANT, entropy=b"1" * 32, now=0)
        with pytest.raises(revdial.RevdialError, match="too many"):
            book.issue(GRANT, entropy=b"2" * 32, now=1)
        book.redeem(one, runner_id="runner-1", destination="localhost:3000", now=1)
        book.issue(GRANT, entropy=b"2" * 32, now=1)  # in the place of the used one
        book.forget_expired(revdial.TICKET_LIFE_SECONDS)
        assert len(book) == 1
        with pytest.raises(revdial.RevdialError, match="random"):
            book.issue(GRANT, entropy=b"short", now=1)

    def test_ids_need_entropy(self):
        assert revdial.dial_id_from(bytes(16)) == "0" * 32
        with pytest.raises(revdial.RevdialError):
            revdial.dial_id_from(bytes(15))


class TestSpares:
    def test_preamble_layout(self):
        data = revdial.encode_preamble(Preamble("d1", "localhost:3000"))
        body = b'{"dial_id":"d1","destination":"localhost:3000"}'
        assert data == b"\x01\x00" + bytes([len(body)]) + body
        assert revdial.preamble_length(data[:3]) == len(body)
        assert revdial.decode_preamble(body) == Preamble("d1", "localhost:3000")

    @pytest.mark.parametrize(
        "header", [b"", b"\x01\x00", b"\x01\0\0", b"\x02\0\x01", b"\x01\x04\x01"]
    )
    def test_bad_header(self, header):
        with pytest.raises(revdial.BadPreambleError):
            revdial.preamble_length(header)

    @pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff", b'{"dial_id":1}'])
    def test_bad_body(self, body):
        with pytest.raises(revdial.BadPreambleError):
            revdial.decode_preamble(body)

    def test_too_long_a_preamble_is_not_made(self):
        with pytest.raises(revdial.BadPreambleError):
            revdial.encode_preamble(Preamble("d1", "x" * 1100))

    def test_status_bytes(self):
        assert revdial.encode_status(None) == b"\0"
        assert revdial.decode_status(b"\0") is None
        for byte, fault in revdial.STATUS_BYTES.items():
            assert revdial.encode_status(fault) == bytes([byte])
            assert revdial.decode_status(bytes([byte])) is fault
        assert revdial.encode_status(DialFault.DIAL_BACK) == b"\x04"
        for wrong in (b"", b"\0\0", b"\x63"):
            with pytest.raises(revdial.BadPreambleError):
                revdial.decode_status(wrong)
