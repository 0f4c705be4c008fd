"""The XML API: recorded requests are understood, recorded answers are written byte for byte."""

from typing import Any

import pytest

from earthshine.protocols.moonlight import answers, applist, launch, serverinfo
from earthshine.protocols.moonlight.answers import AnswerError, AnswerRefusedError, build_answer
from earthshine.protocols.moonlight.query import Request, RequestError, parse_target
from earthshine.protocols.moonlight.serverinfo import CodecSupport, ServerInfo

HOST = ServerInfo(
    hostname="Fixture Host",
    unique_id="5d9f1f4c-0f1f-4f5a-9d3d-0c6a3c3a1111",
    paired=False,
    max_luma_pixels_hevc=serverinfo.HEVC_MAX_LUMA_PIXELS,
    codecs=CodecSupport(197377),
)
APPS = [
    applist.App(1093255277, "Desktop"),
    applist.App(881448767, "Game & Co", hdr=True),
    applist.App(2, "Terminal"),
]


@pytest.fixture(scope="module")
def exchanges(recording):
    return [
        exchange
        for session in recording("http.json")["sessions"]
        for run in session["runs"]
        for exchange in run["exchanges"]
    ]


def target(exchange: Any) -> str:
    return str(exchange["request"].split(" ", 2)[1])


def on_path(exchanges: list[Any], *paths: str) -> list[Any]:
    chosen = [exchange for exchange in exchanges if exchange["path"] in paths]
    assert chosen
    return chosen


def test_every_recorded_target_is_read_and_written_back(exchanges):
    for exchange in exchanges:
        request = parse_target(target(exchange))
        assert request.path == exchange["path"]
        assert request.parameters == exchange["params"]
        assert request.target == target(exchange)


def test_every_recorded_answer_is_read(exchanges):
    for exchange in exchanges:
        body = exchange["response_body"].encode()
        if exchange["xml_status_code"] == 200:
            assert answers.parse_answer(body).name == "root"
        else:
            with pytest.raises(AnswerRefusedError) as refused:
                answers.parse_answer(body)
            assert refused.value.status == exchange["xml_status_code"]
            assert refused.value.message


def test_server_info_is_written_like_the_recording(exchanges):
    for exchange in on_path(exchanges, "/serverinfo"):
        body = exchange["response_body"].encode()
        if exchange["xml_status_code"] == 401:
            assert answers.unauthorised("/serverinfo") == body
            continue
        info = serverinfo.parse_server_info(body)
        assert info.encode() == body
        assert info.generation == (7, 1, 431, -1)
        assert info.paired == (exchange["transport"] == "https")


def test_server_info_of_this_host(exchanges):
    assert HOST.encode() == exchanges[0]["response_body"].encode()


def test_app_list_is_written_like_the_recording(exchanges):
    for exchange in on_path(exchanges, "/applist"):
        body = exchange["response_body"].encode()
        assert applist.build_app_list(APPS) == body
        assert applist.parse_app_list(body) == APPS


def test_launch_and_resume_are_read_and_written_like_the_recording(exchanges):
    seen = set()
    for exchange in on_path(exchanges, "/launch", "/resume"):
        request = parse_target(target(exchange))
        asked = launch.parse_launch(request)
        seen.add((asked.surround, asked.hdr))
        uuid = bytes.fromhex(exchange["params"]["uuid"].replace("-", ""))
        assert asked.encode(uuid).target == target(exchange)
        assert asked.encrypted_rtsp
        assert asked.resume == (exchange["path"] == "/resume")
        body = exchange["response_body"].encode()
        if exchange["xml_status_code"] == 200:
            url = launch.parse_launch_answer(body, resume=asked.resume, address="127.0.0.1")
            assert url.encrypted
            assert launch.build_launch_answer(url, resume=asked.resume) == body
        else:
            with pytest.raises(AnswerRefusedError) as refused:
                launch.parse_launch_answer(body, resume=False, address="")
            status, message = refused.value.status, refused.value.message
            assert launch.build_launch_refusal(status, message, resume=False) == body
    assert {(launch.SURROUND_51, True), (launch.SURROUND_71, False)} <= seen


