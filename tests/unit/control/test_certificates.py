import datetime as dt
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from earthshine.control.certificates import LIFE, RENEW_BEFORE, self_made
from earthshine.net.pinning import fingerprint

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def pin(path):
    return fingerprint(ssl.PEM_cert_to_DER_cert(path.read_text()))


def test_what_is_made(tmp_path):
    path, key = self_made(tmp_path / "tls", ["earth.example", "192.0.2.7"], NOW)
    for made in (path, key):
        assert made.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    certificate = load(path)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["earth.example", "localhost"]
    assert ipaddress.ip_address("192.0.2.7") in names.get_values_for_type(x509.IPAddress)
    assert certificate.not_valid_before_utc <= NOW
    assert certificate.not_valid_after_utc == NOW + LIFE
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca, "who installs it trusts this server, not whatever it would sign"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)


def test_it_stays_while_it_fits(tmp_path):
    path, _ = self_made(tmp_path, ["a.example"], NOW)
    before = path.read_bytes()
    self_made(tmp_path, ["a.example"], NOW + LIFE - RENEW_BEFORE - dt.timedelta(days=1))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("names", "now"),
    [
        (["b.example"], NOW),
        (["a.example", "*.preview.example"], NOW),
        ([], NOW),
        (["a.example"], NOW + LIFE - RENEW_BEFORE + dt.timedelta(days=1)),
        (["a.example"], NOW - dt.timedelta(days=100)),  # a clock that was wrong before
    ],
)
def test_it_is_made_again_with_the_same_key(tmp_path, names, now):
    """So who has pinned it need not be asked again."""
    path, _ = self_made(tmp_path, ["a.example"], NOW)
    before, known = path.read_bytes(), pin(path)
    self_made(tmp_path, names, now)
    assert path.read_bytes() != before
    assert pin(path) == known
    assert load(path).not_valid_after_utc == now + LIFE


@pytest.mark.parametrize("damage", [b"", b"x", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_damaged_certificate_is_made_again(tmp_path, damage):
    path, _ = self_made(tmp_path, ["a.example"], NOW)
    known = pin(path)
    path.write_bytes(damage)
    self_made(tmp_path, ["a.example"], NOW)
    assert pin(path) == known


@pytest.mark.parametrize("damage", [b"", b"x"])
def test_a_damaged_key_is_never_replaced(tmp_path, damage):
    path, key = self_made(tmp_path, ["a.example"], NOW)
    key.write_bytes(damage)
    with pytest.raises(ValueError, match=r"key\.pem"):
        self_made(tmp_path, ["a.example"], NOW)
    assert key.read_bytes() == damage
    assert path.exists()


def test_names_that_no_certificate_can_hold_are_left_out(tmp_path):
    path, _ = self_made(tmp_path, ["höst.example", "UPPER.example"], NOW)
    names = load(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["upper.example", "localhost"]
