"""Whatever strangers can send before they are known ends in a documented error, nothing else.

Each parser gets EXAMPLES inputs: random ones, and good ones with random damage. The count is
printed. What pages and JSON bodies do is `tests/peers/test_openapi_document.py`; Moonlight's
parsers have properties of their own beside this file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from earthshine.control import forwarded
from earthshine.control.accounts import names
from earthshine.control.devices.challenges import Challenges
from earthshine.control.devices.errors import StaleChallengeError
from earthshine.control.errors import InvalidRequestError
from earthshine.control.origins import AllowedOrigins, OriginGuard
from earthshine.control.throttle import network_of
from earthshine.net.pinning import BadPinError, parse_pin
from earthshine.protocols import envelope, pairing, revdial, viewer
from earthshine.protocols.envelope import EnvelopeError
from earthshine.protocols.pairing import PairingError, ServerAddress
from earthshine.protocols.plaintext import plain_text
from earthshine.protocols.revdial import RevdialError
from earthshine.protocols.viewer import ViewerError

EXAMPLES = int(os.environ.get("EARTHSHINE_TEST_EXAMPLES", "300"))
counted: Counter[str] = Counter()

CODE = pairing.show_code(pairing.new_code(bytes(range(pairing.CODE_ENTROPY_BYTES))))
ADDRESS = ServerAddress("https://earthshine.example", None)
GUARD = OriginGuard(lambda *_: None, AllowedOrigins(["https://earthshine.example"]))  # type: ignore[arg-type]
CHALLENGES = Challenges()


def _guard(text: str) -> object:
    """A request's head: nothing that its Host, Origin or length say makes the guard stumble."""
    host, _, origin = text.partition("\n")
    raw = [
        (b"host", host.encode("utf-8", "surrogatepass")),
        (b"origin", origin.encode("utf-8", "surrogatepass")),
        (b"content-length", origin.encode("utf-8", "surrogatepass")[:20]),
    ]
    scope = {"type": "http", "method": "POST", "headers": raw}
    Headers(scope=scope)
    return GUARD._refusal(scope)


TEXT: dict[str, tuple[Callable[[str], object], tuple[type[Exception], ...], str]] = {
    "pairing code": (pairing.read_code, (PairingError,), CODE),
    "pairing address": (pairing.read_address, (PairingError,), "https://earthshine.example"),
    "pairing link": (pairing.read_pairing_uri, (PairingError,), pairing.pairing_uri(ADDRESS, CODE)),
    "device key": (lambda t: pairing.from_text(t, 32), (PairingError,), pairing.to_text(bytes(32))),
    "signature": (lambda t: pairing.verify(bytes(32), t, b"m"), (PairingError,), "A" * 86),
    "fingerprint": (lambda t: pairing.same_fingerprint(t, "0" * 16), (), "2PED-RTDB-2E94-6Z57"),
    "challenge": (CHALLENGES.check, (StaleChallengeError,), CHALLENGES.issue()),
    "name of a person": (names.clean, (InvalidRequestError,), "Anna"),
    "name of a machine": (lambda t: plain_text(t, 64), (), "big-machine"),
    "pin": (parse_pin, (BadPinError,), f"sha256:{'A' * 43}"),
    "destination": (revdial.parse_destination, (RevdialError,), "127.0.0.1:3000"),
    "Forwarded": (forwarded.forwarded, (forwarded.BadForwardedError,), 'for="[::1]:1";proto=https'),
    "X-Forwarded-For": (
        lambda t: list(forwarded.x_forwarded(t, "https")),
        (forwarded.BadForwardedError,),
        "203.0.113.9, 10.0.0.1",
    ),
    "address": (network_of, (), "2001:db8::1"),
    "request's head": (_guard, (), "earthshine.example\nhttps://earthshine.example"),
    "runner's frame, JSON": (envelope.decode, (EnvelopeError,), '{"type":"ping","seq":1}'),
}
BYTES: dict[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...], bytes]] = {
    "runner's frame": (envelope.decode, (EnvelopeError,), b"\x82\xa4type\xa4ping\xa3seq\x01"),
    "preamble": (revdial.decode_preamble, (RevdialError,), b"\x01" + b"a" * 40),
    "preamble's length": (revdial.preamble_length, (RevdialError,), b"\x01\x00\x20"),
    "dial's status": (revdial.decode_status, (RevdialError,), b"\x00"),
    "viewer's message": (viewer.decode_from_viewer, (ViewerError,), b"\x41\x01\0\0\0\x61\0\x1e"),
}


def damaged(good: Any) -> st.SearchStrategy[Any]:
    """A good input with a piece of it replaced."""
    piece = st.text(max_size=6) if isinstance(good, str) else st.binary(max_size=6)
    places = st.integers(0, len(good))
    return st.tuples(places, places, piece).map(
        lambda cut: good[: min(cut[:2])] + cut[2] + good[max(cut[:2]) :]
    )


def _never_stumbles(
    name: str, parse: Callable[[Any], object], errors: tuple[type[Exception], ...], data: Any
) -> None:
    counted[name] += 1
    try:
        parse(data)
    except errors:
        return


@pytest.mark.parametrize("name", TEXT)
def test_any_text(name: str) -> None:
    parse, errors, good = TEXT[name]

    @settings(max_examples=EXAMPLES)
    @given(st.text(max_size=200) | damaged(good))
    def check(text: str) -> None:
        _never_stumbles(name, parse, errors, text)

    _never_stumbles(name, parse, errors, good)
    check()


@pytest.mark.parametrize("name", BYTES)
def test_any_bytes(name: str) -> None:
    parse, errors, good = BYTES[name]

    @settings(max_examples=EXAMPLES)
    @given(st.binary(max_size=300) | damaged(good))
    def check(data: bytes) -> None:
        _never_stumbles(name, parse, errors, data)

    check()


def test_how_many_inputs_there_were() -> None:
    """Says so; under xdist each worker counts its own."""
    print(f"{sum(counted.values())} inputs to {len(counted)} parsers: {dict(counted)}")
