"""Evidence: what is remembered of recent calls. Two ways to count, one interface.

`add` counts an outcome (`now` must not go back) and returns whether a rule could hold now. `expire` forgets
what is too old: before the totals are read. Fewer failures than `limit` meet no rule, as long as no call is
slow and `edge` lies ahead; `successes` are those since counting began.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

BUCKETS: Final = 16


class Run:
    """Consecutive failures: a success forgets them."""

    __slots__ = ("calls", "edge", "failures", "limit", "slow", "successes")

    def __init__(self, limit: float = 1) -> None:
        self.limit = limit
        self.edge = math.inf
        self.calls = self.failures = self.slow = self.successes = 0

    def add(self, now: float, failed: bool, slow: bool) -> bool:
        if failed:
            self.failures += 1
            return self.failures >= self.limit
        self.failures = 0
        self.successes += 1
        return False

    def expire(self, now: float) -> None:
        """A run does not age."""


class _Bucket:
    __slots__ = ("calls", "failures", "slow", "start")

    def __init__(self, start: float) -> None:
        self.start = start
        self.calls = self.failures = self.slow = 0


class RollingWindow:
    """Calls, failures and slow calls of the last `length` seconds: O(1) per call, constant memory.

    Outcomes fall into buckets with running totals. A bucket starts with the first call that falls into it,
    not at a multiple of its width, and leaves `length` after that start: an outcome never counts for longer
    than the window, and leaves at most 1/16 of it early. With a fixed grid even a lone outcome would leave
    too early or too late by up to a bucket.
    """

    __slots__ = ("_gone", "_ring", "_width", "calls", "edge", "failures", "length", "limit", "newest", "slow")

    newest: _Bucket  # there from the first outcome on: nobody asks for it before `edge`

    def __init__(self, length: float) -> None:
        self.length = length
        self.calls = self.failures = self.slow = 0
        self.limit = 0.0
        self._gone = 0  # successes that have left
        self._width = length / BUCKETS
        self._ring: list[_Bucket] = []  # oldest first; at most 17, since they start at least one width apart
        self.edge = -math.inf  # until then neither a new bucket is due nor does the oldest one leave

    @property
    def successes(self) -> int:
        """All there ever were: derived, so that a success costs two additions."""
        return self._gone + self.calls - self.failures

    def add(self, now: float, failed: bool, slow: bool) -> bool:
        if now >= self.edge:
            self._turn(now)
        bucket = self.newest
        bucket.calls += 1
        self.calls += 1
        if failed:
            bucket.failures += 1
            self.failures += 1
        if slow:
            bucket.slow += 1
            self.slow += 1
        return slow or self.failures >= self.limit

    def expire(self, now: float) -> None:
        ring = self._ring
        while ring and now >= ring[0].start + self.length:
            gone = ring.pop(0)
            self.limit = 0.0  # a share of fewer calls
            self.calls -= gone.calls
            self.failures -= gone.failures
            self.slow -= gone.slow
            self._gone += gone.calls - gone.failures
        if not ring:
            self.edge = -math.inf

    def _turn(self, now: float) -> None:
        self.expire(now)
        ring = self._ring
        if not ring or now >= self.newest.start + self._width:
            self.newest = _Bucket(now)
            ring.append(self.newest)
        self.edge = min(self.newest.start + self._width, ring[0].start + self.length)
        self.limit = 0.0


Counts: TypeAlias = Run | RollingWindow
"""What the rules look at."""
