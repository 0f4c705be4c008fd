"""The connection to an X server, through python-xlib.

Adds the requests that python-xlib has no method for (regions of XFixes), and answers a missing
package with words instead of a traceback. One connection belongs to one thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import Any, Final

try:
    from Xlib import X, display, error, protocol
    from Xlib.ext import damage, randr, res, xfixes, xtest
    from Xlib.protocol import rq, structs
except ImportError as absent:  # the extra `desktop` is not installed
    _MISSING: ImportError | None = absent
else:
    _MISSING = None

_CONNECTING: Final = threading.Lock()
INSTALL: Final = "install the extra: pip install 'earthshine[desktop]'"
MAX_RECTANGLES: Final = 256
"""Rectangles of one region that are told apart; more are told as their bounding box."""


class DisplayError(Exception):
    """A display cannot be used; `remedy` says what to do."""

    def __init__(self, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels from `x`, `y`, `width` by `height`."""

    x: int
    y: int
    width: int
    height: int

    def clipped(self, width: int, height: int) -> Rectangle | None:
        """The part inside a screen of this size; None when there is none."""
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, width), min(self.y + self.height, height)
        if right <= left or bottom <= top:
            return None
        return Rectangle(left, top, right - left, bottom - top)


def missing() -> str | None:
    """Why python-xlib cannot be used; None when it can."""
    return None if _MISSING is None else f"{_MISSING}; {INSTALL}"


def connect(name: str, authority: str | None = None) -> Any:
    """An `Xlib.display.Display`. Raises DisplayError.

    python-xlib takes the authority file from the environment only, so this sets it there.
    """
    if _MISSING is not None:
        raise DisplayError("the Python package python-xlib is missing", INSTALL)
    if authority is not None:
        os.environ["XAUTHORITY"] = authority
    try:
        with _CONNECTING:
            connection = display.Display(name)
            _separate(connection.display)
    except (error.DisplayError, error.XauthError, OSError, AssertionError) as problem:
        raise DisplayError(f"the display {name} does not answer: {problem}") from None
    return connection


def _separate(connection: Any) -> None:
    """Give a connection its own tables of events and errors.

    python-xlib keeps them for all connections at once, although each server numbers its extensions
    as it likes: with two servers in one process they overwrite each other. And it stumbles over
    the errors of extensions that are no XError in it.
    """
    connection.event_classes = connection.event_classes.copy()
    connection.error_classes = {
        code: kind if issubclass(kind, error.XError) else error.XError
        for code, kind in connection.error_classes.items()
    }
    connection.extension_major_opcodes = connection.extension_major_opcodes.copy()
    shared = protocol.display.Display
    shared.extension_major_opcodes = {}
    shared.event_classes = protocol.event.event_class.copy()
    shared.error_classes = error.xerror_class.copy()


def disconnect(connection: Any) -> None:
    """Close a connection, also one that the server has closed."""
    with contextlib.suppress(error.ConnectionClosedError, OSError):
        connection.close()
    connection.display.socket.close()


def screen_size(connection: Any) -> tuple[int, int]:
    """Width and height of the root window now, whatever RANDR did since the connection's start."""
    geometry = connection.screen().root.get_geometry()
    return geometry.width, geometry.height


def connection_errors() -> tuple[type[BaseException], ...]:
    """What python-xlib raises when the server has gone."""
    return (error.ConnectionClosedError, OSError)


def failures() -> tuple[type[BaseException], ...]:
    """Whatever can go wrong with a display."""
    return (DisplayError, *protocol_errors(), *connection_errors())


def protocol_errors() -> tuple[type[BaseException], ...]:
    """What python-xlib raises for a request that the server refuses."""
    return (error.XError,)


if _MISSING is None:

    class _CreateRegion(rq.Request):  # type: ignore[misc]
        _request = rq.Struct(
            rq.Card8("opcode"),
            rq.Opcode(5),
            rq.RequestLength(),
            rq.Card32("region"),
            rq.List("rectangles", structs.Rectangle),
        )

    class _DestroyRegion(rq.Request):  # type: ignore[misc]
        _request = rq.Struct(
            rq.Card8("opcode"), rq.Opcode(10), rq.RequestLength(), rq.Card32("region")
        )

    class _FetchRegion(rq.ReplyRequest):  # type: ignore[misc]
        _request = rq.Struct(
            rq.Card8("opcode"), rq.Opcode(19), rq.RequestLength(), rq.Card32("region")
        )
        _reply = rq.Struct(
            rq.ReplyCode(),
            rq.Pad(1),
            rq.Card16("sequence_number"),
            rq.ReplyLength(),
            rq.Object("extents", structs.Rectangle),
            rq.Pad(16),
            rq.List("rectangles", structs.Rectangle),
        )


class DamageWatch:
    """What has been drawn on the root window since the last `take` (DAMAGE, XFIXES).

    The server reports once that there is something and then keeps silent until it is taken, so
    drawing that nobody asks about costs nothing.
    """

    def __init__(self, connection: Any) -> None:
        """Raises DisplayError when the server lacks the extensions."""
        if not (connection.has_extension("DAMAGE") and connection.has_extension("XFIXES")):
            raise DisplayError("the display has no DAMAGE extension")
        connection.damage_query_version()
        connection.xfixes_query_version()
        self._connection = connection
        self._opcode = connection.display.get_extension_major("XFIXES")
        self._damage = connection.screen().root.damage_create(damage.DamageReportNonEmpty)
        self._region = connection.display.allocate_resource_id()
        _CreateRegion(
            display=connection.display, opcode=self._opcode, region=self._region, rectangles=[]
        )
        self.event: int = connection.extension_event.DamageNotify
        connection.flush()

    def take(self) -> list[Rectangle]:
        """The rectangles drawn on since the last call, in the order the server keeps them."""
        self._connection.damage_subtract(self._damage, X.NONE, self._region)
        reply = _FetchRegion(
            display=self._connection.display, opcode=self._opcode, region=self._region
        )
        found = reply.rectangles
        if len(found) > MAX_RECTANGLES:
            found = [reply.extents]
        return [Rectangle(r["x"], r["y"], r["width"], r["height"]) for r in found]


__all__ = [
    "DamageWatch",
    "DisplayError",
    "Rectangle",
    "X",
    "connect",
    "disconnect",
    "connection_errors",
    "failures",
    "missing",
    "protocol_errors",
    "randr",
    "res",
    "screen_size",
    "xfixes",
    "xtest",
]
