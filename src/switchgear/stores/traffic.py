"""What a process and its store say to each other, counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from switchgear.metrics.histogram import Histogram

RoundTrip = Literal["batch", "ask", "poll", "prune"]
End = Literal["ok", "error", "timeout"]

CONFLICT: Final = ("transition", "conflict")


class Traffic:
    """Round trips to one store, and decisions that came too late. The pump's thread adds to it."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], Histogram] = {}
        self._conflicts = 0

    def add(self, operation: RoundTrip, end: End, seconds: float) -> None:
        """A round trip is over."""
        self._ends.setdefault((operation, end), Histogram()).add(seconds)

    def conflict(self) -> None:
        """A change came too late: the circuit had moved on."""
        self._conflicts += 1

    def durations(self) -> Iterator[tuple[tuple[str, str], list[float]]]:
        """By operation and end."""
        for place, histogram in list(self._ends.items()):
            yield place, histogram.value

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """By operation and end, conflicts included."""
        for place, histogram in list(self._ends.items()):
            yield place, histogram.count
        yield CONFLICT, self._conflicts