def test_cancel_and_unpair_are_written_like_the_recording(exchanges):
    for exchange in on_path(exchanges, "/cancel"):
        assert launch.build_cancel_answer() == exchange["response_body"].encode()
        assert launch.parse_cancel_answer(exchange["response_body"].encode())
    for exchange in on_path(exchanges, "/unpair"):
        assert build_answer() == exchange["response_body"].encode()


def test_launch_values_are_typed(exchanges):
    request = parse_target(target(on_path(exchanges, "/launch")[0]))
    asked = launch.parse_launch(request)
    assert (asked.app_id, asked.width, asked.height, asked.fps) == (1093255277, 1280, 720, 60)
    assert asked.keys.key_id == 820768102
    assert asked.keys.key.hex() not in repr(asked)


@pytest.mark.parametrize("missing", ["rikey", "rikeyid", "appid", "localAudioPlayMode"])
def test_launch_without_a_needed_parameter_is_refused(missing, exchanges):
    full = parse_target(target(on_path(exchanges, "/launch")[0]))
    parameters = {name: value for name, value in full.parameters.items() if name != missing}
    with pytest.raises(RequestError, match=missing):
        launch.parse_launch(Request("/launch", parameters))
    if missing in ("rikey", "rikeyid"):
        with pytest.raises(RequestError, match=missing):
            launch.parse_launch(Request("/resume", parameters))
    else:
        assert launch.parse_launch(Request("/resume", parameters)).resume


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rikey", "00" * 15),
        ("rikey", "0g" * 16),
        ("rikeyid", "2147483648"),
        ("rikeyid", "1e3"),
        ("rikeyid", "9" * 30),
        ("appid", "-1"),
        ("mode", "1280x720"),
        ("mode", "99999x720x60"),
        ("surroundAudioInfo", "0"),
        ("surroundAudioInfo", str(0x3F << 16 | 9)),
    ],
)
def test_launch_values_out_of_range_are_refused(name, value, exchanges):
    full = parse_target(target(on_path(exchanges, "/launch")[0]))
    with pytest.raises(RequestError):
        launch.parse_launch(Request("/launch", full.parameters | {name: value}))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "serverinfo",
        "//host/path",
        "http://host/",
        "/p?a=1&a=2",
        "/p?" + "&".join(f"a{n}=1" for n in range(65)),
        "/p?a=" + "x" * 40000,
        "/p?a=%ff",
    ],
)
def test_bad_targets_are_refused(bad):
    with pytest.raises(RequestError):
        parse_target(bad)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<root/>",
        b'<other status_code="200"/>',
        b'<root status_code="two hundred"/>',
        b'<root status_code="200">',
        b'<!DOCTYPE root [<!ENTITY a "b">]><root status_code="200">&a;</root>',
        b'<!DOCTYPE root SYSTEM "file:///etc/passwd"><root status_code="200"/>',
        b'<root status_code="200">&undefined;</root>',
        b'<?run this?><root status_code="200"/>',
        b'<root status_code="200">' + b"<a>" * 9 + b"</a>" * 9 + b"</root>",
        b'<root status_code="200">' + b"<a/>" * 17000 + b"</root>",
        b'<root status_code="200" ' + b" ".join(b'a%d="1"' % n for n in range(20)) + b"/>",
        b'<root status_code="200">' + b" " * (1 << 20) + b"</root>",
        b'<?xml version="1.0" encoding="no-such"?><root status_code="200"/>',
    ],
)
def test_hostile_answers_are_refused(body):
    with pytest.raises(AnswerError) as refused:
        answers.parse_answer(body)
    assert not isinstance(refused.value, AnswerRefusedError)


