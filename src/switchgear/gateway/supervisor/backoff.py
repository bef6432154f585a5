"""How long to wait before a crashed worker is replaced."""

from __future__ import annotations

from typing import Final

FIRST: Final = 0.1
LONGEST: Final = 5.0
STEADY: Final = 10.0
"""Seconds of service after which an end is no sign of a worker that can't live."""


class Backoff:
    """At once after a steady life; twice as long each time for one that comes to nothing."""

    def __init__(self) -> None:
        self._short_lives = 0

    def pause(self, lived: float) -> float:
        """Seconds to wait, after a worker that served for `lived` seconds."""
        if lived >= STEADY:
            self._short_lives = 0
            return 0.0
        self._short_lives += 1
        return min(LONGEST, FIRST * 2.0 ** min(self._short_lives - 1, 10))
