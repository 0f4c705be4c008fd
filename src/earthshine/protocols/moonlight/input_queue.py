"""Input events on their way out: cut to what the wire carries, merged while they wait."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.input import (
    ControllerMoved,
    ControllerState,
    InputEvent,
    MouseMoved,
    MousePlaced,
    TextTyped,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INT16_MIN, _INT16_MAX = -(1 << 15), (1 << 15) - 1


def split_text(text: str) -> Iterator[TextTyped]:
    """One event per code point, as hosts expect it."""
    return (TextTyped(character) for character in text)


def split_move(dx: int, dy: int) -> Iterator[MouseMoved]:
    """A relative move of any size as events the wire can carry."""
    while dx or dy:
        step_x = max(_INT16_MIN, min(_INT16_MAX, dx))
        step_y = max(_INT16_MIN, min(_INT16_MAX, dy))
        yield MouseMoved(step_x, step_y)
        dx, dy = dx - step_x, dy - step_y


def coalesce(events: Iterable[InputEvent]) -> list[InputEvent]:
    """Merge neighbours that waited together, so that input never queues behind itself.

    Relative moves add up, of absolute positions the last stays, of controller states with the same
    buttons and of motion samples of one sensor the last stays. Nothing else changes, and order
    stays.
    """
    merged: list[InputEvent] = []
    for event in events:
        together = _merged(merged[-1], event) if merged else None
        if together is None:
            merged.append(event)
        else:
            merged[-1] = together
    return merged


def _merged(first: InputEvent, second: InputEvent) -> InputEvent | None:
    match first, second:
        case MouseMoved(), MouseMoved():
            dx, dy = first.dx + second.dx, first.dy + second.dy
            fits = _INT16_MIN <= dx <= _INT16_MAX and _INT16_MIN <= dy <= _INT16_MAX
            return replace(first, dx=dx, dy=dy) if fits else None
        case MousePlaced(), MousePlaced():
            return second
        case ControllerState(), ControllerState():
            same = (first.number, first.active, first.buttons)
            return second if same == (second.number, second.active, second.buttons) else None
        case ControllerMoved(), ControllerMoved():
            same_sensor = (first.number, first.sensor) == (second.number, second.sensor)
            return second if same_sensor else None
        case _:
            return None
