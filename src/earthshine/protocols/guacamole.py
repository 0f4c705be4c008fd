"""Guacamole: how guacd and a browser speak of any remote desktop.

Everything is *instructions*: `LENGTH.VALUE,LENGTH.VALUE,...;`, the first value being the opcode.
The two ends count a value's LENGTH differently: guacd in Unicode code points, guacamole-common-js
in UTF-16 units, so text with characters beyond U+FFFF has to be framed again on the way.

Towards guacd (TCP, port 4822): `select`, `args`, what the client can show, `connect`, `ready`;
`Handshake` does it. Towards the browser (WebSocket, subprotocol `SUBPROTOCOL`): text messages of
whole instructions; instructions with an empty opcode belong to the tunnel itself; `Tunnel` keeps
its rules and decides what a viewer may send.

Reading raises GuacamoleError and nothing else. See docs/protocols/guacamole.md.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

SUBPROTOCOL: Final = "guacamole"
MAX_INSTRUCTION: Final = 8192
"""Characters of one instruction, lengths and separators included; guacd's own limit."""
MAX_ELEMENTS: Final = 128
MAX_LENGTH_DIGITS: Final = 5
MAX_MESSAGE: Final = 1 << 20
"""Characters of one WebSocket message from a browser."""
MAX_HELD: Final = 128
"""Keys that count as held down at once."""
INTERNAL: Final = ""
"""The opcode of the tunnel's own instructions."""


class GuacamoleError(ValueError):
    """Base of the errors of this module; the message can be shown to a person."""


class BadInstructionError(GuacamoleError):
    """The text is not instructions, or one that breaks a limit."""


class Status(IntEnum):
    """What ends a tunnel or a stream: the number is part of the protocol."""

    SUCCESS = 0x0000
    UNSUPPORTED = 0x0100
    SERVER_ERROR = 0x0200
    SERVER_BUSY = 0x0201
    UPSTREAM_TIMEOUT = 0x0202
    UPSTREAM_ERROR = 0x0203
    RESOURCE_NOT_FOUND = 0x0204
    RESOURCE_CONFLICT = 0x0205
    RESOURCE_CLOSED = 0x0206
    UPSTREAM_NOT_FOUND = 0x0207
    UPSTREAM_UNAVAILABLE = 0x0208
    SESSION_CONFLICT = 0x0209
    SESSION_TIMEOUT = 0x020A
    SESSION_CLOSED = 0x020B
    CLIENT_BAD_REQUEST = 0x0300
    CLIENT_UNAUTHORIZED = 0x0301
    CLIENT_FORBIDDEN = 0x0303
    CLIENT_TIMEOUT = 0x0308
    CLIENT_OVERRUN = 0x030D
    CLIENT_BAD_TYPE = 0x030F
    CLIENT_TOO_MANY = 0x031D


WORDS: Final[dict[Status, str]] = {
    Status.SUCCESS: "The desktop was closed.",
    Status.UNSUPPORTED: "guacd cannot do this.",
    Status.SERVER_ERROR: "guacd failed.",
    Status.SERVER_BUSY: "guacd has no room for another connection.",
    Status.UPSTREAM_TIMEOUT: "The desktop did not answer in time.",
    Status.UPSTREAM_ERROR: "The desktop's answer was not understood.",
    Status.RESOURCE_NOT_FOUND: "This connection does not exist any more.",
    Status.RESOURCE_CONFLICT: "This is in use by somebody else.",
    Status.RESOURCE_CLOSED: "This has been closed.",
    Status.UPSTREAM_NOT_FOUND: (
        "The desktop could not be reached or refused the connection: nothing listens there, "
        "the password is wrong, or its certificate is not trusted."
    ),
    Status.UPSTREAM_UNAVAILABLE: "The desktop refused the connection.",
    Status.SESSION_CONFLICT: "Another connection took this desktop over.",
    Status.SESSION_TIMEOUT: "The desktop ended the session because nothing happened in it.",
    Status.SESSION_CLOSED: "The desktop ended the session.",
    Status.CLIENT_BAD_REQUEST: "guacd did not understand the request.",
    Status.CLIENT_UNAUTHORIZED: "The desktop refused the user name or the password.",
    Status.CLIENT_FORBIDDEN: "The desktop does not allow this.",
    Status.CLIENT_TIMEOUT: "The browser did not answer in time.",
    Status.CLIENT_OVERRUN: "The browser sent too much at once.",
    Status.CLIENT_BAD_TYPE: "The browser sent a kind of data that the desktop does not take.",
    Status.CLIENT_TOO_MANY: "Too many connections are open.",
}


