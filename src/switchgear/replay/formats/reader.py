"""What every kind of log has in common: it takes blocks of lines, and tells what it can't read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final

from switchgear.replay.calls import SHORTEST
from switchgear.replay.formats.times import EARLIEST, LATEST
from switchgear.replay.lanes import Fresh

MOST_SHOWN: Final = 5
LONGEST_SHOWN: Final = 120
ALL: Final = "all"
"""The key that makes one circuit of everything."""
LONGEST_DURATION: Final = 86400.0 * 366
"""Seconds; more is a mistake of unit."""


@dataclass(frozen=True, slots=True)
class BrokenLine:
    line: int
    reason: str
    text: str


@dataclass(slots=True)
class Broken:
    """Lines that are no calls: all are counted, the first are kept."""

    count: int = 0
    first: list[BrokenLine] = field(default_factory=list[BrokenLine])

    def add(self, line: int, reason: str, text: bytes) -> None:
        self.count += 1
        if len(self.first) < MOST_SHOWN:
            shown = text[:LONGEST_SHOWN].decode("utf-8", "backslashreplace")
            self.first.append(BrokenLine(line, reason, shown + ("…" if len(text) > LONGEST_SHOWN else "")))


class LogReader(ABC):
    """Reads one kind of log, called `name`. `resolution`: how fine its times are, in seconds."""

    name: str
    resolution: float = 0.0

    def __init__(self, *, from_start: bool = False) -> None:
        """`from_start`: a line's time is when the call began, not when it ended."""
        self.fresh: Fresh = Fresh(list)
        self.newest = -math.inf
        self.broken = Broken()
        self.lines = 0
        self.calls = 0
        self.without_key = 0
        """Calls that belong to no key, such as requests that no route answered."""
        self.without_duration = 0
        self.lost = 0
        """Lines that the log itself says are missing."""
        self.from_start = from_start

    def take(self) -> tuple[Fresh, float]:
        """What was read since the last time, and the latest end in it."""
        fresh, self.fresh = self.fresh, Fresh(list)
        return fresh, self.newest

    @abstractmethod
    def read(self, block: bytes, line: int) -> int:
        """Reads whole lines, the first of which is number `line` (from 1); returns how many there are."""

    def keep(self, key: str, time: float, lasted: float, code: int, after: float = 0.0) -> None:
        """Takes a call. `after`: seconds of `lasted` that followed what the circuit heard of it.

        Raises `ValueError` for a time or a duration that is none.
        """
        if not 0.0 <= lasted <= LONGEST_DURATION:
            raise ValueError("no duration, or one over a year")
        if not EARLIEST <= time < LATEST:
            raise ValueError("no time")
        start = time if self.from_start else time - lasted
        end = start + lasted - after
        if end - start < SHORTEST:
            start = end - SHORTEST
        if end > self.newest:  # noqa: PLR1730 - calls of `max` for every line are felt
            self.newest = end
        self.calls += 1
        if key:
            self.fresh[key].append((end, start, code))
        else:
            self.without_key += 1


def count_lines(block: bytes) -> int:
    """Lines of a block, the last of which may lack its end."""
    return block.count(b"\n") + (not block.endswith(b"\n") and block != b"")


def nth_line(block: bytes, number: int) -> bytes:
    """A line by its number, from 0."""
    return block.split(b"\n", number + 1)[number]
