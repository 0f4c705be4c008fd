"""Who a request is from behind proxies: who may say so, and what is made of wrong words."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from earthshine.control.forwarded import (
    MAX_HEADER,
    MAX_HOPS,
    BadForwardedError,
    Hop,
    TrustsProxies,
    client,
    forwarded,
    x_forwarded,
)

PROXIES = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")]
NEAR = ipaddress.ip_address("10.0.0.1")


def ip(text):
    return ipaddress.ip_address(text)


def seen(value, kind="x-forwarded", peer=NEAR, proto=None):
    name = b"forwarded" if kind == "forwarded" else b"x-forwarded-for"
    headers = [(name, line.encode("latin-1")) for line in value.split("\n")]
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode()))
    return client(peer, headers, PROXIES, kind)


@pytest.mark.parametrize(
    ("value", "address", "port"),
    [
        ("203.0.113.7", "203.0.113.7", 0),
        ("203.0.113.7:4711", "203.0.113.7", 4711),
        ("2001:db8::7", "2001:db8::7", 0),
        ("[2001:db8::7]", "2001:db8::7", 0),
        ("[2001:db8::7]:4711", "2001:db8::7", 4711),
        ("::ffff:203.0.113.7", "203.0.113.7", 0),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7", 0),  # the client invented the first
        ("198.51.100.1\n203.0.113.7", "203.0.113.7", 0),
        ("203.0.113.7, 10.9.9.9 ,fd00::1", "203.0.113.7", 0),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1", 0),
        ("unknown, 10.2.2.2", "10.2.2.2", 0),
        ("nonsense, 203.0.113.7", "203.0.113.7", 0),
        ('for="x, 203.0.113.7', "203.0.113.7", 0),
        ("x" * 10_000 + ", 203.0.113.7", "203.0.113.7", 0),
        ("1.1.1.1," * 1000 + "203.0.113.7", "203.0.113.7", 0),
    ],
)
def test_the_last_address_that_is_no_proxy_is_the_client(value, address, port):
    assert seen(value) == Hop(ip(address), port)


def test_more_proxies_than_anybody_has():
    assert seen("203.0.113.7" + ",10.0.0.1" * MAX_HOPS) == Hop(ip("10.0.0.1"))
    cut = "203.0.113.7," + " " * (MAX_HEADER - 16) + ",10.0.0.9"
    with pytest.raises(BadForwardedError):
        seen(cut)
    assert seen("20" + "3.0.113.7".rjust(MAX_HEADER - 9, "x") + ",10.0.0.1") == Hop(ip("10.0.0.1"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.7", Hop(ip("203.0.113.7"))),
        ('For="203.0.113.7:80" ; proto=HTTPS', Hop(ip("203.0.113.7"), 80, "https")),
        ('for="[2001:db8::7]:80";by=10.0.0.1', Hop(ip("2001:db8::7"), 80)),
        (
            "for=198.51.100.1;proto=https, for=203.0.113.7;proto=http, for=10.0.0.3;proto=https",
            Hop(ip("203.0.113.7"), 0, "http"),
        ),
        (' , for=203.0.113.7;host="a,for=6.6.6.6"', Hop(ip("203.0.113.7"))),
        (r'for="2\03.0.113.7"', Hop(ip("203.0.113.7"))),
        ("for=unknown, for=10.0.0.3;proto=https", Hop(ip("10.0.0.3"), 0, "https")),
        ("for=_hidden", None),
        ("proto=https", None),
        ("", None),
        ('for="203.0.113.7:_x"', Hop(ip("203.0.113.7"))),
    ],
)
def test_the_standard_header(value, expected):
    assert seen(value, "forwarded") == expected


@pytest.mark.parametrize(
    "value",
    [
        "for=1.2.3.4;for=5.6.7.8",
        'for="1.2.3.4',
        "for=1.2.3.4:80",  # a colon needs quotes
        "for=[::1]",
        'for="::1:80:"',
        'for="1.2.3.4:99999"',
        'for="fe80::1%eth0"',
        "for=1.2.3",
        "for 1.2.3.4",
        "for=1.2.3.4 for=2.3.4.5",
        'for="[1.2.3.4]"',
        'for="[::1"',
        'for="[::1]80"',
        ",".join(["for=10.0.0.1"] * (MAX_HOPS + 1)),
        "for=1.2.3.4;x=" + "y" * MAX_HEADER,
    ],
)
def test_a_standard_header_that_cannot_be_read(value):
    with pytest.raises(BadForwardedError):
        seen(value, "forwarded")


@pytest.mark.parametrize("value", ["", " ", "1.2.3.4:", "1.2.3.4:x", "a:b", "1.2.3.256", "[::1]x"])
def test_an_address_that_cannot_be_read(value):
    if value:
        with pytest.raises(BadForwardedError):
            seen(value)
    else:
        assert seen(value) is None


def test_a_stranger_may_say_what_they_like():
    assert seen("198.51.100.1", peer=ip("203.0.113.7")) is None
    assert seen("for=198.51.100.1", "forwarded", peer=ip("203.0.113.7")) is None
    assert seen("198.51.100.1", peer=ip("10.0.0.1")) is not None


def test_the_kind_that_the_proxy_does_not_write_is_the_clients():
    both = [(b"forwarded", b"for=6.6.6.6"), (b"x-forwarded-for", b"203.0.113.7")]
    assert client(NEAR, both, PROXIES) == Hop(ip("203.0.113.7"))
    assert client(NEAR, both, PROXIES, "forwarded") == Hop(ip("6.6.6.6"))


@pytest.mark.parametrize(
    ("addresses", "schemes", "expected"),
    [
        ("203.0.113.7", "https", "https"),
        ("203.0.113.7", "HTTP", "http"),
        ("203.0.113.7", "gopher", None),
        ("203.0.113.7", None, None),
        ("203.0.113.7, 10.0.0.2", "https, http", "https"),
        ("203.0.113.7, 10.0.0.2", "https", "https"),
        ("203.0.113.7", "https, http", "http"),  # the first one is the client's own
        ("203.0.113.7", "wss", "https"),
    ],
)
def test_how_the_client_came(addresses, schemes, expected):
    assert seen(addresses, proto=schemes) == Hop(ip("203.0.113.7"), 0, expected)


words = st.sampled_from(
    ["for", "=", ";", ",", '"', "\\", " ", "1.2.3.4", "[::1]", ":80", "proto", "https", "_x", "\t"]
)
noise = st.lists(words | st.characters(max_codepoint=255), max_size=30).map("".join)


@given(noise)
@example('for="' + "\\" * 40)
@example("a=b;" * 400)
@example(" " * 2000 + "x")
def test_any_header_is_read_or_refused(value):
    for read in (forwarded, lambda text: list(x_forwarded(text, text))):
        try:
            hops = read(value)
        except BadForwardedError:
            continue
        assert len(hops) <= MAX_HOPS
        for hop in hops:
            assert 0 <= hop.port <= 65535
            assert hop.scheme in (None, "http", "https")


@given(noise, st.ip_addresses(), st.booleans())
def test_no_client_can_hide_behind_what_it_sends(sent, address, is_same_line):
    """Whatever a client sends, the address that our proxy adds is the one that counts."""
    value = sent + (", " if is_same_line else "\n") + str(address)
    plain = getattr(address, "ipv4_mapped", None) or address
    is_proxy = any(plain in network for network in PROXIES)
    try:
        found = seen(value.replace("\r", ""))
    except BadForwardedError:
        assert is_proxy or "%" in str(address)  # what it passed on is read too, and may be noise
        return
    if not is_proxy and "%" not in str(address):
        assert found is not None
        assert found.address == plain


class Recorder:
    """The application behind: keeps the scope."""

    async def __call__(self, scope, receive, send):
        self.scope = scope


async def passed(scope, trusted=PROXIES):
    recorder = Recorder()
    await TrustsProxies(recorder, trusted)(scope, None, None)  # type: ignore[arg-type]
    return recorder.scope


def scope(peer, *headers, kind="http", scheme="http"):
    return {"type": kind, "scheme": scheme, "client": peer, "headers": list(headers)}


FOR = (b"x-forwarded-for", b"203.0.113.7")
HTTPS = (b"x-forwarded-proto", b"https")


async def test_the_middleware_puts_the_client_in_the_proxys_place():
    result = await passed(scope(("10.0.0.1", 5), FOR, HTTPS))
    assert (result["client"], result["scheme"]) == (("203.0.113.7", 0), "https")
    result = await passed(scope(("::ffff:10.0.0.1", 5), FOR, HTTPS, kind="websocket", scheme="ws"))
    assert (result["client"], result["scheme"]) == (("203.0.113.7", 0), "wss")
    result = await passed(scope(("10.0.0.1", 5), FOR, kind="websocket", scheme="ws"))
    assert result["scheme"] == "ws"
    plain = (b"x-forwarded-proto", b"http")
    result = await passed(scope(("10.0.0.1", 5), FOR, plain, kind="websocket", scheme="wss"))
    assert result["scheme"] == "ws"


@pytest.mark.parametrize(
    ("peer", "headers", "trusted"),
    [
        (("203.0.113.9", 5), (FOR, HTTPS), PROXIES),
        (("10.0.0.1", 5), (FOR, HTTPS), []),
        (("10.0.0.1", 5), ((b"x-forwarded-for", b"x"), HTTPS), PROXIES),
        (("10.0.0.1", 5), (HTTPS,), PROXIES),
        (None, (FOR, HTTPS), PROXIES),
        (("/run/socket", 0), (FOR, HTTPS), PROXIES),
    ],
)
async def test_otherwise_the_peer_is_the_client(peer, headers, trusted):
    before = scope(peer, *headers)
    assert await passed(before, trusted) == before


async def test_other_kinds_of_scope_pass():
    assert await passed({"type": "lifespan"}) == {"type": "lifespan"}