class GuacdRefusedError(GuacamoleError):
    """guacd sent `error`. `status` is None for a number that is not in the protocol."""

    def __init__(self, status: Status | None, detail: str) -> None:
        words = WORDS[status] if status is not None else "guacd refused the connection."
        super().__init__(f"{words} ({detail})" if detail else words)
        self.status = status
        self.detail = detail


def close_of(status: Status) -> tuple[int, str]:
    """Code and reason with which to close the browser's WebSocket (RFC 6455, 7.4).

    guacamole-common-js reads the status number from the reason.
    """
    if status is Status.SUCCESS:
        return 1000, "0"
    return (1008 if status >= Status.CLIENT_BAD_REQUEST else 1011), str(int(status))


# --- Instructions ---------------------------------------------------------------------------------


class Counting(Enum):
    """What a LENGTH counts."""

    CODE_POINTS = "guacd"
    UTF16_UNITS = "guacamole-common-js"


@dataclass(frozen=True, slots=True)
class Instruction:
    """An opcode and its arguments."""

    opcode: str
    arguments: tuple[str, ...] = ()

    def encode(self, counting: Counting) -> str:
        """The instruction's text."""
        units = counting is Counting.UTF16_UNITS
        values = (self.opcode, *self.arguments)
        return ",".join(f"{_units(v) if units else len(v)}.{v}" for v in values) + ";"

    def to_guacd(self) -> bytes:
        """The bytes for guacd; BadInstructionError for what breaks its limits."""
        if len(self.arguments) >= MAX_ELEMENTS:
            raise BadInstructionError(_TOO_MANY)
        text = self.encode(Counting.CODE_POINTS)
        if len(text) > MAX_INSTRUCTION:
            raise BadInstructionError(_TOO_LONG)
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise BadInstructionError("an instruction contains half of a character") from None

    def to_browser(self) -> str:
        """The text for guacamole-common-js."""
        return self.encode(Counting.UTF16_UNITS)


_TOO_MANY: Final = f"an instruction has at most {MAX_ELEMENTS} elements"
_TOO_LONG: Final = f"an instruction has at most {MAX_INSTRUCTION} characters"


def _units(value: str) -> int:
    """The length of a string in UTF-16 units."""
    if value.isascii():
        return len(value)
    return len(value) + sum(character > "\uffff" for character in value)


_LENGTH = re.compile(rf"([0-9]{{1,{MAX_LENGTH_DIGITS}}})\.", re.ASCII)
_PARTIAL_LENGTH = re.compile(rf"[0-9]{{0,{MAX_LENGTH_DIGITS}}}", re.ASCII)


def _cut(text: str, start: int, counting: Counting) -> tuple[Instruction, int] | None:
    """The instruction at `start` and where it ends; None if it is not complete."""
    values: list[str] = []
    at = start
    while (length := _LENGTH.match(text, at)) is not None:
        if int(length[1]) > MAX_INSTRUCTION:
            raise BadInstructionError(_TOO_LONG)
        end = _end(text, length.end(), int(length[1]), counting)
        if end >= len(text):
            break
        values.append(text[length.end() : end])
        if len(values) > MAX_ELEMENTS:
            raise BadInstructionError(_TOO_MANY)
        at = end + 1
        if text[end] == ";":
            if at - start > MAX_INSTRUCTION:
                raise BadInstructionError(_TOO_LONG)
            return Instruction(values[0], tuple(values[1:])), at
        if text[end] != ",":
            raise BadInstructionError("an element does not have the length it states")
    if length is None and not _PARTIAL_LENGTH.fullmatch(text, at):
        raise BadInstructionError("an element does not begin with its length")
    if len(text) - start > MAX_INSTRUCTION:
        raise BadInstructionError(_TOO_LONG)
    return None


