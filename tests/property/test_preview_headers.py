"""Whatever the two sides send, the boundary between them holds."""

from hypothesis import given
from hypothesis import strategies as st

from earthshine.control.previews.headers import Names, to_browser, to_server

NAMES = Names("http://abc.preview.localhost:7181", 3000)
NAME = st.sampled_from(
    [b"cookie", b"set-cookie", b"origin", b"referer", b"location", b"connection", b"host", b"x-own",
     b"x-forwarded-host", b"strict-transport-security", b"clear-site-data", b"upgrade"]
)  # fmt: skip
PIECE = st.sampled_from(
    [b"earthshine_sign_in=1", b"__Host-EarthShine=2", b"a=1", b"=", b";", b" ", b"; ", b"Domain=x",
     b"domain", b"\t", b"http://localhost:3000", b"http://abc.preview.localhost:7181", b"/",
     b"x-own", b",", b"=earthshine=1"]
)  # fmt: skip
VALUE = st.one_of(st.lists(PIECE, max_size=6).map(b"".join), st.binary(max_size=40))
HEADERS = st.lists(st.tuples(NAME, VALUE), max_size=8)


def cookie_names(value: bytes) -> list[bytes]:
    """As a server reads them."""
    return [part.partition(b"=")[0].strip().lower() for part in value.split(b";")]


def is_ours(name: bytes) -> bool:
    return name.removeprefix(b"__host-").removeprefix(b"__secure-").startswith(b"earthshine")


@given(HEADERS)
def test_to_the_server(headers):
    seen = to_server(headers, NAMES)
    assert [value for name, value in seen if name == b"host"] == [b"localhost:3000"]
    for name, value in seen:
        assert name not in {b"connection", b"upgrade", b"x-forwarded-host"}
        if name == b"cookie":
            assert not any(map(is_ours, cookie_names(value)))
        if name == b"origin":
            assert value == b"http://localhost:3000"


@given(HEADERS)
def test_to_the_browser(headers):
    for name, value in to_browser(headers, NAMES):
        assert name not in {b"connection", b"upgrade", b"clear-site-data"}
        if name == b"set-cookie":
            pair, *attributes = value.split(b";")
            cookie = pair.strip()
            # RFC 6265bis, 5.6: without "=", or with nothing before it, the name is empty.
            cookie_name, equals, rest = cookie.partition(b"=")
            serialised = rest if equals and not cookie_name.strip() else cookie
            assert not is_ours(serialised.strip().lower())
            assert b"domain" not in cookie_names(b";".join(attributes))
