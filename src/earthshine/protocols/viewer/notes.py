"""The viewer protocol's notes: what is rare, as JSON behind a byte 0."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

MAX_SIDE: Final = 16_384
"""Pixels."""


class Note(msgspec.Struct, kw_only=True, frozen=True, rename="camel", tag_field="type"):
    """A JSON object with its `type`."""


class Preset(StrEnum):
    """What the encoder cares for."""

    TEXT = "text"
    BALANCED = "balanced"
    MOTION = "motion"


Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class DesktopIs(Note, tag="desktop", frozen=True):
    """How the desktop is now. Comes first, and again whenever it changes."""

    state: Literal["starting", "ready", "paused", "restarting", "failed", "stopped"]
    detail: str = ""
    remedy: str = ""
    width: int = 0
    height: int = 0
    codec: str = ""
    """As WebCodecs names it; empty: no video, only stills."""
    rate: int = 0
    """Most frames in a second."""
    preset: Preset = Preset.BALANCED
    audio: bool = False
    layout: str = ""
    """Keyboard layout of the display."""


class ViewerIs(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """Somebody who watches."""

    number: int
    """From 1, for the life of the desktop."""
    name: Name
    role: str
    you: bool = False
    asks: bool = False
    """For control."""


class Viewers(Note, tag="viewers", frozen=True):
    """Who watches, and who has control: types and moves the mouse."""

    viewers: list[ViewerIs]
    control: int = 0
    """The viewer's number; 0: nobody, the first who types takes it."""


class Statistics(Note, tag="statistics", frozen=True):
    """Of the last second, for viewers that asked."""

    capture_ms: float
    encode_ms: float
    frames: int
    skipped: int
    """For this viewer."""
    bytes: int
    """To this viewer."""
    encoder: str


class Problem(Note, tag="problem", frozen=True):
    """Something that was asked could not be done."""

    code: str
    detail: str
    remedy: str = ""


class Attach(Note, tag="attach", frozen=True):
    """First on the stream from the control plane: for whom it is. Never from a viewer."""

    viewer: str
    """An id that stays the same when this viewer comes back."""
    name: Name
    role: str
    may_control: bool


class RoleIs(Note, tag="role", frozen=True):
    """The viewer's role has changed. From the control plane only."""

    role: str
    may_control: bool


class Watch(Note, tag="watch", frozen=True):
    """What the viewer wants to get; the first message from it, and whenever that changes."""

    video: Literal["h264", "stills", "none"] = "h264"
    audio: bool = False
    statistics: bool = False


class TakeControl(Note, tag="take-control", frozen=True):
    """Type and move the mouse from now on."""


class AskForControl(Note, tag="ask-for-control", frozen=True):
    """Ask whoever has control; taken at once when nobody has it."""


class GiveControl(Note, tag="give-control", frozen=True):
    """To another viewer; 0: to nobody."""

    to: int = 0


class Resize(Note, tag="resize", frozen=True):
    """Make the desktop fit this viewer's window."""

    width: Side
    height: Side


class SetLayout(Note, tag="layout", frozen=True):
    """The keyboard layout of the display, for its programs: XKB names, such as `de`."""

    layout: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9_,()+-]+$")]
    variant: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9_,()+-]*$")] = ""


class SetPreset(Note, tag="preset", frozen=True):
    """For everybody: there is one encoder."""

    preset: Preset
