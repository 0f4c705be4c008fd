"""Pairing and the HTTP API over real sockets: whom the host believes, and how much it takes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from earthshine.net.moonlight import http_client
from earthshine.net.moonlight.client.host import GameHost, NotPairedError
from earthshine.net.moonlight.connections import MAX_PER_ADDRESS
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.net.moonlight.identities import make_identity
from earthshine.protocols.moonlight.answers import AnswerRefusedError, parse_answer
from earthshine.protocols.moonlight.certificates import Identity
from earthshine.protocols.moonlight.pairing import PairingError, PinError
from earthshine.protocols.moonlight.query import build_request
from earthshine.runner.desktops.moonlight_host.http_api import STRANGERS_AT_ONCE
from earthshine.runner.desktops.moonlight_host.pairings import Pairings
from tests.moonlight_guests import Guest, identity

UUID = bytes(16)


def request(path: str, **parameters: str):
    return build_request(path, parameters, uuid=UUID)


async def secure(host, own: Identity, path: str, **parameters: str) -> bytes:
    return await http_client.get_secure(
        "127.0.0.1",
        host.base_port - 5,
        request(path, **parameters),
        own,
        host.identity.certificate,
    )


def self_signed(subject: str, issuer: str, start: datetime, end: datetime, like: Identity):
    """A certificate for the key of ``like``."""
    key = like.private_key
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity.from_pem(certificate.public_bytes(serialization.Encoding.PEM), private)


async def test_pairing_lets_a_client_in(host):
    guest = Guest(host)
    with pytest.raises(NotPairedError):
        await guest.game.apps()
    await guest.pair()
    assert [app.title for app in await guest.game.apps()] == ["Pattern", "Other"]
    assert (await guest.game.info()).paired


async def test_who_is_paired_survives_a_restart(host):
    guest = Guest(host)
    await guest.pair()
    [known] = Pairings(host._settings.state_dir).all
    assert known.certificate == guest.identity.certificate
    assert known.name == "earthshine"
    mode = (host._settings.state_dir / "paired.json").stat().st_mode
    assert mode & 0o077 == 0


async def test_a_wrong_pin_pairs_nobody(host):
    guest = Guest(host)
    with pytest.raises(PairingError, match="PIN"):
        await guest.pair("1234", typed="4321")
    assert host.pairings.all == []
    assert host.desk.waiting == []


async def test_phases_out_of_order_pair_nobody(host):
    """CVE-2024-51738: phase 4, or 5, before the ones that prove the PIN."""
    own = identity(0)
    secret = own.sign(bytes(16))
    for parameters in (
        {"clientpairingsecret": (bytes(16) + secret).hex()},
        {"serverchallengeresp": bytes(32).hex()},
        {"clientchallenge": bytes(16).hex()},
        {"phrase": "pairchallenge"},
    ):
        body = await http_client.get("127.0.0.1", host.base_port, request("/pair", **parameters))
        assert parse_answer(body).get("paired") == "0"
    with pytest.raises(AnswerRefusedError) as refused:
        parse_answer(await secure(host, own, "/pair", phrase="pairchallenge"))
    assert refused.value.status == 401
    assert host.pairings.all == []


async def skip_to_the_secret(host, own: Identity) -> None:
    """Phase 1 with a typed PIN, and then phase 4 at once."""
    first = request(
        "/pair",
        phrase="getservercert",
        salt=bytes(16).hex(),
        clientcert=own.certificate.pem.hex(),
    )
    asking = asyncio.ensure_future(http_client.get("127.0.0.1", host.base_port, first, 10))
    while not host.desk.waiting:
        await asyncio.sleep(0.002)
    await host.desk.enter_pin(host.desk.waiting[0].attempt, "1234")
    assert parse_answer(await asking).get("plaincert")
    proof = request("/pair", clientpairingsecret=(bytes(16) + own.sign(bytes(16))).hex())
    body = await http_client.get("127.0.0.1", host.base_port, proof)
    assert parse_answer(body).get("paired") == "0"


async def test_skipping_to_the_secret_after_the_pin_pairs_nobody(host):
    """CVE-2024-51738 again."""
    await skip_to_the_secret(host, identity(0))
    assert host.pairings.all == []


@pytest.mark.parametrize("path", ["/serverinfo", "/applist", "/launch", "/resume", "/cancel", "/x"])
async def test_unknown_certificates_are_answered_401(host, path):
    """Not refused in the handshake: clients would take the host for dead."""
    body = await secure(host, identity(3), path)
    with pytest.raises(AnswerRefusedError) as refused:
        parse_answer(body)
    assert refused.value.status == 401


async def test_a_client_without_a_certificate_is_answered_401(host):
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", host.base_port - 5, ssl=context)
    writer.write(b"GET /applist?uniqueid=0&uuid=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    assert b'status_code="401"' in answer
    writer.close()
    await writer.wait_closed()


async def test_look_alikes_and_expired_certificates_prove_nothing(host):
    """CVE-2026-32253: only the very certificate counts, whatever others say about themselves."""
    guest = Guest(host)
    await guest.pair()
    now = datetime.now(UTC)
    name = guest.identity.certificate
    alike = [
        # The same names and dates with another key.
        make_identity("NVIDIA GameStream Client 0", now),
        # The same key with another certificate: signed anew.
        self_signed("x", "x", now - timedelta(1), now + timedelta(9), guest.identity),
        # Expired, and claiming the paired client or the host as issuer.
        self_signed("a", "b", now - timedelta(9), now - timedelta(1), identity(3)),
        self_signed(
            "a", "Earthshine GameStream Host", now - timedelta(1), now + timedelta(1), identity(3)
        ),
    ]
    for pretender in alike:
        with pytest.raises(AnswerRefusedError):
            parse_answer(await secure(host, pretender, "/applist"))
    assert host.pairings.find(name.der) is not None


async def test_a_paired_certificate_stays_good_when_it_expires(host):
    """Clients never renew theirs; unpairing is how trust ends."""
    now = datetime.now(UTC)
    old = self_signed("c", "c", now - timedelta(9), now - timedelta(1), identity(0))
    host.pairings.add(old.certificate, "old", now)
    assert parse_answer(await secure(host, old, "/serverinfo")).get("PairStatus") == "1"


async def test_unpairing_ends_trust_and_session(host):
    guest = Guest(host)
    await guest.pair()
    watching = await guest.watch()
    [client] = host.pairings.all
    await host.unpair(client)
    assert (await watching.stream.over()).graceful
    with pytest.raises(NotPairedError):
        await guest.game.apps()
    assert not (await guest.game.info()).paired
    await watching.leave()


async def test_nobody_unpairs_or_cancels_for_others_over_http(host):
    guest = Guest(host)
    await guest.pair()
    await guest.start()
    for path in ("/unpair", "/cancel", "/launch", "/applist"):
        with contextlib.suppress(ConnectionFailedError):
            await http_client.get("127.0.0.1", host.base_port, request(path))
    assert guest.session is not None
    assert len(host.pairings.all) == 1


async def test_commands_from_web_pages_find_nothing(host):
    """CVE-2025-53095: a page in a browser on the network makes it send requests here."""
    for port in (host.base_port, host.base_port + 1):
        for line in (b"POST /api/apps", b"POST /pin/", b"GET /pin/", b"OPTIONS /", b"POST /pair"):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue  # there is no web interface at all
            writer.write(line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            answer = await reader.read()
            assert answer.split(b" ")[1] in (b"404", b"405")
            assert b"Access-Control" not in answer
            writer.close()
            await writer.wait_closed()


async def test_one_pairing_per_client(host):
    first = Guest(host)
    waiting = asyncio.ensure_future(first.game.pair("1234"))
    while not host.desk.waiting:
        await asyncio.sleep(0.002)
    with pytest.raises(PairingError, match="in progress"):
        await Guest(host, 1).game.pair("9999")
    [still] = host.desk.waiting
    with pytest.raises(PinError):
        await host.desk.enter_pin(still.attempt, "12345")
    await host.desk.enter_pin(still.attempt, "1234")
    await waiting
    assert len(host.pairings.all) == 1


async def test_a_client_that_gives_up_leaves_no_attempt(host, eventually):
    pairing = asyncio.ensure_future(Guest(host).game.pair("1234"))
    await eventually(lambda: host.desk.waiting)
    pairing.cancel()
    await asyncio.wait([pairing])
    await eventually(lambda: not host.desk.waiting)


async def test_guessing_is_stopped(host):
    """After five failures an address waits, so that nobody is asked for PINs without end."""
    for _ in range(5):
        await skip_to_the_secret(host, identity(0))
    with pytest.raises(PairingError):
        await Guest(host).game.pair("1234")
    assert host.desk.waiting == []


async def test_strangers_are_limited_and_paired_clients_are_not(host):
    guest = Guest(host)
    guest.trust()
    refused = []
    for _ in range(int(STRANGERS_AT_ONCE) + 20):
        try:
            await http_client.get("127.0.0.1", host.base_port, request("/serverinfo"))
        except ConnectionFailedError as error:
            refused.append(str(error))
    assert refused
    assert all("429" in words for words in refused)
    guest.game._https_port = host.base_port - 5
    for _ in range(20):
        await guest.game.apps()


async def test_connections_of_one_address_are_limited(host, eventually):
    opened = [
        await asyncio.open_connection("127.0.0.1", host.base_port)
        for _ in range(MAX_PER_ADDRESS + 5)
    ]
    ended = 0
    for reader, _ in opened[MAX_PER_ADDRESS:]:
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        ended += 1
    assert ended == 5
    for _, writer in opened:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01garbage\r\n\r\n",
        b"GET " + b"/" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /serverinfo?"
        + b"&".join(b"a%d=1" % n for n in range(100))
        + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /pair?phrase=getservercert&salt=zz&clientcert=00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /pair?phrase=x HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_bad_requests_end_in_an_answer(host, caplog, sent):
    reader, writer = await asyncio.open_connection("127.0.0.1", host.base_port)
    writer.write(sent)
    try:
        answer = await reader.read()
    except ConnectionResetError:
        answer = b""
    assert b"500" not in answer[:20]
    writer.close()
    assert "Traceback" not in caplog.text
    # And the host goes on.
    info = await GameHost(
        "127.0.0.1", host.base_port, identity(0), None, secrets.token_bytes
    ).info()
    assert info.hostname == "Earthshine"


async def test_a_host_that_is_not_the_paired_one_is_noticed(host):
    guest = Guest(host)
    guest.trust()
    guest.game.pinned = identity(3).certificate
    with pytest.raises(ConnectionFailedError, match="another certificate"):
        await guest.game.apps()


async def test_box_art(host, tmp_path):
    from earthshine.runner.desktops.moonlight_host.apps import HostApp

    picture, other = tmp_path / "art.png", tmp_path / "secret"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    other.write_text("not a picture")
    app = host.catalog.by_id("7")
    host.catalog.add(dataclasses.replace(app, icon_path=str(picture)))
    host.catalog.add(HostApp("8", "Other", icon_path=str(other)))
    guest = Guest(host)
    guest.trust()
    assert await guest.game.art(7) == picture.read_bytes()
    with pytest.raises(ConnectionFailedError, match="404"):
        await guest.game.art(8)


async def test_a_second_host_takes_the_next_ports(host, tmp_path, provider):
    from earthshine.runner.desktops.moonlight_host.host import MoonlightHost

    settings = dataclasses.replace(host._settings, state_dir=tmp_path / "second")
    async with MoonlightHost(settings, provider) as second:
        assert second.base_port == host.base_port + 100
        assert second.identity.certificate != host.identity.certificate
