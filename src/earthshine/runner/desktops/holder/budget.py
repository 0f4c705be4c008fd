"""How often something that crashes is started again, and after how long."""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_RESTARTS: Final = 5
WINDOW_SECONDS: Final = 600.0
FIRST_DELAY: Final = 0.2


class RestartBudget:
    """At most `MAX_RESTARTS` within `WINDOW_SECONDS`, each after twice the wait before it."""

    def __init__(self) -> None:
        self._spent: deque[float] = deque(maxlen=MAX_RESTARTS)
        self.total = 0

    def spend(self, now: float) -> float | None:
        """Seconds to wait before the next start; None when the budget is used up."""
        while self._spent and now - self._spent[0] > WINDOW_SECONDS:
            self._spent.popleft()
        if len(self._spent) >= MAX_RESTARTS:
            return None
        delay = FIRST_DELAY * float(2 ** len(self._spent))
        self._spent.append(now)
        self.total += 1
        return delay

    def restore(self) -> None:
        """Somebody asked for another try."""
        self._spent.clear()
