"""How a stream session lives.

==========  ==========  =========================================================================
state       event       next
==========  ==========  =========================================================================
WAITING     ANNOUNCE    ANNOUNCED: the client decided on a stream
WAITING     EXPIRE      PAUSED: it never came
ANNOUNCED   CONNECT     STREAMING: its control connection stands
ANNOUNCED   EXPIRE      PAUSED
STREAMING   LOSE        PAUSED: it left, or nothing was heard of it for 10 s
living      RESUME      WAITING: the same client again, with new keys; an older stay is over
living      PAUSE       PAUSED: somebody sent it away
living      END         ENDED: cancelled, or the application ended
==========  ==========  =========================================================================

Living is everything but ENDED. In every living state the stage and its application run. What is
not in the table changes nothing.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """See the module's table."""

    WAITING = "waiting"
    ANNOUNCED = "announced"
    STREAMING = "streaming"
    PAUSED = "paused"
    ENDED = "ended"


class Event(enum.Enum):
    """See the module's table."""

    ANNOUNCE = enum.auto()
    CONNECT = enum.auto()
    EXPIRE = enum.auto()
    LOSE = enum.auto()
    RESUME = enum.auto()
    PAUSE = enum.auto()
    END = enum.auto()


LIVING: Final = frozenset(State) - {State.ENDED}

_TABLE: Final[dict[tuple[State, Event], State]] = {
    (State.WAITING, Event.ANNOUNCE): State.ANNOUNCED,
    (State.WAITING, Event.EXPIRE): State.PAUSED,
    (State.ANNOUNCED, Event.CONNECT): State.STREAMING,
    (State.ANNOUNCED, Event.EXPIRE): State.PAUSED,
    (State.STREAMING, Event.LOSE): State.PAUSED,
    **{(state, Event.RESUME): State.WAITING for state in LIVING},
    **{(state, Event.PAUSE): State.PAUSED for state in LIVING},
    **{(state, Event.END): State.ENDED for state in LIVING},
}


def after(state: State, event: Event) -> State | None:
    """The next state; None when ``event`` means nothing in ``state``."""
    return _TABLE.get((state, event))