def test_deep_text_is_not_quadratic():
    # Comments split character data into as many pieces; joining them must stay cheap.
    body = b'<root status_code="200"><a>' + b"x<!---->" * 100_000 + b"</a></root>"
    assert answers.parse_answer(body).require("a") == "x" * 100_000


def test_invalid_of_old_hosts_means_unsupported_client():
    for status in ("-1", "4294967295"):
        body = f'<root status_code="{status}" status_message="Invalid"/>'.encode()
        with pytest.raises(AnswerRefusedError) as refused:
            answers.parse_answer(body)
        assert refused.value.status == 418


def test_written_text_is_escaped_and_clean():
    apps = [applist.App(1, "<b>&\"'\x00\x1b\ud800é")]
    body = applist.build_app_list(apps)
    assert applist.parse_app_list(body)[0].title == "<b>&\"'\ufffd\ufffd\ufffdé"
    with pytest.raises(AnswerRefusedError) as refused:
        answers.parse_answer(build_answer(status=503, message="a \"b\" <c>\n'd'\x00"))
    assert refused.value.message == "a \"b\" <c> 'd'\ufffd" or "\n" in refused.value.message


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (launch.SessionUrl("192.0.2.1"), "rtsp://192.0.2.1:48010"),
        (launch.SessionUrl("2001:db8::1", 1234, True), "rtspenc://[2001:db8::1]:1234"),
    ],
)
def test_session_urls(url, text):
    assert str(url) == text
    assert launch.parse_session_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "http://a:1", "rtsp://", "rtsp://a:99999", "rtsp://[::1", "rtsp://" + "a" * 600]
)
def test_bad_session_urls_are_refused(text):
    with pytest.raises(AnswerError):
        launch.parse_session_url(text)


def test_missing_session_url_falls_back_to_the_address():
    body = b'<root status_code="200"><gamesession>1</gamesession></root>'
    url = launch.parse_launch_answer(body, resume=False, address="192.0.2.3")
    assert url == launch.SessionUrl("192.0.2.3", 48010, encrypted=False)
    with pytest.raises(AnswerError):
        launch.parse_launch_answer(body, resume=True, address="192.0.2.3")


@pytest.mark.parametrize(
    ("busy", "current", "start"),
    [
        (False, 0, launch.Start.LAUNCH),
        (False, 7, launch.Start.LAUNCH),
        (True, 0, launch.Start.LAUNCH),
        (True, 7, launch.Start.RESUME),
        (True, 8, launch.Start.CANCEL_THEN_LAUNCH),
    ],
)
def test_client_decides_how_to_start(busy, current, start):
    info = ServerInfo("h", "u", paired=True, busy=busy, current_app=current)
    assert launch.choose_start(info, 7) is start


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appversion", "seven"),
        ("currentgame", "-1"),
        ("currentgame", "x"),
        ("LocalIP", "::1"),
        ("HttpsPort", "70000"),
        ("appversion", ""),
    ],
)
def test_server_info_out_of_range_is_refused(name, value):
    fields = {
        "appversion": "7.1.431.-1",
        "currentgame": "0",
        "LocalIP": "127.0.0.1",
        "HttpsPort": "0",
    }
    assert serverinfo.parse_server_info(build_answer(list(fields.items()))).https_port == 47984
    with pytest.raises(AnswerError):
        serverinfo.parse_server_info(build_answer(list((fields | {name: value}).items())))


def test_app_ids_are_positive_and_stable():
    assert applist.stable_app_id("session-1") == applist.stable_app_id("session-1")
    assert 0 < applist.stable_app_id("session-2") <= 0x7FFFFFFF
    assert applist.parse_asset_request(parse_target("/appasset?appid=2&AssetType=2")) == 2
    with pytest.raises(RequestError):
        applist.parse_asset_request(parse_target("/appasset?appid=0"))
    with pytest.raises(AnswerError):
        applist.parse_app_list(build_answer([applist._element(applist.App(0, ""))]))