def _end(text: str, begin: int, length: int, counting: Counting) -> int:
    """Where a value of `length` ends; at or beyond the end of the text if it is not complete."""
    end = begin + length
    if counting is Counting.CODE_POINTS or text.isascii() or text[begin:end].isascii():
        return end
    at = begin
    while length > 0 and at < len(text):
        length -= 2 if text[at] > "\uffff" else 1
        at += 1
    if length < 0:
        raise BadInstructionError("a length ends within a character")
    return at + length


class GuacdReader:
    """Instructions from guacd's bytes, in pieces of any size."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""

    def feed(self, data: bytes) -> list[Instruction]:
        """What is complete now. Raises BadInstructionError, after which it must not be used."""
        try:
            text = self._text + self._decoder.decode(data)
        except UnicodeDecodeError:
            raise BadInstructionError("guacd sent something that is not UTF-8") from None
        instructions = []
        at = 0
        while at < len(text) and (found := _cut(text, at, Counting.CODE_POINTS)) is not None:
            instruction, at = found
            instructions.append(instruction)
        self._text = text[at:]
        return instructions


def parse_message(text: str) -> list[Instruction]:
    """The whole instructions of a message from the browser; BadInstructionError."""
    if len(text) > MAX_MESSAGE:
        raise BadInstructionError("a message from the browser is too long")
    instructions = []
    at = 0
    while at < len(text):
        found = _cut(text, at, Counting.UTF16_UNITS)
        if found is None:
            raise BadInstructionError("a message from the browser ends within an instruction")
        instruction, at = found
        instructions.append(instruction)
    return instructions


# --- Handshake with guacd -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Screen:
    """What the viewer can show: pixels, and pixels per inch."""

    width: int
    height: int
    dpi: int = 96


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection that guacd shall open. `parameters` are guacd's, by name."""

    protocol: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RunningConnection:
    """A connection of guacd that shall be joined; `connection_id` is what `ready` gave."""

    connection_id: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, on what. Media types are tried in order; none means that kind is not wanted."""

    screen: Screen
    audio: tuple[str, ...] = ()
    video: tuple[str, ...] = ()
    image: tuple[str, ...] = ("image/png", "image/jpeg")
    timezone: str | None = None
    name: str | None = None
    read_only: bool = False


class Stage(Enum):
    """Where a handshake is."""

    SELECTED = "the answer to `select`"
    CONNECTING = "the connection's id"
    READY = "nothing"


_CONNECTION_ID: Final = re.compile(r"\$[0-9a-zA-Z-]{1,64}")
_PROTOCOL: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION: Final = re.compile(r"VERSION_([0-9]{1,3})_([0-9]{1,3})_([0-9]{1,3})")
_HAS_TIMEZONE: Final = (1, 1, 0)
_HAS_NAME: Final = (1, 3, 0)
_MEANINGLESS: Final = frozenset({"nop", "log", "sync"})
"""What guacd may say at any time and does not concern the handshake."""


class Handshake:
    """From `select` to `ready`.

    Send what `begin` gives, then what each `receive` gives, until `stage` is READY; then
    `connection_id` is known, `early` has instructions that came behind it, and `reader` reads on.
    guacd answers a protocol it has no plugin for with nothing at all: the caller needs a timeout.
    """

    def __init__(self, connection: NewConnection | RunningConnection, viewer: Viewer) -> None:
        self._connection = connection
        self._viewer = viewer
        self.reader = GuacdReader()
        self.stage = Stage.SELECTED
        self.connection_id = ""
        self.unused: frozenset[str] = frozenset()
        """Names of parameters that this guacd does not know."""
        self.early: list[Instruction] = []

    def begin(self) -> bytes:
        """The first bytes; GuacamoleError for a name that cannot be one."""
        if isinstance(self._connection, RunningConnection):
            if not _CONNECTION_ID.fullmatch(self._connection.connection_id):
                raise GuacamoleError("this is not the id of one of guacd's connections")
            return Instruction("select", (self._connection.connection_id,)).to_guacd()
        if not _PROTOCOL.fullmatch(self._connection.protocol):
            raise GuacamoleError("this is not the name of one of guacd's protocols")
        return Instruction("select", (self._connection.protocol,)).to_guacd()

    def receive(self, data: bytes) -> bytes:
        """What to send in answer; GuacdRefusedError, BadInstructionError."""
        answer = b""
        for instruction in self.reader.feed(data):
            if self.stage is Stage.READY:
                self.early.append(instruction)
            else:
                answer += self._answer(instruction)
        return answer

    def _answer(self, instruction: Instruction) -> bytes:
        match self.stage, instruction.opcode:
            case _, "error":
                raise refusal(instruction)
            case _, "disconnect":
                raise GuacdRefusedError(Status.UPSTREAM_UNAVAILABLE, "")
            case _, opcode if opcode in _MEANINGLESS:
                return b""
            case Stage.SELECTED, "args":
                self.stage = Stage.CONNECTING
                return self._connect(instruction.arguments)
            case Stage.CONNECTING, "ready" if len(instruction.arguments) == 1:
                if not _CONNECTION_ID.fullmatch(instruction.arguments[0]):
                    raise BadInstructionError("guacd gave the connection no usable id")
                self.connection_id = instruction.arguments[0]
                self.stage = Stage.READY
                return b""
        raise BadInstructionError(f"guacd sent something else than {self.stage.value}")

    def _connect(self, names: tuple[str, ...]) -> bytes:
        viewer = self._viewer
        version = _VERSION.fullmatch(names[0]) if names else None
        spoken = (1, 0, 0)
        if version is not None:
            spoken = (int(version[1]), int(version[2]), int(version[3]))
        screen = (viewer.screen.width, viewer.screen.height, viewer.screen.dpi)
        says = [
            Instruction("size", tuple(map(str, screen))),
            Instruction("audio", viewer.audio),
            Instruction("video", viewer.video),
            Instruction("image", viewer.image),
        ]
        if viewer.timezone is not None and spoken >= _HAS_TIMEZONE:
            says.append(Instruction("timezone", (viewer.timezone,)))
        if viewer.name is not None and spoken >= _HAS_NAME:
            says.append(Instruction("name", (viewer.name,)))
        values = dict(self._connection.parameters)
        if viewer.read_only:
            values["read-only"] = "true"
        self.unused = frozenset(self._connection.parameters) - set(names)
        rest = names if version is None else names[1:]
        filled = [values.get(name, "") for name in rest]
        says.append(Instruction("connect", (*names[: len(names) - len(rest)], *filled)))
        return b"".join(instruction.to_guacd() for instruction in says)


def refusal(instruction: Instruction) -> GuacdRefusedError:
    """What an `error` instruction says."""
    detail, number = (*instruction.arguments, "", "")[:2]
    detail = "".join(character for character in detail if character.isprintable())[:200]
    if number.isascii() and number.isdigit() and len(number) <= MAX_LENGTH_DIGITS:
        try:
            return GuacdRefusedError(Status(int(number)), detail)
        except ValueError:
            pass
    return GuacdRefusedError(None, detail)


# --- Tunnel to the browser ------------------------------------------------------------------------


class Sender(Enum):
    """Who may send an instruction from a browser."""

    VIEWERS = "everybody"
    CONTROLLERS = "those who control the desktop"


FROM_BROWSER: Final[dict[str, Sender]] = {
    "sync": Sender.VIEWERS,
    "ack": Sender.VIEWERS,
    "nop": Sender.VIEWERS,
    "disconnect": Sender.VIEWERS,
    "key": Sender.CONTROLLERS,
    "mouse": Sender.CONTROLLERS,
    "touch": Sender.CONTROLLERS,
    "size": Sender.CONTROLLERS,
    "clipboard": Sender.CONTROLLERS,
    "audio": Sender.CONTROLLERS,
    "file": Sender.CONTROLLERS,
    "pipe": Sender.CONTROLLERS,
    "get": Sender.CONTROLLERS,
    "put": Sender.CONTROLLERS,
    "argv": Sender.CONTROLLERS,
    "blob": Sender.CONTROLLERS,
    "end": Sender.CONTROLLERS,
}
"""What a browser may send; everything else is dropped."""


class Tunnel:
    """One browser's tunnel.

    Send `opened` to the browser before anything else. A viewer's tunnel is `read_only`; taking
    control away is `take_control`, whose bytes go to guacd so that no key stays down. `steering` is
    asked about the size of each instruction that steers; what it declines is dropped, except for
    keys and buttons that are let go.
    """

    def __init__(
        self,
        tunnel_id: str,
        *,
        read_only: bool,
        steering: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._id = tunnel_id
        self._steering = steering
        self.read_only = read_only
        self._keys: dict[str, None] = {}
        self._pointer: tuple[str, str] | None = None

    def opened(self) -> str:
        """The tunnel's id, which makes it open for the browser."""
        return Instruction(INTERNAL, (self._id,)).to_browser()

    def from_browser(self, message: str) -> tuple[bytes, str]:
        """What goes to guacd, and what back to the browser, for a message. BadInstructionError."""
        to_guacd = []
        to_browser = []
        for instruction in parse_message(message):
            if instruction.opcode == INTERNAL:
                if instruction.arguments[:1] == ("ping",):
                    to_browser.append(instruction.to_browser())
            elif self._may(instruction) and self._noticed(instruction):
                to_guacd.append(instruction.to_guacd())
        return b"".join(to_guacd), "".join(to_browser)

    def from_guacd(self, instructions: list[Instruction]) -> str:
        """What goes to the browser: whole instructions, or nothing."""
        return "".join(
            instruction.to_browser()
            for instruction in instructions
            if instruction.opcode != INTERNAL
        )

    def take_control(self) -> bytes:
        """Make the tunnel read-only; the bytes release what is held down."""
        self.read_only = True
        says = [Instruction("key", (keysym, "0")) for keysym in self._keys]
        if self._pointer is not None:
            says.append(Instruction("mouse", (*self._pointer, "0")))
        self._keys.clear()
        self._pointer = None
        return b"".join(instruction.to_guacd() for instruction in says)

    def _may(self, instruction: Instruction) -> bool:
        who = FROM_BROWSER.get(instruction.opcode)
        if who is not Sender.CONTROLLERS:
            return who is Sender.VIEWERS
        if self.read_only:
            return False
        size = sum(map(len, instruction.arguments))
        return _lets_go(instruction) or self._steering(size)

    def _noticed(self, instruction: Instruction) -> bool:
        """Keep what is held down; False for a key beyond the limit, which nobody could release."""
        match instruction:
            case Instruction("key", (keysym, "0", *_)):
                self._keys.pop(keysym, None)
            case Instruction("key", (keysym, _, *_)):
                if len(self._keys) >= MAX_HELD and keysym not in self._keys:
                    return False
                self._keys[keysym] = None
            case Instruction("mouse", (x, y, mask, *_)):
                self._pointer = None if mask == "0" else (x, y)
        return True


def _lets_go(instruction: Instruction) -> bool:
    """Whether an instruction does nothing but release a key or the buttons."""
    match instruction:
        case Instruction("key", (_, "0", *_)) | Instruction("mouse", (_, _, "0", *_)):
            return True
    return False
