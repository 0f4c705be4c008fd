"""The server's certificate: what is taken, what is refused, what happens while it serves."""

import asyncio
import contextlib
import logging
import shutil
import ssl
import subprocess
import warnings

import pytest
import uvloop

from earthshine.control.tls import MAX_FILE, ServerTls, TlsError
from earthshine.net.pinning import client_context, fingerprint

ALGORITHMS = {
    "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-newkey", "rsa:2048"],
}


def make(folder, name, algorithm="ec", days=30):
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", *ALGORITHMS[algorithm], "-nodes", "-keyout", str(key),
         "-out", str(certificate), "-days", str(days), "-subj", f"/CN={name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return {
        "one": make(folder, "one"),
        "two": make(folder, "two"),
        "rsa": make(folder, "rsa", "rsa"),
        "soon": make(folder, "soon", days=3),
    }


def pin(files):
    return fingerprint(ssl.PEM_cert_to_DER_cert(files[0].read_text()))


@pytest.fixture
def files(tmp_path, made):
    """Certificate and key in use: those of `one`."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    install(made["one"], paths)
    return paths


def install(source, paths):
    for origin, path in zip(source, paths, strict=True):
        copy = path.with_suffix(".copy")
        shutil.copy(origin, copy)
        copy.replace(path)  # another inode, as renewal tools do


@contextlib.asynccontextmanager
async def serving(tls):
    """An echo server; yields its port."""

    handling: set[asyncio.Task[None]] = set()

    async def echo(reader, writer):
        handling.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    try:
        port = server.sockets[0].getsockname()[1]
        yield port
        # One more: by its answer the server has seen the end of those that were refused.
        last = await opened(port, tls.fingerprint)
        await said(last, b"bye")
        last[1].close()
        async with asyncio.timeout(10):
            await asyncio.gather(*handling)
    finally:
        server.close()


async def said(connection, text):
    reader, writer = connection
    writer.write(text)
    return await reader.readexactly(len(text))


async def opened(port, pin, **options):
    context = client_context(pin)
    for name, value in options.items():
        setattr(context, name, value)
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("new", ["two", "rsa"])
def test_new_files_are_shown_to_new_connections_and_open_ones_go_on(files, made, run, new):
    async def play():
        tls = ServerTls(*files)
        told = []
        tls.on_change.append(lambda: told.append(tls.fingerprint))
        async with serving(tls) as port:
            old = await opened(port, pin(made["one"]))
            assert await said(old, b"before") == b"before"
            assert not await tls.look()
            install(made[new], files)
            assert await tls.look()
            assert told == [pin(made[new])]
            assert await said(old, b"still here") == b"still here"
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                fresh = await opened(port, pin(made[new]), maximum_version=version)
                assert await said(fresh, b"after") == b"after"
                fresh[1].close()
                with pytest.raises(ssl.SSLCertVerificationError):
                    await opened(port, pin(made["one"]), maximum_version=version)
            old[1].close()
            assert tls.fingerprint == pin(made[new])

    run(play())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda files: files[0].write_text("nothing"), "holds no certificate in PEM"),
        (lambda files: files[1].write_text("nothing"), "holds no private key in PEM"),
        (lambda files: files[0].unlink(), "cannot be read: No such file"),
        (lambda files: files[1].unlink(), "cannot be read: No such file"),
        (lambda files: files[0].write_bytes(b"x" * (MAX_FILE + 1)), "larger than"),
    ],
)
async def test_broken_files_leave_the_old_certificate_and_say_what_is_wrong(
    files, made, damage, words, caplog
):
    tls = ServerTls(*files)
    damage(files)
    async with serving(tls) as port:
        with caplog.at_level(logging.ERROR):
            assert not await tls.look()
            assert not await tls.look()
        assert len(caplog.records) == 1, "said once, not at every look"
        assert words in caplog.text
        assert "the old one stays" in caplog.text
        connection = await opened(port, pin(made["one"]))
        assert await said(connection, b"fine") == b"fine"
        connection[1].close()
        install(made["two"], files)
        assert await tls.look(), "and mended files are taken up"
    with pytest.raises(TlsError):
        damage(files)
        ServerTls(*files)


async def test_a_key_that_comes_after_its_certificate(files, made):
    """Renewal tools write two files; in between they do not fit."""
    tls = ServerTls(*files)
    shutil.copy(made["two"][0], files[0])
    async with serving(tls) as port:
        assert not await tls.look()
        connection = await opened(port, pin(made["one"]))
        connection[1].close()
        shutil.copy(made["two"][1], files[1])
        assert await tls.look()
        assert tls.fingerprint == pin(made["two"])


async def test_watching_takes_up_a_change_by_itself(files, made, monkeypatch, eventually):
    monkeypatch.setattr("earthshine.control.tls.LOOK_SECONDS", 0.01)
    tls = ServerTls(*files)
    watch = asyncio.create_task(tls.watch())
    install(made["two"], files)
    await eventually(lambda: tls.fingerprint == pin(made["two"]))
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


def test_a_key_of_another_certificate_is_named(files, made):
    shutil.copy(made["two"][1], files[1])
    with pytest.raises(TlsError, match="is not the certificate's"):
        ServerTls(*files)


def test_a_key_with_a_password_is_not_asked_for(files, made):
    subprocess.run(
        ["openssl", "pkey", "-in", str(made["one"][1]), "-aes256", "-passout", "pass:x",
         "-out", str(files[1])],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(TlsError, match="has a password"):
        ServerTls(*files)


def test_what_deserves_a_warning(files, made, caplog):
    install(made["soon"], files)
    files[1].chmod(0o644)
    ServerTls(*files)
    assert "expires in 2 days" in caplog.text
    assert "chmod 600" in caplog.text


@pytest.mark.parametrize(
    ("option", "value"),
    [("maximum_version", ssl.TLSVersion.TLSv1_1), ("ciphers", "AES256-SHA:AES128-GCM-SHA256")],
)
async def test_old_tls_is_refused(files, option, value):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if option == "ciphers":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(value)
    else:
        with warnings.catch_warnings(action="ignore"):
            context.maximum_version = value
            context.minimum_version = value
        context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(ServerTls(*files)) as port:
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port, ssl=context)
