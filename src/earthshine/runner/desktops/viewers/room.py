"""One desktop and all who watch it: who has control, and one line to the worker for what is typed.

Input of all viewers goes over that one line, so it arrives in the order in which it was taken, and
when the line ends the worker lets go of all keys.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from operator import is_not
from typing import Final

import msgspec

from earthshine.protocols import viewer as v
from earthshine.protocols.viewer import Attach, Problem
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.limits import MAX_SIZE, Preset
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.stream import DesktopStream, StreamGoneError
from earthshine.runner.desktops.viewers import hands, pictures
from earthshine.runner.desktops.viewers.control import NOBODY, Control, Seat
from earthshine.runner.desktops.viewers.hands import Hands, TooLargeError
from earthshine.runner.desktops.viewers.viewer import RETRY_SECONDS, Viewer

MAX_VIEWERS: Final = 60
"""The worker takes 64 lines."""
MAX_REMEMBERED: Final = 1000
"""Viewers whose number is kept for when they come back."""
LOOK_SECONDS: Final = 60.0
NOT_IN_CONTROL: Final = Problem(
    code="not-in-control",
    detail="Somebody else has control of this desktop.",
    remedy="Ask for control, or take it.",
)


class FullError(Exception):
    """The desktop has as many viewers as it can have."""


class Room:
    """A desktop and its viewers."""

    def __init__(
        self,
        desktop: Desktop,
        settings: DesktopSettings,
        typing_refused: Callable[[str], str],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`typing_refused` says why this machine lets nobody of this name type; empty: it does."""
        self.desktop = desktop
        self.codec = ""
        """Of the video, once a key frame has come."""
        self.rate = settings.frames_per_second
        self.preset: Preset = settings.preset
        self._usual_preset = settings.preset
        self._typing_refused = typing_refused
        self._tasks = tasks
        self._control = Control()
        self._hands = Hands()
        self._viewers: dict[int, Viewer] = {}
        self._numbers: dict[str, int] = {}
        self._last_number = 0
        self._stream: DesktopStream | None = None
        self._steering: asyncio.Task[None] | None = None
        self._copied: v.Clipboard | None = None

    # --- coming and going ------------------------------------------------------------------------

    def enter(self, attach: Attach, writer: asyncio.StreamWriter) -> Viewer:
        """Somebody begins to watch; `leave` must follow. Raises FullError."""
        if len(self._viewers) >= MAX_VIEWERS:
            raise FullError
        number = self._number(attach.viewer)
        viewer = Viewer(self, number, attach, writer)
        self._viewers[number] = viewer
        self._control.joined(number, Seat(attach.name, attach.role, self._may_control(attach)))
        if self._steering is None:
            self._steering = self._tasks.create_task(self._steer())
        self._tell_viewers()
        if self._copied is not None and attach.may_control:
            viewer.say(self._copied)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Somebody is gone, and has let go of everything."""
        before = self._control.holder
        self._viewers.pop(viewer.number, None)
        self._control.left(viewer.number)
        self._settle(before)
        self._tell_viewers()
        if not self._viewers and self._steering is not None:
            self._steering.cancel()
            self._steering = None

    def _number(self, viewer_id: str) -> int:
        """The one it had before, unless it still watches with that: in another window, say."""
        known = self._numbers.pop(viewer_id, 0)
        if not known or known in self._viewers:
            self._last_number += 1
            known = self._last_number
        self._numbers[viewer_id] = known
        if len(self._numbers) > MAX_REMEMBERED:
            self._numbers.pop(next(iter(self._numbers)))
        return known

    def _may_control(self, attach: Attach) -> bool:
        return attach.may_control and not self._typing_refused(attach.name)

    def role_changed(self, viewer: Viewer, role: v.RoleIs) -> None:
        """The control plane says what this viewer may do from now on."""
        viewer.attach = msgspec.structs.replace(
            viewer.attach, role=role.role, may_control=role.may_control
        )
        before = self._control.holder
        self._control.role_changed(viewer.number, role.role, self._may_control(viewer.attach))
        self._settle(before)
        self._tell_viewers()

    async def until_up(self, waits: Callable[[], None]) -> bool:
        """Until the desktop shows something; `waits` is called whenever that is not so, and the
        desktop's status says why. False: it has ended."""
        desktop = self.desktop
        while not (desktop.status.phase == "running" and desktop.status.streaming):
            waits()
            if desktop.ended:
                return False
            known = desktop.status
            with contextlib.suppress(TimeoutError):
                await desktop.until(partial(is_not, known), LOOK_SECONDS)
        return True

    # --- the line for input ----------------------------------------------------------------------

    async def _steer(self) -> None:
        while await self.until_up(lambda: None):
            try:
                wants = m.Watch(
                    control=True, video=False, repaint=False, cursor=False, clipboard=True
                )
                async with self.desktop.stream(wants) as stream:
                    self._stream = stream
                    if self.preset != self._usual_preset:
                        stream.tell(m.Tune(preset=self.preset))
                    async for message in stream:
                        self._heard(message)
            except (StreamGoneError, OSError):
                pass
            finally:
                self._stream = None
                self._hands.release()
            await asyncio.sleep(RETRY_SECONDS)

    def _heard(self, message: m.FromWorker) -> None:
        match message:
            case m.Clipboard():
                self._copied = pictures.clipboard(message)
                for viewer in self._viewers.values():
                    if viewer.attach.may_control:
                        viewer.say(self._copied)
            case m.PointerIs() if self._control.holder != NOBODY:
                self._show_pointer(self._control.holder, message.x, message.y)
            case m.Trouble():
                note = pictures.problem(message)
                for number, viewer in self._viewers.items():
                    if self._control.holder in (NOBODY, number):
                        viewer.say(note)

    def _tell(self, *commands: m.Message) -> None:
        if self._stream is not None:
            with contextlib.suppress(StreamGoneError):
                for command in commands:
                    self._stream.tell(command)

    # --- what viewers do -------------------------------------------------------------------------

    def obey(self, viewer: Viewer, message: v.FromViewer) -> None:
        """Something that only who may control can do."""
        before = self._control.holder
        if not viewer.attach.may_control:
            return  # the control plane lets none of this through
        if why := self._typing_refused(viewer.attach.name):
            self._refuse(viewer, why)
            return
        if not self._control.may(viewer.number):  # the policy was stricter before
            self._control.role_changed(viewer.number, viewer.attach.role, may_control=True)
        match message:
            case v.TakeControl():
                self._control.taken(viewer.number)
            case v.AskForControl():
                self._control.asked(viewer.number)
                self._tell_viewers()
            case v.GiveControl(to=to):
                self._control.given(viewer.number, to)
            case v.Resize() | v.SetPreset() | v.SetLayout():
                self._change(viewer, message)
            case _ if isinstance(message, hands.Input):
                self._input(viewer, message)
        if self._settle(before):
            self._tell_viewers()

    def _refuse(self, viewer: Viewer, why: str) -> None:
        """This machine's policy does not let them type: said once for each reason."""
        before = self._control.holder
        self._control.role_changed(viewer.number, viewer.attach.role, may_control=False)
        if self._settle(before):
            self._tell_viewers()
        if why != viewer.refused_because:
            viewer.refused_because = why
            viewer.say(
                Problem(
                    code="refused-by-policy",
                    detail=why,
                    remedy="Only whoever runs that machine can change its policy.",
                )
            )

    def _change(self, viewer: Viewer, message: v.Resize | v.SetPreset | v.SetLayout) -> None:
        if self._control.holder not in (NOBODY, viewer.number):
            viewer.say(NOT_IN_CONTROL)
        elif isinstance(message, v.Resize):
            self._tell(hands.resize(message))
        elif isinstance(message, v.SetLayout):
            self._tell(m.Layout(layout=message.layout, variant=message.variant))
        else:
            self.preset = message.preset.value
            self._tell(m.Tune(preset=self.preset))
            for one in self._viewers.values():
                one.tell_desktop()

    def _input(self, viewer: Viewer, message: hands.Input) -> None:
        before = self._control.holder
        if not self._control.acted(viewer.number, takes=hands.takes_control(message)):
            return
        self._settle(before)
        try:
            self._tell(*self._hands.commands(message))
        except TooLargeError as error:
            viewer.say(Problem(code="too-large", detail=f"That is too large: {error}."))
            return
        if isinstance(message, v.Pointer | v.Touch):
            self._show_pointer(viewer.number, message.x, message.y)

    def _show_pointer(self, mover: int, x: int, y: int) -> None:
        """To everybody else, with whose it is."""
        place = v.PointerAt(mover, min(max(x, 0), MAX_SIZE), min(max(y, 0), MAX_SIZE))
        for number, one in self._viewers.items():
            if number != mover and not one.busy:
                one.say(place)

    def _settle(self, before: int) -> bool:
        """Control has changed hands: whoever had it lets go of everything."""
        if self._control.holder == before:
            return False
        if before != NOBODY:
            self._tell(self._hands.release())
        return True

    def _tell_viewers(self) -> None:
        for number, viewer in self._viewers.items():
            viewer.say(
                v.Viewers(viewers=self._control.seen_by(number), control=self._control.holder)
            )
