"""The parsers of reverse dial on anything at all: a value, or their documented error."""

import ipaddress
import string

from hypothesis import example, given, settings
from hypothesis import strategies as st

from earthshine.protocols.revdial import (
    BadDestinationError,
    BadPreambleError,
    Grant,
    Preamble,
    TcpDestination,
    TicketBook,
    TicketRefusedError,
    decode_preamble,
    decode_status,
    encode_preamble,
    parse_destination,
    preamble_length,
)

PORTS = st.integers(1, 65535)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda address: f"[{address}]")
)


@given(st.text())
@example("[::1]:80")
@example("unix:/a")
def test_any_text_is_a_canonical_destination_or_refused(text):
    canonical_or_refused(text)


def canonical_or_refused(text: str) -> None:
    try:
        destination = parse_destination(text)
    except BadDestinationError:
        return
    assert parse_destination(str(destination)) == destination


@given(st.text(alphabet=string.hexdigits + ".:[]xX-_,* /unix"), PORTS)
def test_near_misses(host, port):
    canonical_or_refused(f"{host}:{port}")


@given(ADDRESSES, PORTS)
def test_an_address_means_itself_unless_it_stands_for_many(host, port):
    address = ipaddress.ip_address(host.strip("[]"))
    try:
        destination = parse_destination(f"{host}:{port}")
    except BadDestinationError:
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert mapped.is_unspecified or mapped.is_multicast or str(mapped) == "255.255.255.255"
    else:
        assert isinstance(destination, TcpDestination)
        assert (ipaddress.ip_address(destination.host), destination.port) == (address, port)


@given(st.text(max_size=64), st.text(max_size=64))
def test_preamble_round_trip_and_every_truncation(dial_id, destination):
    preamble = Preamble(dial_id, destination)
    try:
        data = encode_preamble(preamble)
    except BadPreambleError:
        return
    length = preamble_length(data[:3])
    assert decode_preamble(data[3 : 3 + length]) == preamble
    for cut in range(length):
        try:
            decode_preamble(data[3 : 3 + cut])
        except BadPreambleError:
            continue
        raise AssertionError("a truncated preamble was accepted")


@given(st.binary(max_size=2000))
def test_random_bytes_on_a_spare(data):
    for parse in (preamble_length, decode_preamble, decode_status):
        try:
            parse(data)
        except BadPreambleError:
            continue


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["issue", "redeem", "withdraw"]),
            st.integers(0, 5),
            st.sampled_from(["r1", "r2"]),
            st.sampled_from(["localhost:1", "localhost:2"]),
            st.floats(0, 10),
        ),
        max_size=40,
    )
)
def test_no_history_lets_a_ticket_in_twice_or_for_another(history):
    book = TicketBook(life=5, limit=4)
    grants: dict[str, tuple[Grant, float]] = {}
    spent: set[str] = set()
    now = 0.0
    for serial, (act, number, runner, place, pause) in enumerate(history):
        now += pause
        tickets = list(grants)
        if act == "issue":
            grant = Grant(str(serial), runner, place)
            try:
                ticket = book.issue(grant, entropy=serial.to_bytes(32, "big"), now=now)
            except ValueError:
                continue
            grants[ticket] = (grant, now + 5)
        elif act == "withdraw":
            book.withdraw(runner_id=runner)
            spent.update(key for key, (grant, _) in grants.items() if grant.runner_id == runner)
        elif tickets:
            ticket = tickets[number % len(tickets)]
            grant, expires = grants[ticket]
            try:
                got = book.redeem(ticket, runner_id=runner, destination=place, now=now)
            except TicketRefusedError:
                pass
            else:
                assert ticket not in spent
                assert now < expires
                assert got == grant == Grant(grant.dial_id, runner, place)
            spent.add(ticket)
