"""The display's clipboard, both ways: text and PNG (ICCCM section 2; large ones in parts, INCR).

Driven by the events of one X connection; never waits. A transfer that stands still is given up
when the next one begins or `expire` is called.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from earthshine.runner.desktops.messages import MAX_CLIPBOARD
from earthshine.runner.desktops.x11 import DisplayError, X, xfixes

CHUNK: Final = 128 * 1024
"""Bytes of one part; more than this goes by INCR. Below the smallest request limit, 256 KiB."""
MAX_TRANSFERS: Final = 16
INBOXES: Final = 16
"""Properties that take turns as the place where an answer is put."""
TRANSFER_SECONDS: Final = 10.0
TEXT: Final = "text/plain"
PNG: Final = "image/png"
_TEXT_TARGETS: Final = ("UTF8_STRING", "text/plain;charset=utf-8", "text/plain", "STRING")
log = logging.getLogger(__name__)


@dataclass
class _Sending:
    """A content that a program takes in parts."""

    window: Any
    property: int
    target: int
    data: bytes
    at: int = 0
    begun: float = field(default_factory=time.monotonic)


@dataclass
class _Receiving:
    """A content that a program gives us."""

    mime: str
    incremental: bool = False
    data: bytearray = field(default_factory=bytearray)
    begun: float = field(default_factory=time.monotonic)


class Clipboard:
    """The selection CLIPBOARD. `copied` is called with what a program in the display copied."""

    def __init__(self, connection: Any, copied: Callable[[str, bytes], None]) -> None:
        """Raises DisplayError when the display cannot tell of copies."""
        if not connection.has_extension("XFIXES"):
            raise DisplayError("the display has no XFIXES extension: no clipboard")
        self._connection = connection
        self._copied = copied
        screen = connection.screen()
        self._window = screen.root.create_window(
            -10, -10, 1, 1, 0, screen.root_depth, event_mask=X.PropertyChangeMask
        )
        self._atoms: dict[str, int] = {}
        self._selection = self._atom("CLIPBOARD")
        self._requests = 0
        self._inbox = 0
        self._own: tuple[str, bytes] | None = None
        self._since = 0
        self._sending: OrderedDict[tuple[int, int], _Sending] = OrderedDict()
        self._receiving: _Receiving | None = None
        connection.xfixes_query_version()
        connection.xfixes_select_selection_input(
            self._window, self._selection, xfixes.XFixesSetSelectionOwnerNotifyMask
        )
        connection.sync()  # from here on no copy is missed

    def _atom(self, name: str) -> int:
        if name not in self._atoms:
            self._atoms[name] = self._connection.intern_atom(name)
        return self._atoms[name]

    def put(self, mime: str, data: bytes) -> None:
        """Offer this to the programs of the display."""
        self._own = (mime, data[:MAX_CLIPBOARD])
        self._window.set_selection_owner(self._selection, X.CurrentTime)
        self._connection.flush()

    def ask(self) -> None:
        """Fetch what is in the clipboard now, if it is a program's."""
        owner = self._connection.get_selection_owner(self._selection)
        if owner != X.NONE and owner.id != self._window.id:
            self._request()

    def expire(self) -> None:
        """Give up transfers that stand still."""
        limit = time.monotonic() - TRANSFER_SECONDS
        if self._receiving is not None and self._receiving.begun < limit:
            self._receiving = None
        for key in [key for key, sending in self._sending.items() if sending.begun < limit]:
            del self._sending[key]

    def handle(self, event: Any) -> bool:
        """Take an event of the connection; False when it is not about the clipboard."""
        kind = type(event).__name__
        if kind == "SetSelectionOwnerNotify":
            if event.owner.id != self._window.id and event.owner.id != X.NONE:
                self._request()
        elif kind == "SelectionRequest":
            self._answer(event)
        elif kind == "SelectionNotify" and hasattr(event, "target"):
            self._given(event)
        elif kind == "PropertyNotify":
            self._property_changed(event)
        elif kind == "SelectionClear":
            self._own = None
        else:
            return False
        return True

    # --- what programs copied --------------------------------------------------------------------

    def _request(self) -> None:
        self._own = None
        self._receiving = None
        self._convert("TARGETS")

    def _convert(self, target: str) -> None:
        # A property of its own for each request: an answer that comes late is told by it.
        self._requests = (self._requests + 1) % INBOXES
        self._inbox = self._atom(f"EARTHSHINE_CLIPBOARD_{self._requests}")
        self._window.delete_property(self._inbox)
        self._window.convert_selection(
            self._selection, self._atom(target), self._inbox, X.CurrentTime
        )
        self._connection.flush()

    def _given(self, event: Any) -> None:
        if event.property == X.NONE:
            self._receiving = None
            return
        if event.property != self._inbox:
            self._window.delete_property(event.property)
            self._connection.flush()
            return
        if event.target == self._atom("TARGETS"):
            self._choose()
            return
        if self._receiving is None:
            return
        found = self._window.get_full_property(self._inbox, X.AnyPropertyType)
        if found is None:
            self._receiving = None
        elif found.property_type == self._atom("INCR"):
            self._receiving.incremental = True
            self._window.delete_property(self._inbox)  # which asks for the first part
            self._connection.flush()
        else:
            self._window.delete_property(self._inbox)
            self._collect(found.value)
            self._finish()

    def _choose(self) -> None:
        """The best of what is offered: a picture before text."""
        found = self._window.get_full_property(self._inbox, X.AnyPropertyType)
        self._window.delete_property(self._inbox)
        offered = set(found.value) if found is not None and found.format == 32 else set()
        for target in (PNG, *_TEXT_TARGETS):
            if self._atom(target) in offered:
                self._receiving = _Receiving(PNG if target == PNG else TEXT)
                self._convert(target)
                return
        self._connection.flush()

    def _collect(self, value: Any) -> None:
        assert self._receiving is not None
        self._receiving.data += value.encode() if isinstance(value, str) else bytes(value)
        if len(self._receiving.data) > MAX_CLIPBOARD:
            log.warning("a copy of more than %d bytes is not passed on", MAX_CLIPBOARD)
            self._receiving = None

    def _finish(self) -> None:
        received, self._receiving = self._receiving, None
        self._connection.flush()
        if received is not None and received.data:
            self._copied(received.mime, bytes(received.data))

    # --- what viewers copied ---------------------------------------------------------------------

    def _answer(self, event: Any) -> None:
        target, place = event.target, event.property or event.target
        given = self._give(event.requestor, target, place)
        reply = _selection_notify(event, place if given else X.NONE)
        event.requestor.send_event(reply, propagate=False)
        self._connection.flush()

    def _give(self, requestor: Any, target: int, place: int) -> bool:
        if self._own is None:
            return False
        mime, data = self._own
        targets = (PNG,) if mime == PNG else _TEXT_TARGETS
        offered = [self._atom(name) for name in targets]
        if target == self._atom("TARGETS"):
            atoms = [self._atom("TARGETS"), *offered]
            requestor.change_property(place, self._atom("ATOM"), 32, atoms)
            return True
        if target not in offered:
            return False
        if target == self._atom("STRING"):
            data = data.decode(errors="replace").encode("latin-1", "replace")
        if len(data) <= CHUNK:
            requestor.change_property(place, target, 8, data)
            return True
        if len(self._sending) >= MAX_TRANSFERS:
            self._sending.popitem(last=False)
        requestor.change_attributes(event_mask=X.PropertyChangeMask)
        requestor.change_property(place, self._atom("INCR"), 32, [len(data)])
        self._sending[requestor.id, place] = _Sending(requestor, place, target, data)
        return True

    def _property_changed(self, event: Any) -> None:
        if event.window.id == self._window.id:
            fresh = event.state == X.PropertyNewValue and event.atom == self._inbox
            if fresh and self._receiving is not None and self._receiving.incremental:
                self._next_part()
        elif event.state == X.PropertyDelete:
            self._send_part((event.window.id, event.atom))

    def _next_part(self) -> None:
        found = self._window.get_full_property(self._inbox, X.AnyPropertyType)
        self._window.delete_property(self._inbox)
        self._connection.flush()
        if found is None or found.property_type == self._atom("INCR"):
            return
        if not len(found.value):
            self._finish()
        else:
            self._collect(found.value)

    def _send_part(self, key: tuple[int, int]) -> None:
        sending = self._sending.get(key)
        if sending is None:
            return
        part = sending.data[sending.at : sending.at + CHUNK]
        sending.at += len(part)
        sending.window.change_property(sending.property, sending.target, 8, part)
        if not part:  # the empty part is the last
            sending.window.change_attributes(event_mask=X.NoEventMask)
            del self._sending[key]
        self._connection.flush()


def _selection_notify(request: Any, place: int) -> Any:
    from Xlib.protocol.event import SelectionNotify  # noqa: PLC0415 - only where python-xlib is

    return SelectionNotify(
        time=request.time,
        requestor=request.requestor,
        selection=request.selection,
        target=request.target,
        property=place,
    )
