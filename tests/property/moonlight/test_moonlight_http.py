"""What arrives before any trust exists: HTTP targets, XML answers, certificates, pairing."""

import contextlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from earthshine.protocols.moonlight import answers, applist, launch, serverinfo
from earthshine.protocols.moonlight.answers import AnswerError, Element
from earthshine.protocols.moonlight.certificates import Certificate, CertificateError, Identity
from earthshine.protocols.moonlight.pairing import PairingError
from earthshine.protocols.moonlight.pairing_client import PairingClient, PairingStopped
from earthshine.protocols.moonlight.pairing_host import (
    ClientName,
    ClientPaired,
    PairingHost,
    PhaseAnswered,
    PinRequested,
)
from earthshine.protocols.moonlight.query import Request, RequestError, parse_target

EXAMPLES = settings(max_examples=150, deadline=None)
FEW = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="session")
def identity(recording):
    good = recording("pairing.json")
    key = serialization.load_der_private_key(
        bytes.fromhex(good["host_private_key_pkcs8_der_hex"]), None
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity.from_pem(good["host_cert_pem"].encode(), pem)


def mutate(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """``data`` with bytes replaced, or cut where the value is above 255."""
    changed = bytearray(data)
    for at, value in changes:
        if changed:
            if value > 255:
                del changed[at % len(changed) :]
            else:
                changed[at % len(changed)] = value
    return bytes(changed)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 260)), max_size=6)


@EXAMPLES
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_as_an_answer(body):
    for parse in (serverinfo.parse_server_info, applist.parse_app_list):
        with pytest.raises(AnswerError):
            parse(b"<" + body)


@EXAMPLES
@given(st.data(), CHANGES)
def test_changed_answers(recording, data, changes):
    sessions = recording("http.json")["sessions"]
    bodies = [
        exchange["response_body"]
        for session in sessions
        for run in session["runs"]
        for exchange in run["exchanges"]
    ]
    body = mutate(data.draw(st.sampled_from(bodies)).encode(), changes)
    for parse in (
        serverinfo.parse_server_info,
        applist.parse_app_list,
        launch.parse_cancel_answer,
        lambda body: launch.parse_launch_answer(body, resume=False, address="h"),
    ):
        with contextlib.suppress(AnswerError):
            parse(body)


TEXT = st.text(max_size=60)


@EXAMPLES
@given(st.lists(st.tuples(st.integers(1, 2**31 - 1), TEXT, st.booleans()), max_size=20))
def test_app_lists_survive(entries):
    apps = [applist.App(*entry) for entry in entries]
    parsed = applist.parse_app_list(applist.build_app_list(apps))
    assert [(app.id, app.hdr) for app in parsed] == [(app.id, app.hdr) for app in apps]
    for app, back in zip(apps, parsed, strict=True):
        if app.title.isprintable():
            assert back.title == app.title.strip()


@EXAMPLES
@given(st.integers(-(2**31), 2**31), TEXT, TEXT)
def test_any_refusal_is_well_formed(status, message, query):
    body = answers.build_answer([Element("x", text=message)], status=status, message=message)
    if status == answers.OK:
        assert answers.parse_answer(body).name == "root"
    else:
        with pytest.raises(answers.AnswerRefusedError) as refused:
            answers.parse_answer(body)
        assert refused.value.status in (status, 418)
    with pytest.raises(answers.AnswerRefusedError):
        answers.parse_answer(answers.unauthorised(query))


@EXAMPLES
@given(st.text(max_size=300))
def test_any_text_as_a_target(target):
    for text in (target, "/" + target, "/launch?" + target):
        try:
            request = parse_target(text)
        except RequestError:
            continue
        again = parse_target(request.target)
        assert again.parameters == request.parameters
        with contextlib.suppress(RequestError):
            launch.parse_launch(request)


NUMBERS = st.integers(0, 2**31 - 1)


@EXAMPLES
@given(
    st.binary(min_size=16, max_size=16),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
    NUMBERS,
    st.integers(0, 16384),
    st.integers(0, 1000),
    st.integers(1, 8),
    st.booleans(),
    st.binary(min_size=16, max_size=16),
)
def test_launches_survive(key, key_id, resume, app_id, size, fps, channels, hdr, uuid):
    asked = launch.LaunchRequest(
        launch.StreamKeys(key, key_id),
        resume,
        app_id,
        size,
        size,
        fps,
        surround=launch.SurroundInfo(0x3F, channels),
        hdr=hdr,
        core_version=1,
    )
    assert launch.parse_launch(parse_target(asked.encode(uuid).target)) == asked


@EXAMPLES
@given(CHANGES)
def test_changed_certificates(recording, changes):
    good = recording("pairing.json")
    certificate = Certificate.from_pem(good["host_cert_pem"].encode())
    for parse, source in (
        (Certificate.from_pem, certificate.pem),
        (Certificate.from_der, certificate.der),
    ):
        try:
            read = parse(mutate(source, changes))
        except CertificateError:
            continue
        assert read.key_bytes >= 256


@EXAMPLES
@given(st.binary(max_size=300))
def test_any_bytes_as_a_certificate(data):
    with pytest.raises(CertificateError):
        Certificate.from_der(data)
    with pytest.raises(CertificateError):
        Certificate.from_pem(data)


def recorded_requests(recording: Any) -> list[Request]:
    return [
        parse_target(step["request"].split(" ", 2)[1])
        for transcript in recording("pairing.json")["transcripts"]
        for step in transcript["steps"]
        if step.get("phase")
    ]


@FEW
@given(st.data())
def test_any_order_of_requests_never_pairs_without_the_pin(recording, identity, data):
    """Three clients, requests in any order, some changed, PINs typed at any time."""
    requests = recorded_requests(recording)
    host = PairingHost(identity, bytes)
    attempts: list[str] = []
    now = 0.0
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.floats(0, 40))
        client = ClientName("192.0.2.1", data.draw(st.sampled_from("abc")))
        request = data.draw(st.sampled_from(requests))
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(request.parameters)))
            value = data.draw(st.text(max_size=40) | st.just("00" * 16))
            request = Request("/pair", request.parameters | {name: value})
        events = host.receive(client, request, now)
        attempts += [event.attempt for event in events if isinstance(event, PinRequested)]
        # The secrets of these recordings are not this host's: nothing may ever pair.
        assert not any(isinstance(event, ClientPaired) for event in events)
        assert all(event.xml for event in events if isinstance(event, PhaseAnswered))
        assert len(host._attempts) <= 4
        if attempts and data.draw(st.booleans()):
            attempt = attempts.pop()
            with contextlib.suppress(PairingError):
                host.enter_pin(attempt, "1234", now)


@FEW
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), CHANGES, st.integers(0, 4))
def test_any_answer_stops_the_client(recording, identity, bodies, changes, good):
    transcript = recording("pairing.json")["transcripts"][0]
    recorded = [step["response_body"].encode() for step in transcript["steps"] if step.get("phase")]
    client = PairingClient(identity, "1234", bytes)
    [event] = client.begin()
    for body in (*recorded[:good], *(mutate(recorded[good], changes), *bodies)):
        [event] = client.receive(body)
        if isinstance(event, PairingStopped):
            break
    else:
        [event] = client.receive(b"")
    assert isinstance(event, PairingStopped)
