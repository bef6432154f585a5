"""An event loop whose time passes only while there is nothing to do."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Final

_LONGEST: Final = 0.01
"""Seconds that a wait counts at most when something ended it: else the machine stood still meanwhile."""


class IdleLoop(asyncio.SelectorEventLoop):
    """On a machine that is slow, or that stands still for a while, nobody is late: what can be done is done
    before the timers of later, however long it takes.

    By the clock on the wall, a service in the same process misses a timeout of 50 ms whenever the system runs
    something else for so long. A wait in which nothing happens takes its time here, too.
    """

    def __init__(self) -> None:
        self._waits = _Waits()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.seconds


class _Waits(selectors.DefaultSelector):
    """Counts the seconds in which it waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        start = time.monotonic()
        events = super().select(timeout)
        waited = time.monotonic() - start
        if timeout is not None:
            # Whatever happened comes before the timer that was waited for.
            waited = min(waited, timeout / 2 if events else max(timeout, 0.0))
        self.seconds += min(waited, _LONGEST) if events else waited
        return events
