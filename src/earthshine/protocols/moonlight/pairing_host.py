"""The host's side of pairing: one state machine per client, and limits around them.

The driver hands every ``/pair`` request to `PairingHost.receive` and sends the XML of each
`PhaseAnswered` event on the connection that asked. Phase 1 has no answer until somebody allowed
to do so types the PIN, see `PairingHost.enter_pin`; until then its connection stays open.

A request that does not fit its state ends the attempt, so nothing can be replayed, skipped or tried
twice. A second phase 1 while one is open is turned away and leaves the first alone.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.addresses import neighbourhood
from earthshine.protocols.moonlight.answers import build_answer
from earthshine.protocols.moonlight.certificates import Certificate, CertificateError, Identity
from earthshine.protocols.moonlight.pairing import (
    CHALLENGE_BYTES,
    HASH_BYTES,
    SALT_BYTES,
    SECRET_BYTES,
    Failure,
    PairingError,
    Phase,
    challenge_hash,
    check_pin,
    decrypt,
    derive_key,
    encrypt,
)
from earthshine.protocols.moonlight.query import Request, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPT_ID_BYTES = 16
MAX_DEVICE_NAME = 64


@dataclass(frozen=True, slots=True)
class PairingLimits:
    """Limits of one `PairingHost`. Times are in seconds."""

    attempts: int = 16
    """Attempts open at once, over all clients."""
    attempts_per_address: int = 4
    pin_wait: float = 300.0
    """How long a client may wait for its PIN."""
    phase_wait: float = 30.0
    """How long a client may take for each later phase."""
    failures: int = 5
    """Failed attempts one address may make within ``failure_window``."""
    failure_window: float = 300.0
    addresses_remembered: int = 1024
    """Addresses whose failures are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class ClientName:
    """Who asks, as far as can be told before pairing: network address and unique id together.

    Nearly all clients share one unique id, so the address carries the weight.
    """

    address: str
    unique_id: str

    @property
    def neighbourhood(self) -> str:
        """What limits per address count: the whole network of an IPv6 address."""
        return neighbourhood(self.address)


@dataclass(frozen=True, slots=True)
class PinRequested:
    """A client waits for its PIN. Show ``device_name`` and ``fingerprint`` to a person who may
    pair."""

    client: ClientName
    attempt: str
    device_name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class PhaseAnswered:
    """Send ``xml`` to the client on the connection of this phase's request."""

    client: ClientName
    phase: Phase
    xml: bytes


@dataclass(frozen=True, slots=True)
class ClientPaired:
    """Phase 4 succeeded: store ``certificate`` before phase 5 arrives over HTTPS."""

    client: ClientName
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class PairingFailed:
    """An attempt or request was turned down. Its answer, if one is due, is a `PhaseAnswered`."""

    client: ClientName
    phase: Phase | None
    failure: Failure


PairingEvent = PinRequested | PhaseAnswered | ClientPaired | PairingFailed

# Which parameter makes a request which phase.
_PHRASES = {"getservercert": Phase.CERTIFICATES, "pairchallenge": Phase.CONFIRMATION}
_MARKERS = {
    "clientchallenge": Phase.CLIENT_CHALLENGE,
    "serverchallengeresp": Phase.HOST_CHALLENGE,
    "clientpairingsecret": Phase.SECRETS,
}


@dataclass(slots=True)
class _Attempt:
    """What the host knows of one attempt. ``expects`` is None while the PIN is awaited."""

    id: str
    device_name: str
    certificate: Certificate
    salt: bytes
    deadline: float
    expects: Phase | None = None
    key: bytes = b""
    secret: bytes = b""
    challenge: bytes = b""
    response: bytes = b""


@dataclass(slots=True)
class _Turn:
    """One request on its way through the state machine."""

    client: ClientName
    request: Request
    now: float
    events: list[PairingEvent] = field(default_factory=list)


