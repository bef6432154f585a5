"""Durations, counted in buckets."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper ends of the buckets, in seconds: those that OpenTelemetry uses for HTTP."""


class Histogram:
    """Durations in seconds; whoever adds holds the lock of what it belongs to."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> int:
        """Count one; returns the bucket."""
        place = bisect_left(BOUNDS, seconds)
        self.buckets[place] += 1
        self.total += seconds
        return place

    @property
    def count(self) -> int:
        return sum(self.buckets)

    @property
    def value(self) -> list[float]:
        """The counts of the buckets (not cumulated), and last the sum."""
        return [*self.buckets, self.total]
