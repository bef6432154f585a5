"""Simulated time."""

from __future__ import annotations

import threading


class ManualClock:
    """A clock that goes only when told to: `CircuitBreaker("x", clock=ManualClock())`.

    Threads may share it. `start` is what it shows first, both as monotonic time and as seconds since the
    epoch.
    """

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Let time pass, and return the new time; `ValueError` for less than none."""
        if not seconds >= 0:
            raise ValueError(f"time goes forward only, got {seconds!r} seconds")
        with self._lock:
            self._now += seconds
            return self._now