class PairingHost:
    """All pairing attempts at one host.

    ``entropy(n)`` returns n unpredictable bytes. ``now`` arguments are seconds on a monotonic
    clock.
    """

    def __init__(
        self,
        identity: Identity,
        entropy: Callable[[int], bytes],
        limits: PairingLimits | None = None,
    ) -> None:
        self._identity = identity
        self._entropy = entropy
        self._limits = limits or PairingLimits()
        self._attempts: dict[ClientName, _Attempt] = {}
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._handlers: dict[Phase, Callable[[_Turn, _Attempt], None]] = {
            Phase.CLIENT_CHALLENGE: self._client_challenge,
            Phase.HOST_CHALLENGE: self._host_challenge,
            Phase.SECRETS: self._secrets,
        }

    def receive(
        self, client: ClientName, request: Request, now: float, *, certificate_known: bool = False
    ) -> list[PairingEvent]:
        """Take one ``/pair`` request.

        ``certificate_known`` is true when it came over HTTPS with a certificate already paired.
        """
        events = self.expire(now)
        turn = _Turn(client, request, now, events)
        phase = _phase(request)
        if phase is Phase.CONFIRMATION:
            self._confirm(turn, certificate_known)
        elif phase is Phase.CERTIFICATES:
            self._begin(turn)
        else:
            self._advance(turn, phase)
        return events

    def enter_pin(self, attempt: str, pin: str, now: float) -> list[PairingEvent]:
        """A person typed the PIN for ``attempt``: phase 1 is answered now.

        Raises `PinError` if it is not four digits (the attempt stays open) and `PairingError` if no
        such attempt waits for a PIN.
        """
        check_pin(pin)
        events = self.expire(now)
        entry = self._find(attempt)
        if entry is None or entry[1].expects is not None:
            raise PairingError("no pairing waits for this PIN any more")
        client, found = entry
        found.key = derive_key(found.salt, pin)
        found.expects = Phase.CLIENT_CHALLENGE
        found.deadline = now + self._limits.phase_wait
        pem = self._identity.certificate.pem.hex()
        xml = build_answer([("paired", "1"), ("plaincert", pem)])
        events.append(PhaseAnswered(client, Phase.CERTIFICATES, xml))
        return events

    def refuse(self, attempt: str, now: float) -> list[PairingEvent]:
        """A person declined ``attempt``. Unknown attempts are ignored."""
        events = self.expire(now)
        entry = self._find(attempt)
        if entry is not None:
            turn = _Turn(entry[0], Request("", {}), now, events)
            self._end(turn, None, Failure.REFUSED)
        return events

    def abandon(self, client: ClientName) -> list[PairingEvent]:
        """The client's waiting connection closed, or it asked to unpair: forget its attempt."""
        if self._attempts.pop(client, None) is None:
            return []
        return [PairingFailed(client, None, Failure.ABANDONED)]

    def expire(self, now: float) -> list[PairingEvent]:
        """Drop attempts whose time is over; a client still waiting in phase 1 gets its refusal."""
        events: list[PairingEvent] = []
        late = [name for name, attempt in self._attempts.items() if attempt.deadline <= now]
        for client in late:
            attempt = self._attempts.pop(client)
            if attempt.expects is None:
                events.append(PhaseAnswered(client, Phase.CERTIFICATES, _refusal()))
            events.append(PairingFailed(client, attempt.expects, Failure.EXPIRED))
        return events

    @property
    def waiting(self) -> list[PinRequested]:
        """The attempts that wait for a PIN, oldest first."""
        return [
            _pin_request(client, attempt)
            for client, attempt in self._attempts.items()
            if attempt.expects is None
        ]

    @property
    def next_expiry(self) -> float | None:
        """When `expire` has something to do at the earliest; None if nothing is open."""
        return min((attempt.deadline for attempt in self._attempts.values()), default=None)

    def _find(self, attempt: str) -> tuple[ClientName, _Attempt] | None:
        found = (entry for entry in self._attempts.items() if entry[1].id == attempt)
        return next(found, None)

    def _confirm(self, turn: _Turn, certificate_known: bool) -> None:
        if certificate_known:
            self._answer(turn, Phase.CONFIRMATION)
        else:
            self._turn_away(turn, Phase.CONFIRMATION, Failure.NOT_PAIRED)

    def _begin(self, turn: _Turn) -> None:
        if turn.client in self._attempts:
            # "Paired, but without a certificate" is how clients hear "another one is in progress".
            turn.events.append(PairingFailed(turn.client, Phase.CERTIFICATES, Failure.IN_PROGRESS))
            self._answer(turn, Phase.CERTIFICATES)
        elif self._recent_failures(turn) >= self._limits.failures:
            self._turn_away(turn, Phase.CERTIFICATES, Failure.RATE_LIMITED)
        elif self._crowded(turn.client):
            self._turn_away(turn, Phase.CERTIFICATES, Failure.TOO_MANY)
        else:
            self._open(turn)

    def _open(self, turn: _Turn) -> None:
        try:
            salt = turn.request.octets("salt", SALT_BYTES)
            certificate = Certificate.from_pem(turn.request.octets("clientcert"))
        except (RequestError, CertificateError):
            self._end(turn, Phase.CERTIFICATES, Failure.MALFORMED)
            return
        name = turn.request.parameters.get("devicename", "")[:MAX_DEVICE_NAME]
        attempt = _Attempt(
            self._entropy(ATTEMPT_ID_BYTES).hex(),
            name,
            certificate,
            salt,
            turn.now + self._limits.pin_wait,
        )
        self._attempts[turn.client] = attempt
        turn.events.append(_pin_request(turn.client, attempt))

    def _advance(self, turn: _Turn, phase: Phase | None) -> None:
        attempt = self._attempts.get(turn.client)
        if attempt is None:
            self._turn_away(turn, phase, Failure.OUT_OF_ORDER)
        elif phase is None or phase is not attempt.expects:
            self._end(turn, phase, Failure.OUT_OF_ORDER if phase else Failure.MALFORMED)
        else:
            attempt.deadline = turn.now + self._limits.phase_wait
            try:
                self._handlers[phase](turn, attempt)
            except RequestError:
                self._end(turn, phase, Failure.MALFORMED)

    def _client_challenge(self, turn: _Turn, attempt: _Attempt) -> None:
        challenge = decrypt(attempt.key, turn.request.octets("clientchallenge", CHALLENGE_BYTES))
        attempt.secret = self._entropy(SECRET_BYTES)
        attempt.challenge = self._entropy(CHALLENGE_BYTES)
        signature = self._identity.certificate.signature
        proof = challenge_hash(challenge, signature, attempt.secret)
        attempt.expects = Phase.HOST_CHALLENGE
        answer = encrypt(attempt.key, proof + attempt.challenge)
        self._answer(turn, Phase.CLIENT_CHALLENGE, ("challengeresponse", answer.hex()))

    def _host_challenge(self, turn: _Turn, attempt: _Attempt) -> None:
        sealed = turn.request.octets("serverchallengeresp", HASH_BYTES)
        attempt.response = decrypt(attempt.key, sealed)
        attempt.expects = Phase.SECRETS
        signed = attempt.secret + self._identity.sign(attempt.secret)
        self._answer(turn, Phase.HOST_CHALLENGE, ("pairingsecret", signed.hex()))

    def _secrets(self, turn: _Turn, attempt: _Attempt) -> None:
        length = SECRET_BYTES + attempt.certificate.key_bytes
        signed = turn.request.octets("clientpairingsecret", length)
        secret, signature = signed[:SECRET_BYTES], signed[SECRET_BYTES:]
        expected = challenge_hash(attempt.challenge, attempt.certificate.signature, secret)
        if not hmac.compare_digest(expected, attempt.response):
            self._end(turn, Phase.SECRETS, Failure.WRONG_PIN)
        elif not attempt.certificate.verify(signature, secret):
            self._end(turn, Phase.SECRETS, Failure.BAD_SIGNATURE)
        else:
            del self._attempts[turn.client]
            self._failures.pop(turn.client.neighbourhood, None)
            turn.events.append(ClientPaired(turn.client, attempt.certificate))
            self._answer(turn, Phase.SECRETS)

    def _end(self, turn: _Turn, phase: Phase | None, failure: Failure) -> None:
        """End the client's attempt, count it as failed, and answer what waits for an answer."""
        attempt = self._attempts.pop(turn.client, None)
        times = self._failures.setdefault(
            turn.client.neighbourhood, deque(maxlen=self._limits.failures)
        )
        times.append(turn.now)
        self._failures.move_to_end(turn.client.neighbourhood)
        while len(self._failures) > self._limits.addresses_remembered:
            self._failures.popitem(last=False)
        if attempt is not None and attempt.expects is None:
            turn.events.append(PhaseAnswered(turn.client, Phase.CERTIFICATES, _refusal()))
        self._turn_away(turn, phase, failure)

    def _turn_away(self, turn: _Turn, phase: Phase | None, failure: Failure) -> None:
        turn.events.append(PairingFailed(turn.client, phase, failure))
        if turn.request.path:
            turn.events.append(PhaseAnswered(turn.client, phase or Phase.CERTIFICATES, _refusal()))

    def _answer(self, turn: _Turn, phase: Phase, *extra: tuple[str, str]) -> None:
        xml = build_answer([("paired", "1"), *extra])
        turn.events.append(PhaseAnswered(turn.client, phase, xml))

    def _crowded(self, client: ClientName) -> bool:
        same = sum(1 for other in self._attempts if other.neighbourhood == client.neighbourhood)
        everything = len(self._attempts)
        return everything >= self._limits.attempts or same >= self._limits.attempts_per_address

    def _recent_failures(self, turn: _Turn) -> int:
        times = self._failures.get(turn.client.neighbourhood, ())
        oldest = turn.now - self._limits.failure_window
        return sum(1 for time in times if time > oldest)


def _phase(request: Request) -> Phase | None:
    """Which phase a request is; None if it is none, or claims to be several."""
    claims = [phase for marker, phase in _MARKERS.items() if marker in request.parameters]
    phrase = request.parameters.get("phrase")
    if phrase is not None:
        named = _PHRASES.get(phrase)
        if named is None:
            return None
        claims.append(named)
    return claims[0] if len(claims) == 1 else None


def _pin_request(client: ClientName, attempt: _Attempt) -> PinRequested:
    fingerprint = attempt.certificate.fingerprint
    return PinRequested(client, attempt.id, attempt.device_name, fingerprint)


def _refusal() -> bytes:
    return build_answer([("paired", "0")])
