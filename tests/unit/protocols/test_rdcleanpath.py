"""RDCleanPath: the recorded request of a real client, round trips, strict DER."""

import json
from pathlib import Path

import pytest

from earthshine.protocols.rdcleanpath import (
    MAX_PDU,
    MAX_TEXT,
    Failure,
    Pdu,
    RdCleanPathError,
    decode,
    pdu_length,
    request,
)

RECORDED = json.loads((Path(__file__).parents[2] / "data/rdp/ironrdp.json").read_text())
REQUEST = bytes.fromhex(RECORDED["request"])
CERTIFICATES = (b"\x30\x03leaf", b"x" * 300, b"y" * 40_000)
PDUS = [
    Pdu(destination="desk:3389", proxy_auth="token", x224=b"\x03\0\0\x07\x02\xf0\x80"),
    Pdu(destination="дом", proxy_auth="", preconnection_blob="blob", server_auth="", x224=b""),
    Pdu(x224=b"\x03", certificates=CERTIFICATES, server_address="127.0.0.1:3389"),
    Pdu(certificates=()),
    Pdu(failure=Failure(1, 403, 10_061, 42)),
    Pdu(failure=Failure(2), x224=b"\x03\0"),
    Pdu(failure=Failure(0, tls_alert=255)),
    Pdu(version=0),
    Pdu(version=0x80),
    Pdu(version=0xFFFF),
]


def test_what_a_browser_asks():
    pdu = decode(REQUEST)
    destination, token, x224 = request(pdu)
    assert (destination, token) == ("desktop:3389", "opens-this-desktop")
    assert x224.endswith(bytes.fromhex("0100080001000000"))
    assert pdu.encode() == REQUEST
    assert "opens-this" not in repr(pdu)


@pytest.mark.parametrize("pdu", PDUS)
def test_what_is_written_is_read_again(pdu):
    data = pdu.encode()
    assert decode(data) == pdu
    assert pdu_length(data) == pdu_length(data + b"more") == len(data)


@pytest.mark.parametrize("pdu", PDUS)
def test_what_is_cut_off_is_noticed(pdu):
    data = pdu.encode()[:400]
    for end in range(len(data) - 1):
        length = pdu_length(data[:end])
        assert length is None or length > end
        with pytest.raises(RdCleanPathError):
            decode(data[:end])


@pytest.mark.parametrize("pdu", PDUS[1:])
def test_only_a_request_is_a_request(pdu):
    if pdu.destination is None:
        with pytest.raises(RdCleanPathError):
            request(pdu)


def test_another_version_is_refused():
    with pytest.raises(RdCleanPathError, match="3391"):
        request(Pdu(version=3391, destination="d", proxy_auth="t", x224=b"x"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("3000", "no version"),
        ("31 06 a0 04 02 02 0d3e", "wrong type"),
        ("30 07 a0 04 02 02 0d3e 00", "cut off"),
        ("30 06 a0 04 02 02 0d3e 00", "cut off"),
        ("30 81 06 a0 04 02 02 0d3e", "DER"),
        ("30 82 00 06 a0 04 02 02 0d3e", "DER"),
        ("30 80 a0 04 02 02 0d3e 00 00", "impossible length"),
        ("30 84 00 00 00 06 a0 04 02 02 0d3e", "impossible length"),
        ("30 07 a0 05 02 03 000d3e", "DER"),
        ("30 07 a0 05 02 03 010000", "out of range"),
        ("30 06 a0 04 02 02 8d3e", "out of range"),
        ("30 04 a0 02 02 00", "out of range"),
        ("30 06 a0 04 04 02 0d3e", "wrong type"),
        ("30 0c a0 04 02 02 0d3e a0 04 02 02 0d3e", "out of order"),
        ("30 0b a2 03 0c 01 61 a0 04 02 02 0d3e", "out of order"),
        ("30 08 80 00 a0 04 02 02 0d3e", "out of order"),
        ("30 0b a0 04 02 02 0d3e a8 03 02 01 00", "unknown field"),
        ("30 0b a0 04 02 02 0d3e a2 03 0c 01 ff", "UTF-8"),
        ("30 0c a0 04 02 02 0d3e a1 04 30 02 a0 00", "wrong type"),
        ("30 0f a0 04 02 02 0d3e a1 07 30 05 a1 03 02 01 01", "error"),
        ("30 0d a0 04 02 02 0d3e a7 05 30 03 02 01 00", "certificates"),
    ],
)
def test_der_is_read_strictly(data, words):
    with pytest.raises(RdCleanPathError, match=words):
        decode(bytes.fromhex(data))


def test_limits():
    long = Pdu(destination="x" * (MAX_TEXT + 1)).encode()
    with pytest.raises(RdCleanPathError, match="too long"):
        decode(long)
    with pytest.raises(RdCleanPathError, match="too long"):
        Pdu(x224=b"x" * MAX_PDU).encode()
    with pytest.raises(RdCleanPathError, match="too long"):
        pdu_length(bytes.fromhex("3083010000"))
    with pytest.raises(RdCleanPathError, match="too long"):
        decode(Pdu(x224=b"x" * 2000).encode())
    with pytest.raises(RdCleanPathError):
        decode(b"x" * (MAX_PDU + 1))
    with pytest.raises(RdCleanPathError, match="not an RDCleanPath PDU"):
        pdu_length(b"GET / HTTP/1.1")
    for value in (-1, 1 << 16):
        with pytest.raises(RdCleanPathError):
            Pdu(version=value).encode()
    with pytest.raises(RdCleanPathError):
        Pdu(destination="\ud800").encode()
