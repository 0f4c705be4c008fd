"""Pairing: recorded transcripts byte for byte in both roles, and everything that must be
refused."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from earthshine.protocols.moonlight.certificates import (
    Certificate,
    CertificateError,
    Identity,
    PairedCertificates,
)
from earthshine.protocols.moonlight.pairing import Failure, PairingError, Phase, PinError
from earthshine.protocols.moonlight.pairing_client import (
    HostPaired,
    PairingClient,
    PairingStopped,
    RequestNeeded,
)
from earthshine.protocols.moonlight.pairing_host import (
    ClientName,
    ClientPaired,
    PairingEvent,
    PairingFailed,
    PairingHost,
    PairingLimits,
    PhaseAnswered,
    PinRequested,
)
from earthshine.protocols.moonlight.query import Request, parse_target

CLIENT = ClientName("192.0.2.7", "0123456789ABCDEF")
TRANSCRIPTS = ["good", "wrong_pin", "bad_client_signature", "bad_host_signature"]


class Script:
    """Entropy that returns prepared values in order."""

    def __init__(self, *values: bytes):
        self.values = list(values)

    def __call__(self, length: int) -> bytes:
        value = self.values.pop(0) if self.values else bytes(length)
        assert len(value) == length
        return value


def identity(pem: str, key_der_hex: str) -> Identity:
    key = serialization.load_der_private_key(bytes.fromhex(key_der_hex), None)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity.from_pem(pem.encode(), text)


@pytest.fixture(scope="module")
def pairing(recording):
    return recording("pairing.json")


@pytest.fixture(scope="module")
def transcripts(pairing):
    return {transcript["name"]: transcript for transcript in pairing["transcripts"]}


@pytest.fixture(scope="module")
def host_identity(pairing):
    return identity(pairing["host_cert_pem"], pairing["host_private_key_pkcs8_der_hex"])


@pytest.fixture(scope="module")
def client_identity(transcripts):
    good = transcripts["good"]
    return identity(good["client_cert_pem"], good["client_key_pkcs8_der_hex"])


def phases(transcript: Any) -> list[Any]:
    return [step for step in transcript["steps"] if step.get("phase")]


def requests(transcript: Any) -> dict[int, Request]:
    return {step["phase"]: parse_target(target(step["request"])) for step in phases(transcript)}


def target(message: str) -> str:
    return message.split(" ", 2)[1]


def attempt_of(events: list[PairingEvent]) -> str:
    return next(event.attempt for event in events if isinstance(event, PinRequested))


def failures(events: list[PairingEvent]) -> list[Failure]:
    return [event.failure for event in events if isinstance(event, PairingFailed)]


def bodies(events: list[PairingEvent]) -> list[bytes]:
    return [event.xml for event in events if isinstance(event, PhaseAnswered)]


def host_for(transcript: Any, host_identity: Identity) -> PairingHost:
    values = phases(transcript)[1]["values"]
    script = Script(
        bytes(16),
        bytes.fromhex(values["server_secret"]),
        bytes.fromhex(values["server_challenge"]),
    )
    return PairingHost(host_identity, script)


def open_attempt(host: PairingHost, asked: dict[int, Request], pin: str) -> None:
    host.enter_pin(attempt_of(host.receive(CLIENT, asked[1], 0.0)), pin, 0.0)


# -- the host against recorded clients --------------------------------------------------------


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_host_answers_like_the_recording(name, transcripts, host_identity):
    transcript = transcripts[name]
    host = host_for(transcript, host_identity)
    known = False
    for step in phases(transcript):
        request = parse_target(target(step["request"]))
        events = host.receive(CLIENT, request, 0.0, certificate_known=known)
        if step["phase"] == Phase.CERTIFICATES:
            assert not bodies(events), "phase 1 waits for the PIN"
            events = host.enter_pin(attempt_of(events), transcript["host_pin"], 1.0)
        expected = step["response_body"].encode()
        damaged = step["values"].get("server_secret_signature_sent")
        if damaged:  # this recording damages the answer on its way; the host itself signs right
            expected = expected.replace(
                damaged.encode(), step["values"]["server_secret_signature"].encode()
            )
        assert bodies(events) == [expected]
        known |= any(isinstance(event, ClientPaired) for event in events)
    assert known == (name == "good")


@pytest.mark.parametrize(
    ("name", "failure"),
    [("wrong_pin", Failure.WRONG_PIN), ("bad_client_signature", Failure.BAD_SIGNATURE)],
)
def test_host_names_the_reason(name, failure, transcripts, host_identity):
    transcript = transcripts[name]
    host, asked = host_for(transcript, host_identity), requests(transcript)
    open_attempt(host, asked, transcript["host_pin"])
    host.receive(CLIENT, asked[2], 0.0)
    host.receive(CLIENT, asked[3], 0.0)
    assert failures(host.receive(CLIENT, asked[4], 0.0)) == [failure]


def test_paired_certificate_is_the_clients_own(transcripts, host_identity):
    good = transcripts["good"]
    host, asked = host_for(good, host_identity), requests(good)
    open_attempt(host, asked, "1234")
    events = [host.receive(CLIENT, asked[n], 0.0) for n in (2, 3, 4)][-1]
    paired = next(event for event in events if isinstance(event, ClientPaired))
    assert paired.certificate.fingerprint == good["client_cert_sha256"]
    assert paired.certificate.signature.hex() == good["client_cert_signature"]


# -- the host refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", [2, 3, 4])
def test_no_phase_without_phase_1(first, transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    events = host.receive(CLIENT, asked[first], 0.0)
    assert failures(events) == [Failure.OUT_OF_ORDER]
    assert b"<paired>0</paired>" in bodies(events)[0]


@pytest.mark.parametrize(
    "order",
    [[3], [4], [2, 2], [2, 4], [2, 3, 3], [2, 3, 2], [2, 3, 4, 4], [2, 3, 4, 2]],
)
def test_wrong_order_or_replay_ends_the_attempt(order, transcripts, host_identity):
    # CVE-2024-51738: a host that did not enforce the order could be paired without the PIN.
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    open_attempt(host, asked, "1234")
    for phase in order[:-1]:
        host.receive(CLIENT, asked[phase], 0.0)
    assert failures(host.receive(CLIENT, asked[order[-1]], 0.0)) == [Failure.OUT_OF_ORDER]
    for phase in (2, 3, 4):
        events = host.receive(CLIENT, asked[phase], 0.0)
        assert not any(isinstance(event, ClientPaired) for event in events)


@pytest.mark.parametrize("phase", [2, 3, 4])
def test_phases_before_the_pin_end_the_attempt_and_release_phase_1(
    phase, transcripts, host_identity
):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    attempt = attempt_of(host.receive(CLIENT, asked[1], 0.0))
    events = host.receive(CLIENT, asked[phase], 0.0)
    answered = [event.phase for event in events if isinstance(event, PhaseAnswered)]
    assert answered == [Phase.CERTIFICATES, Phase(phase)]
    with pytest.raises(PairingError):
        host.enter_pin(attempt, "1234", 0.0)


def test_second_phase_1_is_turned_away_and_the_first_goes_on(transcripts, host_identity):
    good = transcripts["good"]
    host, asked = host_for(good, host_identity), requests(good)
    attempt = attempt_of(host.receive(CLIENT, asked[1], 0.0))
    events = host.receive(CLIENT, asked[1], 0.0)
    assert failures(events) == [Failure.IN_PROGRESS]
    assert b"plaincert" not in bodies(events)[0]
    assert bodies(host.enter_pin(attempt, "1234", 0.0)) == [
        phases(good)[0]["response_body"].encode()
    ]


def test_two_clients_do_not_disturb_each_other(transcripts, host_identity):
    good, asked = transcripts["good"], requests(transcripts["good"])
    host = PairingHost(host_identity, bytes)
    other = ClientName("192.0.2.8", CLIENT.unique_id)
    open_attempt(host, asked, "1234")
    host.receive(other, asked[1], 0.0)
    assert failures(host.receive(other, asked[3], 0.0)) == [Failure.OUT_OF_ORDER]
    assert not failures(host.receive(CLIENT, asked[2], 0.0))
    assert good["client_pin"] == "1234"


@pytest.mark.parametrize(
    ("phase", "parameter", "value"),
    [
        (1, "salt", "00" * 15),
        (1, "salt", "00" * 17),
        (1, "salt", "zz" * 16),
        (1, "clientcert", ""),
        (1, "clientcert", "00"),
        (1, "clientcert", "41" * 9000),
        (2, "clientchallenge", "00" * 15),
        (2, "clientchallenge", "00" * 32),
        (2, "clientchallenge", ""),
        (3, "serverchallengeresp", "00" * 16),
        (3, "serverchallengeresp", "00" * 33),
        (4, "clientpairingsecret", "00" * 16),
        (4, "clientpairingsecret", "00" * 271),
        (4, "clientpairingsecret", "00" * 273),
    ],
)
def test_wrong_lengths_end_the_attempt(phase, parameter, value, transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    if phase > 1:
        open_attempt(host, asked, "1234")
    for before in range(2, phase):
        host.receive(CLIENT, asked[before], 0.0)
    bad = Request("/pair", asked[phase].parameters | {parameter: value})
    assert failures(host.receive(CLIENT, bad, 0.0)) == [Failure.MALFORMED]
    assert failures(host.receive(CLIENT, asked[max(phase, 2)], 0.0)) == [Failure.OUT_OF_ORDER]


def test_request_that_claims_two_phases_is_malformed(transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    open_attempt(host, asked, "1234")
    both = Request("/pair", asked[2].parameters | {"serverchallengeresp": "00" * 32})
    assert failures(host.receive(CLIENT, both, 0.0)) == [Failure.MALFORMED]


@pytest.mark.parametrize("pin", ["", "123", "12345", "12 4", "abcd", "1234\n", "١٢٣٤"])
def test_pin_is_four_ascii_digits_and_a_slip_may_be_corrected(pin, transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    attempt = attempt_of(host.receive(CLIENT, asked[1], 0.0))
    with pytest.raises(PinError):
        host.enter_pin(attempt, pin, 0.0)
    assert bodies(host.enter_pin(attempt, "1234", 0.0))
    with pytest.raises(PairingError):
        host.enter_pin(attempt, "1234", 0.0)


def test_confirmation_needs_a_known_certificate(transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    assert failures(host.receive(CLIENT, asked[5], 0.0)) == [Failure.NOT_PAIRED]
    events = host.receive(CLIENT, asked[5], 0.0, certificate_known=True)
    assert bodies(events) == [phases(transcripts["good"])[4]["response_body"].encode()]


def test_waiting_client_hears_of_expiry_and_refusal(transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    host.receive(CLIENT, asked[1], 0.0)
    assert host.next_expiry == 300.0
    assert host.expire(299.0) == []
    events = host.expire(300.0)
    assert failures(events) == [Failure.EXPIRED]
    assert b"<paired>0" in bodies(events)[0]
    attempt = attempt_of(host.receive(CLIENT, asked[1], 301.0))
    events = host.refuse(attempt, 302.0)
    assert failures(events) == [Failure.REFUSED]
    assert len(bodies(events)) == 1
    assert host.refuse(attempt, 303.0) == []
    assert host.next_expiry is None


def test_later_phases_expire_too(transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    open_attempt(host, asked, "1234")
    events = host.receive(CLIENT, asked[2], 30.0)
    assert failures(events) == [Failure.EXPIRED, Failure.OUT_OF_ORDER]


def test_failures_are_limited_per_address(transcripts, host_identity):
    asked = requests(transcripts["good"])
    host = PairingHost(host_identity, bytes, PairingLimits(failures=3))
    for number in range(3):
        name = ClientName(CLIENT.address, f"{number:016X}")  # a new unique id does not help
        host.receive(name, asked[1], 0.0)
        host.receive(name, asked[3], 0.0)
    assert failures(host.receive(CLIENT, asked[1], 1.0)) == [Failure.RATE_LIMITED]
    other = ClientName("198.51.100.1", CLIENT.unique_id)
    assert not failures(host.receive(other, asked[1], 1.0))
    host.abandon(other)
    assert not failures(host.receive(CLIENT, asked[1], 301.0))


def test_open_attempts_and_remembered_failures_are_bounded(transcripts, host_identity):
    asked = requests(transcripts["good"])
    limits = PairingLimits(attempts=3, attempts_per_address=2, addresses_remembered=4)
    host = PairingHost(host_identity, bytes, limits)
    names = [ClientName("192.0.2.1", f"{n:016X}") for n in range(3)]
    assert [failures(host.receive(name, asked[1], 0.0)) for name in names] == [
        [],
        [],
        [Failure.TOO_MANY],
    ]
    assert not failures(host.receive(CLIENT, asked[1], 0.0))
    assert failures(host.receive(ClientName("192.0.2.9", ""), asked[1], 0.0)) == [Failure.TOO_MANY]
    broken = Request("/pair", {"phrase": "getservercert"})
    host = PairingHost(host_identity, bytes, limits)
    for number in range(50):
        host.receive(ClientName(f"192.0.2.{number}", ""), broken, 0.0)
    assert len(host._failures) == 4


def test_abandoned_attempt_is_forgotten(transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    open_attempt(host, asked, "1234")
    assert failures(host.abandon(CLIENT)) == [Failure.ABANDONED]
    assert host.abandon(CLIENT) == []
    assert failures(host.receive(CLIENT, asked[2], 0.0)) == [Failure.OUT_OF_ORDER]


# -- the client against recorded hosts --------------------------------------------------------


def client_for(transcript: Any) -> PairingClient:
    steps = phases(transcript)
    uuids = [bytes.fromhex(step["params"]["uuid"].replace("-", "")) for step in steps]
    salt = bytes.fromhex(steps[0]["values"]["salt"])
    challenge = bytes.fromhex(steps[1]["values"]["client_challenge_plain"])
    secret = steps[3]["values"].get("client_secret") if len(steps) > 3 else None
    script = Script(uuids[0], salt, uuids[1], challenge, uuids[2])
    script.values.append(bytes.fromhex(secret) if secret else bytes(16))
    script.values.extend(uuids[3:])
    return PairingClient(
        identity(transcript["client_cert_pem"], transcript["client_key_pkcs8_der_hex"]),
        transcript["client_pin"],
        script,
    )


def test_client_asks_like_the_recording(transcripts):
    good = transcripts["good"]
    client = client_for(good)
    [event] = client.begin()
    for step in phases(good):
        assert isinstance(event, RequestNeeded)
        assert event.request.target == target(step["request"])
        assert event.secure == (step["transport"] == "https")
        [event] = client.receive(step["response_body"].encode())
    assert isinstance(event, HostPaired)


def test_client_sends_the_signature_it_made(transcripts):
    transcript = transcripts["bad_client_signature"]
    client = client_for(transcript)
    [event] = client.begin()
    for step in phases(transcript):
        assert isinstance(event, RequestNeeded)
        assert event.request.target == target(step.get("request_sent_by_client", step["request"]))
        [event] = client.receive(step["response_body"].encode())
    assert isinstance(event, PairingStopped)
    assert (event.phase, event.failure) == (Phase.SECRETS, Failure.REFUSED)


@pytest.mark.parametrize(
    ("name", "failure"),
    [("wrong_pin", Failure.WRONG_PIN), ("bad_host_signature", Failure.BAD_SIGNATURE)],
)
def test_client_stops_after_phase_3(name, failure, transcripts):
    transcript = transcripts[name]
    client = client_for(transcript)
    [event] = client.begin()
    for step in phases(transcript)[:3]:
        assert isinstance(event, RequestNeeded)
        [event] = client.receive(step["response_body"].encode())
    assert isinstance(event, PairingStopped)
    assert (event.phase, event.failure) == (Phase.HOST_CHALLENGE, failure)
    assert event.unpair.path == "/unpair"
    with pytest.raises(PairingError):
        client.receive(b"")


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b'<root status_code="200"><paired>0</paired></root>', Failure.REFUSED),
        (b'<root status_code="200"><paired>1</paired></root>', Failure.IN_PROGRESS),
        (b'<root status_code="400"><paired>1</paired></root>', Failure.MALFORMED),
        (b"<html>", Failure.MALFORMED),
        (
            b'<root status_code="200"><paired>1</paired><plaincert>00</plaincert></root>',
            Failure.MALFORMED,
        ),
    ],
)
def test_client_names_what_was_wrong_with_phase_1(body, failure, client_identity):
    client = PairingClient(client_identity, "1234", bytes)
    client.begin()
    [event] = client.receive(body)
    assert isinstance(event, PairingStopped)
    assert event.failure is failure


def test_client_begins_once_and_can_be_given_up(client_identity):
    client = PairingClient(client_identity, "1234", bytes)
    with pytest.raises(PairingError):
        client.receive(b"")
    client.begin()
    with pytest.raises(PairingError):
        client.begin()
    [event] = client.fail()
    assert isinstance(event, PairingStopped)
    assert client.fail() == []


@pytest.mark.parametrize(("host_pin", "paired"), [("1234", True), ("4321", False)])
def test_both_roles_together(host_pin, paired, host_identity, client_identity):
    counter = iter(range(1, 200))
    entropy = lambda n: bytes([next(counter)]) * n  # noqa: E731
    host = PairingHost(host_identity, entropy)
    client = PairingClient(client_identity, "1234", entropy)
    [event] = client.begin()
    known = None
    while isinstance(event, RequestNeeded):
        secure = event.secure and known == client_identity.certificate
        events = host.receive(CLIENT, event.request, 0.0, certificate_known=secure)
        if event.request.parameters.get("phrase") == "getservercert":
            events = host.enter_pin(attempt_of(events), host_pin, 0.0)
        known = next((e.certificate for e in events if isinstance(e, ClientPaired)), known)
        [event] = client.receive(bodies(events)[0])
    assert isinstance(event, HostPaired) == paired
    assert (known is not None) == paired
    if isinstance(event, HostPaired):
        assert event.certificate == host_identity.certificate


# -- certificates ---------------------------------------------------------------------------------


def test_certificate_with_serial_number_0_is_read(transcripts, pairing):
    good = transcripts["good"]
    read = Certificate.from_pem(good["client_cert_pem"].encode())
    assert read.signature.hex() == good["client_cert_signature"]
    assert Certificate.from_der(read.der).der == read.der
    host = Certificate.from_pem(pairing["host_cert_pem"].encode())
    assert host.signature.hex() == pairing["host_cert_signature"]
    assert (host.key_bytes, len(host.signature)) == (256, 256)


def test_identity_wants_the_matching_key(transcripts, pairing):
    with pytest.raises(CertificateError):
        identity(pairing["host_cert_pem"], transcripts["good"]["client_key_pkcs8_der_hex"])
    with pytest.raises(CertificateError):
        Identity.from_pem(pairing["host_cert_pem"].encode(), b"no key")


def test_paired_certificates_are_known_byte_for_byte(transcripts, pairing):
    # CVE-2026-32253: a host that accepted certificates it did not know.
    mine = Certificate.from_pem(transcripts["good"]["client_cert_pem"].encode())
    other = Certificate.from_pem(pairing["host_cert_pem"].encode())
    paired = PairedCertificates([mine])
    assert paired.find(mine.der) is mine
    same_names = bytearray(mine.der)
    same_names[-1] ^= 1  # another signature over the same key, names and serial number
    for stranger in (other.der, bytes(same_names), mine.der + b"\0", b"", None):
        assert paired.find(stranger) is None
    paired.add(other)
    assert (len(paired), paired.find(other.der)) == (2, other)
    assert paired.remove(mine.fingerprint)
    assert not paired.remove(mine.fingerprint)
    assert paired.find(mine.der) is None


def test_paired_certificates_are_counted(transcripts, pairing, monkeypatch):
    monkeypatch.setattr("earthshine.protocols.moonlight.certificates.MAX_PAIRED", 1)
    mine = Certificate.from_pem(transcripts["good"]["client_cert_pem"].encode())
    paired = PairedCertificates([mine])
    paired.add(mine)
    with pytest.raises(CertificateError):
        paired.add(Certificate.from_pem(pairing["host_cert_pem"].encode()))


def test_waiting_attempts_are_listed(transcripts, host_identity):
    host, asked = host_for(transcripts["good"], host_identity), requests(transcripts["good"])
    assert host.waiting == []
    [event] = host.receive(CLIENT, asked[1], 0.0)
    assert host.waiting == [event]
    assert isinstance(event, PinRequested)
    assert event.device_name == "roth"
    host.enter_pin(event.attempt, "1234", 0.0)
    assert host.waiting == []


def test_private_material_is_not_shown(client_identity):
    client = PairingClient(client_identity, "1234", bytes)
    assert "1234" not in repr(client)
