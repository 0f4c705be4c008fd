import pytest

from earthshine.control.previews.headers import Names, cookies_named, to_browser, to_server

NAMES = Names("http://abc.preview.localhost:7181", 3000)


def test_the_server_is_spoken_to_as_localhost():
    seen = to_server(
        [
            (b"host", b"abc.preview.localhost:7181"),
            (b"origin", b"http://abc.preview.localhost:7181"),
            (b"referer", b"http://abc.preview.localhost:7181/a?b"),
            (b"accept", b"*/*"),
            (b"content-length", b"3"),
        ],
        NAMES,
    )
    assert seen == [
        (b"host", b"localhost:3000"),
        (b"origin", b"http://localhost:3000"),
        (b"referer", b"http://localhost:3000/a?b"),
        (b"accept", b"*/*"),
        (b"content-length", b"3"),
    ]


def test_foreign_origins_and_referers_are_not_passed_off_as_ours():
    seen = to_server(
        [
            (b"origin", b"http://abc.preview.localhost:71810"),
            (b"referer", b"http://abc.preview.localhost:7181.evil.example/"),
        ],
        NAMES,
    )
    assert seen == [(b"host", b"localhost:3000")]


def test_headers_for_one_hop_stay_on_it():
    hop = [
        (b"connection", b"Keep-Alive, X-Secret"),
        (b"keep-alive", b"timeout=5"),
        (b"x-secret", b"1"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
    ]
    assert to_server(hop, NAMES) == [(b"host", b"localhost:3000")]
    assert to_browser(hop, NAMES) == []


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"earthshine_sign_in=x", None),
        (b"a=1; earthshine-preview-q=x; b=2", b"a=1; b=2"),
        (b" EARTHSHINE_X=1 ;a=1;;", b"a=1"),
        (b"__Host-earthshine=1; __Secure-Earthshine=2; __Host-mine=3", b"__Host-mine=3"),
        (b"notearthshine=1", b"notearthshine=1"),
    ],
)
def test_our_cookies_are_taken_out(sent, passed):
    seen = dict(to_server([(b"cookie", sent)], NAMES))
    assert seen.get(b"cookie") == passed


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b"a=1", b"a=1"),
        (b"a=1; Path=/; Domain=localhost; Secure", b"a=1; Path=/; Secure"),
        (b"a=1;DOMAIN=.preview.localhost;HttpOnly", b"a=1;HttpOnly"),
        (b"earthshine_sign_in=1; Path=/", None),
        (b"__Host-Earthshine=1; Secure; Path=/", None),
        (b"=earthshine_sign_in=1", None),
        (b"earthshine_sign_in", None),
        (b"=a", b"=a"),
    ],
)
def test_a_page_sets_cookies_for_itself_only(sent, passed):
    seen = dict(to_browser([(b"set-cookie", sent)], NAMES))
    assert seen.get(b"set-cookie") == passed


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b"/a", b"/a"),
        (b"http://localhost:3000", b"http://abc.preview.localhost:7181"),
        (b"http://127.0.0.1:3000/a", b"http://abc.preview.localhost:7181/a"),
        (b"http://[::1]:3000?x", b"http://abc.preview.localhost:7181?x"),
        (b"http://localhost:30001/", b"http://localhost:30001/"),
        (b"https://login.example/?back=http://localhost:3000/",) * 2,
    ],
)
def test_redirects_lead_back(sent, passed):
    assert to_browser([(b"location", sent)], NAMES) == [(b"location", passed)]


def test_effects_on_the_whole_host_are_dropped():
    for name in (b"strict-transport-security", b"clear-site-data", b"alt-svc", b"set-cookie2"):
        assert to_browser([(name, b"x")], NAMES) == []


def test_every_value_of_a_cookie_is_found():
    headers = [(b"cookie", b"a=1; b=2"), (b"x", b"a=9"), (b"cookie", b"aa=3;a=4;a=")]
    assert cookies_named(headers, "a") == ["1", "4", ""]
