"""A server known by its key: what is sent to the wrong one, and what a pin looks like."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading

import httpx
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from earthshine.net.pinning import (
    BadPinError,
    PinMismatchError,
    client_context,
    fingerprint,
    parse_pin,
)

OTHER = "sha256:" + "A" * 43


def certificate(folder, *, key=None, name="elsewhere", days=2):
    """A self-signed certificate with a name that is nobody's; paths of certificate and key."""
    folder.mkdir(exist_ok=True)
    made, path = folder / "cert.pem", key or folder / "key.pem"
    keys = (
        ["-key", str(key)]
        if key
        else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", str(path)]
    )
    subprocess.run(
        ["openssl", "req", "-x509", *keys, "-nodes", "-out", str(made),
         "-days", str(days), "-subj", f"/CN={name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, path


def pin_of(path):
    return fingerprint(ssl.PEM_cert_to_DER_cert(path.read_text()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls") / "one")


def server_context(files, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(*files)
    return context


def test_the_pin_is_what_openssl_computes(files):
    shell = (
        f"openssl x509 -in {files[0]} -noout -pubkey | openssl pkey -pubin -outform DER"
        " | openssl dgst -sha256 -binary | basenc --base64url | tr -d ="
    )
    known = subprocess.run(shell, shell=True, check=True, capture_output=True, text=True).stdout
    assert pin_of(files[0]) == "sha256:" + known.strip()


def test_a_renewed_certificate_with_the_same_key_has_the_same_pin(files, tmp_path):
    renewed, _ = certificate(tmp_path / "new", key=files[1], name="other", days=900)
    assert renewed.read_bytes() != files[0].read_bytes()
    assert pin_of(renewed) == pin_of(files[0])
    stranger, _ = certificate(tmp_path / "stranger")
    assert pin_of(stranger) != pin_of(files[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "A" * 43,
        "sha256:" + "A" * 42,
        "sha256:" + "A" * 44,
        "sha1:" + "A" * 43,
        "SHA256:" + "A" * 43,
        "sha256:" + "A" * 42 + "=",
        "sha256:" + "A" * 42 + "B",  # two bits that no digest has
        "sha256:" + "A" * 42 + "\u0661",
        "sha256:" + "+" * 43,
    ],
)
def test_what_is_no_pin(text):
    with pytest.raises(BadPinError, match="a pin is sha256:"):
        parse_pin(text)
    if text:
        with pytest.raises(BadPinError):
            client_context(text)


@given(st.text(max_size=60))
def test_a_pin_is_taken_as_it_is_or_not_at_all(text):
    with contextlib.suppress(BadPinError):
        assert parse_pin(text) == text.strip()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_have_no_fingerprint(data):
    with pytest.raises(ValueError):
        fingerprint(data)


@contextlib.asynccontextmanager
async def listening(context):
    """A TLS server that keeps what it reads of each connection."""
    read: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(reader, writer):
        try:
            await read.put(await reader.read(1000))
        except OSError:
            await read.put(b"")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], read
    finally:
        server.close()


LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@LOOPS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_wrong_server_hears_nothing(files, run, version):
    """Neither over WebSocket nor HTTP does a byte reach it: no token, no ticket, no path."""

    async def play():
        async with listening(server_context(files, version)) as (port, read):
            with pytest.raises(PinMismatchError, match="not the server that was pinned") as error:
                await connect(
                    f"wss://127.0.0.1:{port}/",
                    ssl=client_context(OTHER),
                    additional_headers={"Authorization": "Bearer secret"},
                )
            assert (error.value.expected, error.value.shown) == (OTHER, pin_of(files[0]))
            async with httpx.AsyncClient(verify=client_context(OTHER)) as client:
                with pytest.raises(httpx.ConnectError, match="not the server that was pinned"):
                    await client.get(f"https://127.0.0.1:{port}/")
            heard = [read.get_nowait() for _ in range(read.qsize())]
            assert b"".join(heard) == b""
            with pytest.raises(ssl.SSLCertVerificationError) as unknown:
                await connect(f"wss://127.0.0.1:{port}/", ssl=client_context())
            assert not isinstance(unknown.value, PinMismatchError), "no pin: authorities decide"

    run(play())


@LOOPS
def test_the_pinned_server_is_taken_whatever_its_certificate_says(files, run):
    async def play():
        async def echo(socket):
            await socket.send(await socket.recv())

        async with serve(echo, "127.0.0.1", 0, ssl=server_context(files)) as server:
            port = server.sockets[0].getsockname()[1]
            context = client_context(pin_of(files[0]))
            async with connect(f"wss://127.0.0.1:{port}/", ssl=context) as socket:
                await socket.send("hello")
                assert await socket.recv() == "hello"

    run(play())


@pytest.mark.parametrize("right", [True, False])
def test_blocking_sockets_are_checked_too(files, right):
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def one():
            sock, _ = listener.accept()
            context = server_context(files)
            with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as tls:
                heard.append(tls.recv(100))
            sock.close()

        thread = threading.Thread(target=one)
        thread.start()
        context = client_context(pin_of(files[0]) if right else OTHER)
        expected = contextlib.nullcontext() if right else pytest.raises(PinMismatchError)
        plain = socket.create_connection(listener.getsockname(), timeout=5)
        with expected, context.wrap_socket(plain) as tls:
            tls.sendall(b"secret")
        plain.close()
        thread.join(5)
    assert b"".join(heard) == (b"secret" if right else b"")


async def test_a_context_whose_pin_was_lost_takes_nobody(files):
    context = client_context(OTHER)
    context.pin = ""  # type: ignore[attr-defined]
    async with listening(server_context(files)) as (port, _):
        with pytest.raises(PinMismatchError):
            await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def test_an_authority_of_ones_own(files, tmp_path):
    """`ca_file` instead of the system's: the name counts again."""
    mine, key = tmp_path / "mine.pem", tmp_path / "mine.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(mine), "-days", "2", "-subj", "/CN=x",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    async with listening(server_context((mine, key))) as (port, _):
        context = client_context(ca_file=mine)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=context)
    with pytest.raises(OSError):
        client_context(ca_file=tmp_path / "missing")
    with pytest.raises(ssl.SSLError):
        client_context(ca_file=key)


def test_versions_of_tls_that_are_broken_are_refused():
    for context in (client_context(), client_context(OTHER)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
