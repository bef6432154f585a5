"""What a circuit did in the course of a log: its outages, and the calls that each would have turned away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from switchgear.breaker.machine import CLOSED, OPEN, Transition
from switchgear.replay.calls import BAD, GOOD, LEFT, UNKNOWN

MOST: Final = 1000
"""Outages and transitions of a key that are kept one by one; all are counted."""


@dataclass(frozen=True, slots=True)
class Rejections:
    """Calls that would have been rejected, by how they ended in the log."""

    good: int = 0
    bad: int = 0
    unknown: int = 0

    @property
    def all(self) -> int:
        return self.good + self.bad + self.unknown

    def __add__(self, other: Rejections) -> Rejections:
        return Rejections(self.good + other.good, self.bad + other.bad, self.unknown + other.unknown)


def _fresh() -> list[int]:
    return [0] * 5


@dataclass(slots=True)
class Outage:
    """From a circuit's opening to its closing; probes that fail in between do not end it."""

    opened: float
    reason: str
    rule: str
    trouble: float
    """When the trouble began that opened it: the first bad call that the rule still looked at."""
    flap: bool
    """Whether the circuit had been closed for no longer than it was open before."""
    closed: float | None = None
    """`None`: not before the end of the log."""
    failed_probes: int = 0
    counts: list[int] = field(default_factory=_fresh)
    """Would-be rejections by verdict."""

    @property
    def time_to_open(self) -> float:
        return self.opened - self.trouble

    @property
    def rejections(self) -> Rejections:
        counts = self.counts
        return Rejections(counts[GOOD], counts[BAD], counts[UNKNOWN] + counts[LEFT])


@dataclass(frozen=True, slots=True)
class Moved:
    """A change of a circuit's state."""

    at: float
    from_state: str
    to_state: str
    rule: str
    reason: str


class History:
    """All that a circuit did. Lists are bounded, numbers are not."""

    def __init__(self) -> None:
        self.outages: list[Outage] = []
        self.moves: list[Moved] = []
        self.openings = self.flaps = self.failed_probes = 0
        self.open_seconds = 0.0
        """Of outages that have ended."""
        self.longest_to_open = 0.0
        self._over = Rejections()
        self._now: Outage | None = None

    @property
    def rejected(self) -> list[int]:
        """The counts of the outage that is under way, by verdict."""
        assert self._now is not None, "only a circuit that is not closed rejects"
        return self._now.counts

    @property
    def rejections(self) -> Rejections:
        return self._over if self._now is None else self._over + self._now.rejections

    @property
    def open_since(self) -> float | None:
        """When the outage that is under way began."""
        return None if self._now is None else self._now.opened

    def opened(self, change: Transition, at: float, *, trouble: float, flap: bool) -> None:
        """An outage begins."""
        outage = self._now = Outage(at, change.reason, change.rule.value, trouble, flap)
        if len(self.outages) < MOST:
            self.outages.append(outage)
        self.openings += 1
        self.flaps += flap
        self.longest_to_open = max(self.longest_to_open, outage.time_to_open)
        self._keep(change, at)

    def changed(self, change: Transition, at: float) -> None:
        """A probe goes, fails, or ends the outage."""
        outage = self._now
        assert outage is not None, "a closed circuit can only open"
        if change.to_state is OPEN:
            outage.failed_probes += 1
            self.failed_probes += 1
        elif change.to_state is CLOSED:
            outage.closed = at
            self.open_seconds += at - outage.opened
            self._over += outage.rejections
            self._now = None
        self._keep(change, at)

    def _keep(self, change: Transition, at: float) -> None:
        if len(self.moves) < MOST:
            self.moves.append(
                Moved(
                    at,
                    change.from_state.value,
                    change.to_state.value,
                    change.rule.value,
                    change.reason,
                )
            )
