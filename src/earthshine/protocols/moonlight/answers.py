"""The XML answers of the GameStream HTTP API, read and written.

Every answer is ``<root status_code="200">`` with elements inside. A status other than 200 means
refusal and may carry ``status_message``; the HTTP status line usually stays 200 either way.

Reading is done before any trust exists, so the reader has no entities, no document types and hard
limits, and keeps only element names, attributes and text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from earthshine.protocols.moonlight.errors import MoonlightError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ANSWER_BYTES = 1 << 20
MAX_DEPTH = 8
MAX_ELEMENTS = 16384
MAX_ATTRIBUTES = 16

OK = 200
UNAUTHORISED = 401
CLIENT_IS_UNSUPPORTED = 418

# What an older host answers when it means "this client is too old" (status -1, as text or
# unsigned).
_INVALID_STATUS = (-1, 0xFFFFFFFF)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
# Characters that XML 1.0 cannot carry, even escaped (section 2.2).
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class AnswerError(MoonlightError):
    """The answer is not the XML this API speaks, or exceeds a limit."""


class AnswerRefusedError(AnswerError):
    """A well-formed answer in which the host refuses. ``status`` and ``message`` are its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the host refused: {message or 'no reason given'} (status {status})")
        self.status = status
        self.message = message


@dataclass(slots=True)
class Element:
    """One XML element. ``text`` is the concatenated character data directly inside it."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """The direct children of that name."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str | None:
        """Text of the first direct child of that name, stripped; None if there is none."""
        return next((child.text.strip() for child in self.all(name)), None)

    def require(self, name: str) -> str:
        """Like `get`, but raises `AnswerError` when the child is missing or empty."""
        value = self.get(name)
        if not value:
            raise AnswerError(f"answer has no {name}")
        return value

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """A decimal child within ``low`` to ``high``; ``default`` when missing or empty.

        Raises `AnswerError` when it is not a number in range, or missing without a default.
        """
        value = self.get(name)
        if not value:
            if default is None:
                raise AnswerError(f"answer has no {name}")
            return default
        return bounded_integer(name, value, low, high)


def bounded_integer(name: str, text: str, low: int, high: int) -> int:
    """Decimal ``text`` as a number from ``low`` to ``high``. Raises `AnswerError`."""
    if not _INTEGER.match(text) or not low <= (number := int(text)) <= high:
        raise AnswerError(f"{name} is not a number from {low} to {high}")
    return number


class _Reader:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[tuple[Element, list[str]]] = []
        self._count = 0
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ProcessingInstructionHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        self._parser = parser

    def read(self, body: bytes) -> Element:
        try:
            self._parser.Parse(body, True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise AnswerError(f"answer is not XML: {error}") from error
        if self.root is None:
            raise AnswerError("answer is empty")
        return self.root

    def _refuse(self, *_: object) -> None:
        raise AnswerError("answer contains a document type or processing instruction")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise AnswerError("answer has too many elements")
        if len(attributes) > MAX_ATTRIBUTES:
            raise AnswerError("element has too many attributes")
        element = Element(name, attributes)
        if self._open:
            self._open[-1][0].children.append(element)
        else:
            self.root = element
        self._open.append((element, []))

    def _end(self, _: str) -> None:
        element, pieces = self._open.pop()
        element.text = "".join(pieces)

    def _text(self, data: str) -> None:
        self._open[-1][1].append(data)


def parse_answer(body: bytes) -> Element:
    """Read an answer of at most `MAX_ANSWER_BYTES` and return its root.

    Raises `AnswerRefusedError` when the status is not 200, `AnswerError` when it cannot be read.
    """
    if len(body) > MAX_ANSWER_BYTES:
        raise AnswerError(f"answer is larger than {MAX_ANSWER_BYTES} bytes")
    root = _Reader().read(body)
    if root.name != "root":
        raise AnswerError("answer has no root element")
    status = bounded_integer(
        "status_code", root.attributes.get("status_code", ""), -(1 << 31), (1 << 32) - 1
    )
    message = root.attributes.get("status_message", "")
    if status in _INVALID_STATUS and message == "Invalid":
        status, message = CLIENT_IS_UNSUPPORTED, "The host does not support this client"
    if status != OK:
        raise AnswerRefusedError(status, message)
    return root


def build_answer(
    children: Sequence[Element | tuple[str, str]] = (),
    *,
    status: int = OK,
    message: str | None = None,
    query: str | None = None,
) -> bytes:
    """Write an answer as UTF-8, ended by a newline. A tuple is an element with text.

    ``query`` is the path being refused, as hosts put it into a 401. Characters XML cannot carry
    are replaced.
    """
    head = f" query={_quoted(query)}" if query is not None else ""
    head += f' status_code="{status}"'
    if message is not None:
        head += f" status_message={_quoted(message)}"
    inside = "".join(_written(child) for child in children)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<root{head}>{inside}</root>\n'
    return text.encode()


def unauthorised(path: str) -> bytes:
    """What a host answers over HTTPS to a client certificate it does not know (status 401)."""
    return build_answer(status=UNAUTHORISED, message="Client certificate is not paired", query=path)


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)


def _written(child: Element | tuple[str, str]) -> str:
    if isinstance(child, tuple):
        name, text = child
        return f"<{name}>{escape(_writable(text))}</{name}>"
    inside = escape(_writable(child.text))
    inside += "".join(_written(grandchild) for grandchild in child.children)
    attributes = "".join(f" {name}={_quoted(value)}" for name, value in child.attributes.items())
    return f"<{child.name}{attributes}>{inside}</{child.name}>"


def _quoted(text: str) -> str:
    return quoteattr(_writable(text))
