"""The conversation on a control connection: who may say what when, heartbeat, watchdog.

A `Link` is one end. The driver hands it each message it reads and the time, sends what `poll`
returns, and closes when either raises a fatal EnvelopeError. All times are seconds of one
monotonic clock.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from earthshine.protocols.envelope import (
    VERSION,
    Ack,
    AnyFrame,
    Auth,
    Control,
    EnvelopeError,
    Error,
    Frame,
    Hello,
    Log,
    Ping,
    Pong,
    Problem,
    RunnerHello,
    Status,
    decode,
)

HEARTBEAT: Final = 12.0
"""Seconds of silence of our own after which we send a ping."""
WATCHDOG: Final = 30.0
"""Seconds without a message from the peer after which the connection is dead."""
HELLO_TIMEOUT: Final = 10.0
"""Seconds the peer has for its hello."""
MAX_STRIKES: Final = 100
"""Messages that could not be taken before the connection is closed."""


class Role(Enum):
    """Which end a `Link` is."""

    RUNNER = "runner"
    CONTROL = "control"


class State(Enum):
    """How far the conversation is."""

    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


ALLOWED: Final[dict[tuple[Role, State], tuple[type[Frame], ...]]] = {
    (Role.CONTROL, State.GREETING): (Auth, Hello, Ping, Pong, Error),
    (Role.CONTROL, State.OPEN): (Log, Status, Control, Ping, Pong, Error),
    (Role.RUNNER, State.GREETING): (Hello, Ping, Pong, Error),
    (Role.RUNNER, State.OPEN): (Ack, Status, Control, Ping, Pong, Error),
}
"""What each end may receive."""


class Link:
    """One end of a control connection."""

    __slots__ = ("_opened", "_pings", "_spoke", "heard", "role", "state", "strikes")

    def __init__(self, role: Role, now: float) -> None:
        self.role = role
        self.state = State.GREETING
        self.strikes = 0
        self._opened = now
        self.heard = now
        """When the peer's last message came."""
        self._spoke = now
        self._pings = 0

    def receive(self, message: str | bytes, now: float) -> AnyFrame | None:
        """Read a message; returns the frame, or None for one that concerns the link alone.

        Raises EnvelopeError; unless it is fatal, send `refusal(error)` and go on.
        """
        self.heard = now
        try:
            frame = decode(message)
            if not isinstance(frame, ALLOWED.get((self.role, self.state), ())):
                name = type(frame).__name__.lower()
                raise EnvelopeError("out-of-order", f"{name} while {self.state.value}")
            if isinstance(frame, Hello):
                self._greeted(frame)
        except EnvelopeError as error:
            self.strikes += 1
            if self.strikes >= MAX_STRIKES:
                error.fatal = True
            raise
        return None if isinstance(frame, Pong) else frame

    def _greeted(self, frame: Hello) -> None:
        from_runner = isinstance(frame.payload, RunnerHello)
        if from_runner is (self.role is Role.RUNNER):
            raise EnvelopeError("invalid", "a hello of the wrong role", fatal=True)
        if frame.payload.version != VERSION:
            raise EnvelopeError(
                "version",
                f"protocol version {frame.payload.version}; this end speaks {VERSION}",
                fatal=True,
            )
        self.state = State.OPEN

    def sent(self, now: float) -> None:
        """Note that a message was sent: the heartbeat may wait."""
        self._spoke = now

    def poll(self, now: float, *, reading: bool = True) -> Frame | None:
        """What is due now: a ping to send, or nothing. Raises a fatal EnvelopeError when dead.

        `reading` False says that we do not read at the moment, so silence proves nothing.
        """
        if not reading:
            self.heard = now
        if self.state is State.GREETING and now - self._opened >= HELLO_TIMEOUT:
            raise EnvelopeError("hello-timeout", "no hello in time", fatal=True)
        if now - self.heard >= WATCHDOG:
            raise EnvelopeError("watchdog", f"nothing heard for {WATCHDOG:.0f} s", fatal=True)
        if now - self._spoke >= HEARTBEAT:
            self._pings += 1
            return Ping(seq=self._pings)
        return None

    def deadline(self) -> float:
        """When to call `poll` next."""
        due = min(self.heard + WATCHDOG, self._spoke + HEARTBEAT)
        if self.state is State.GREETING:
            due = min(due, self._opened + HELLO_TIMEOUT)
        return due


def refusal(error: EnvelopeError) -> Error:
    """The typed frame that tells the peer what was wrong."""
    return Error(payload=Problem(code=error.code, detail=error.detail[:500]))
