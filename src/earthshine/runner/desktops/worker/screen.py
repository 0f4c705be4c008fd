"""What the worker knows of the screen: size, damage, pointer shape, and who draws on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import psutil

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.x11 import DamageWatch, Rectangle, X, res, xfixes


class ScreenWatch:
    """Turns the events of one X connection into calls. The connection belongs to the event loop."""

    def __init__(self, connection: Any) -> None:
        """Raises DisplayError."""
        self.connection = connection
        self.size = x11.screen_size(connection)
        self._damage = DamageWatch(connection)
        self.damaged = True
        """Something may have been drawn since the last `take`."""
        self.on_damage: Callable[[], None] = _nothing
        self.on_size: Callable[[], None] = _nothing
        self.on_pointer: Callable[[], None] = _nothing
        self.on_layout: Callable[[int, int], None] = lambda _first, _count: None
        self.on_other: Callable[[Any], bool] = lambda _: False
        root = connection.screen().root
        root.change_attributes(event_mask=X.StructureNotifyMask)
        connection.xfixes_select_cursor_input(root, xfixes.XFixesDisplayCursorNotifyMask)
        connection.flush()

    def take(self) -> list[Rectangle]:
        """What was drawn on since the last call."""
        self.damaged = False
        return self._damage.take()

    def drain(self) -> None:
        """Handle all events that have come; after any request that waited for its answer too."""
        while self.connection.pending_events():
            self._handle(self.connection.next_event())

    def _handle(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "DamageNotify":
            self.damaged = True
            self.on_damage()
        elif kind == "DisplayCursorNotify":
            self.on_pointer()
        elif kind == "ConfigureNotify":
            size = (event.width, event.height)
            if event.window == self.connection.screen().root and size != self.size:
                self.size = size
                self.on_size()
        elif kind == "MappingNotify":
            if event.request == X.MappingKeyboard:
                self.on_layout(event.first_keycode, event.count)
        else:
            self.on_other(event)

    def guests(self) -> int:
        """Programs in the display that are not of the holder's making: an agent's, say."""
        if not self.connection.has_extension("X-Resource"):
            return 0
        try:
            reply = self.connection.res_query_client_ids(
                [{"client": 0, "mask": res.LocalClientPIDMask}]
            )
        except x11.protocol_errors():
            return 0
        pids = {value for found in reply.ids for value in found.value}
        holder = os.getppid()
        return sum(1 for pid in pids if not _is_below(pid, holder))


def _is_below(pid: int, ancestor: int) -> bool:
    """Whether a process is `ancestor` or descends from it; one that is gone counts as such."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return pid == ancestor or any(parent.pid == ancestor for parent in process.parents())
    return True


def _nothing() -> None: ...
