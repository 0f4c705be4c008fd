"""The client's side of pairing: five requests and what has to be true of their answers.

The driver sends what `PairingClient` asks for, hands back the answer's body, and repeats until an
event says that the certificates are exchanged or that the attempt is over::

    events = client.begin()
    while request := next((e for e in events if isinstance(e, RequestNeeded)), None):
        events = client.receive(await exchange(request))
"""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.answers import AnswerError, Element, parse_answer
from earthshine.protocols.moonlight.certificates import (
    MAX_PEM_BYTES,
    Certificate,
    CertificateError,
    Identity,
)
from earthshine.protocols.moonlight.pairing import (
    CHALLENGE_ANSWER_BYTES,
    CHALLENGE_BYTES,
    HASH_BYTES,
    PATH,
    SALT_BYTES,
    SECRET_BYTES,
    UNPAIR_PATH,
    Failure,
    PairingError,
    Phase,
    challenge_hash,
    check_pin,
    decrypt,
    derive_key,
    encrypt,
)
from earthshine.protocols.moonlight.query import (
    DEFAULT_UNIQUE_ID,
    UUID_BYTES,
    Request,
    RequestError,
    build_request,
    unhex,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_DEVICE_NAME = "roth"


@dataclass(frozen=True, slots=True)
class RequestNeeded:
    """Send this GET. Over HTTPS (``secure``) use the own certificate and pin ``certificate``.

    Phase 1 has no time limit: a person has to type the PIN at the host first.
    """

    request: Request
    secure: bool
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class HostPaired:
    """All five phases succeeded: keep ``certificate`` and accept no other from this host."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class PairingStopped:
    """The attempt is over. ``unpair`` may be sent over HTTP as a courtesy; ignore its answer."""

    phase: Phase
    failure: Failure
    unpair: Request


PairingClientEvent = RequestNeeded | HostPaired | PairingStopped


class _State(enum.Enum):
    NEW = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


class _StopError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


class PairingClient:
    """One attempt to pair with one host. ``entropy(n)`` returns n unpredictable bytes.

    Random bytes are drawn in this order: UUID (16) of each request before the request's own; salt
    (16), challenge (16), secret (16). Raises `PinError` if ``pin`` is not four digits.
    """

    def __init__(
        self,
        identity: Identity,
        pin: str,
        entropy: Callable[[int], bytes],
        *,
        unique_id: str = DEFAULT_UNIQUE_ID,
        device_name: str = DEFAULT_DEVICE_NAME,
    ) -> None:
        self._identity = identity
        self._pin = check_pin(pin)
        self._entropy = entropy
        self._unique_id = unique_id
        self._device_name = device_name
        self._state = _State.NEW
        self._phase = Phase.CERTIFICATES
        self._key = b""
        self._challenge = b""
        self._secret = b""
        self._host_proof = b""
        self._host: Certificate | None = None
        self._handlers: dict[Phase, Callable[[Element], PairingClientEvent]] = {
            Phase.CERTIFICATES: self._certificates_answered,
            Phase.CLIENT_CHALLENGE: self._client_challenge_answered,
            Phase.HOST_CHALLENGE: self._host_challenge_answered,
            Phase.SECRETS: self._secrets_answered,
            Phase.CONFIRMATION: self._confirmation_answered,
        }

    @property
    def phase(self) -> Phase:
        """The phase whose answer is awaited."""
        return self._phase

    def begin(self) -> list[PairingClientEvent]:
        """Ask for the phase 1 request. May be called once; raises `PairingError` after that."""
        if self._state is not _State.NEW:
            raise PairingError("this pairing has already begun")
        self._state = _State.RUNNING
        uuid = self._entropy(UUID_BYTES)
        salt = self._entropy(SALT_BYTES)
        self._key = derive_key(salt, self._pin)
        pem = self._identity.certificate.pem
        extra = {"phrase": "getservercert", "salt": salt.hex(), "clientcert": pem.hex()}
        return [RequestNeeded(self._request(uuid, extra), secure=False)]

    def receive(self, body: bytes) -> list[PairingClientEvent]:
        """Take the body of the awaited answer. Raises `PairingError` if none is awaited."""
        if self._state is not _State.RUNNING:
            raise PairingError("no answer is awaited")
        try:
            answer = parse_answer(body)
            if answer.get("paired") != "1":
                raise _StopError(Failure.REFUSED)
            return [self._handlers[self._phase](answer)]
        except (AnswerError, RequestError, CertificateError):
            return [self._stop(Failure.MALFORMED)]
        except _StopError as stop:
            return [self._stop(stop.failure)]

    def fail(self, failure: Failure = Failure.ABANDONED) -> list[PairingClientEvent]:
        """The connection broke or the person gave up."""
        return [self._stop(failure)] if self._state is _State.RUNNING else []

    def _certificates_answered(self, answer: Element) -> PairingClientEvent:
        text = answer.get("plaincert")
        if not text:
            raise _StopError(Failure.IN_PROGRESS)
        self._host = Certificate.from_pem(unhex("plaincert", text, limit=MAX_PEM_BYTES))
        uuid = self._entropy(UUID_BYTES)
        self._challenge = self._entropy(CHALLENGE_BYTES)
        sealed = encrypt(self._key, self._challenge)
        return self._next(uuid, {"clientchallenge": sealed.hex()})

    def _client_challenge_answered(self, answer: Element) -> PairingClientEvent:
        text = answer.require("challengeresponse")
        sealed = unhex("challengeresponse", text, CHALLENGE_ANSWER_BYTES)
        plain = decrypt(self._key, sealed)
        self._host_proof, host_challenge = plain[:HASH_BYTES], plain[HASH_BYTES:]
        uuid = self._entropy(UUID_BYTES)
        self._secret = self._entropy(SECRET_BYTES)
        signature = self._identity.certificate.signature
        response = challenge_hash(host_challenge, signature, self._secret)
        return self._next(uuid, {"serverchallengeresp": encrypt(self._key, response).hex()})

    def _host_challenge_answered(self, answer: Element) -> PairingClientEvent:
        host = self._known_host()
        text = answer.require("pairingsecret")
        signed = unhex("pairingsecret", text, SECRET_BYTES + host.key_bytes)
        secret, signature = signed[:SECRET_BYTES], signed[SECRET_BYTES:]
        if not host.verify(signature, secret):
            raise _StopError(Failure.BAD_SIGNATURE)
        expected = challenge_hash(self._challenge, host.signature, secret)
        if not hmac.compare_digest(expected, self._host_proof):
            raise _StopError(Failure.WRONG_PIN)
        proof = self._secret + self._identity.sign(self._secret)
        return self._next(self._entropy(UUID_BYTES), {"clientpairingsecret": proof.hex()})

    def _secrets_answered(self, _: Element) -> PairingClientEvent:
        return self._next(self._entropy(UUID_BYTES), {"phrase": "pairchallenge"}, secure=True)

    def _confirmation_answered(self, _: Element) -> PairingClientEvent:
        self._state = _State.OVER
        return HostPaired(self._known_host())

    def _known_host(self) -> Certificate:
        assert self._host is not None
        return self._host

    def _next(self, uuid: bytes, extra: dict[str, str], *, secure: bool = False) -> RequestNeeded:
        self._phase = Phase(self._phase + 1)
        certificate = self._host if secure else None
        return RequestNeeded(self._request(uuid, extra), secure, certificate)

    def _request(self, uuid: bytes, extra: dict[str, str]) -> Request:
        common = {"devicename": self._device_name, "updateState": "1"}
        return build_request(PATH, common | extra, uuid=uuid, unique_id=self._unique_id)

    def _stop(self, failure: Failure) -> PairingStopped:
        self._state = _State.OVER
        uuid = self._entropy(UUID_BYTES)
        unpair = build_request(UNPAIR_PATH, uuid=uuid, unique_id=self._unique_id)
        return PairingStopped(self._phase, failure, unpair)
