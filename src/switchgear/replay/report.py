"""What came out of a replay, as data: per key and in all, under each policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import share
from switchgear.replay.calls import BAD, GOOD, NOT_MADE, verdicts
from switchgear.replay.formats.reader import Broken, LogReader
from switchgear.replay.lanes import Lane, Lanes
from switchgear.replay.outages import History, Moved, Outage, Rejections
from switchgear.replay.policies import Policies
from switchgear.replay.timeline import Timeline

CAVEATS: Final = (
    (
        "The outcomes are those of a service under the load that it really had. What it would have done "
        "without the load that a breaker sheds, the log does not tell: it might have recovered sooner."
    ),
    "What callers would have done when rejected (retries, fallbacks) is not in the log either.",
    "A probe's outcome is that of the next recorded call once the open time is over.",
    "The log is replayed as one process with one circuit a key; jitter counts as none.",
)


@dataclass(frozen=True, slots=True)
class Calls:
    """Recorded calls by what they say under a policy."""

    good: int = 0
    bad: int = 0
    unknown: int = 0
    not_made: int = 0
    """Rejected already when the log was written."""

    @property
    def all(self) -> int:
        return self.good + self.bad + self.unknown + self.not_made

    def __add__(self, other: Calls) -> Calls:
        return Calls(
            self.good + other.good,
            self.bad + other.bad,
            self.unknown + other.unknown,
            self.not_made + other.not_made,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What a policy would have done, to one key or to all."""

    calls: Calls = field(default_factory=Calls)
    openings: int = 0
    flaps: int = 0
    failed_probes: int = 0
    open_seconds: float = 0.0
    rejections: Rejections = field(default_factory=Rejections)
    times_to_open: tuple[float, ...] = ()
    """Of the outages that are listed."""
    longest_to_open: float = 0.0

    @property
    def precision(self) -> float | None:
        """The share of would-be rejections that were bad calls."""
        return share(self.rejections.bad, self.rejections.all)

    @property
    def recall(self) -> float | None:
        """The share of bad calls that would have been avoided."""
        return share(self.rejections.bad, self.calls.bad)

    @property
    def median_to_open(self) -> float | None:
        return median(self.times_to_open) if self.times_to_open else None

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.calls + other.calls,
            self.openings + other.openings,
            self.flaps + other.flaps,
            self.failed_probes + other.failed_probes,
            self.open_seconds + other.open_seconds,
            self.rejections + other.rejections,
            self.times_to_open + other.times_to_open,
            max(self.longest_to_open, other.longest_to_open),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One key under one policy."""

    figures: Figures
    outages: Sequence[Outage]
    moves: Sequence[Moved]
    policy: CircuitBreakerPolicy


@dataclass(frozen=True, slots=True)
class KeyReport:
    """One key, under each policy."""

    key: str
    outcomes: tuple[Outcome, ...]
    timeline: Timeline | None

    @property
    def openings(self) -> int:
        return sum(outcome.figures.openings for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class Report:
    """All of a replay. Moments are seconds since the epoch."""

    log: str
    format: str
    lines: int
    calls: int
    broken: Broken
    first: float
    last: float
    policies: tuple[str, ...]
    keys: tuple[KeyReport, ...]
    """Those with the most openings first, then those with the most bad calls."""
    totals: tuple[Figures, ...]
    reorder: float
    without_policy: Counter[str] = field(default_factory=Counter[str])
    without_key: int = 0
    without_duration: int = 0
    beyond: int = 0
    late: int = 0
    long: int = 0
    lost: int = 0


def report(log: str, reader: LogReader, lanes: Lanes, policies: Sequence[Policies]) -> Report:
    """The report of a replay that is over."""
    keys = [_key(key, lane, lanes.last, policies) for key, lane in lanes.by_key.items()]
    keys.sort(key=lambda one: (-one.openings, -one.outcomes[0].figures.calls.bad, one.key))
    return Report(
        log=log,
        format=reader.name,
        lines=reader.lines,
        calls=reader.calls,
        broken=reader.broken,
        first=lanes.first,
        last=lanes.last,
        policies=tuple(policy.name for policy in policies),
        keys=tuple(keys),
        totals=tuple(
            sum((key.outcomes[place].figures for key in keys), Figures()) for place in range(len(policies))
        ),
        reorder=lanes.shortest_reorder,
        without_policy=lanes.without_policy,
        without_key=reader.without_key,
        without_duration=reader.without_duration,
        beyond=lanes.beyond,
        late=sum(lane.late for lane in lanes.by_key.values()),
        long=sum(lane.long for lane in lanes.by_key.values()),
        lost=reader.lost,
    )


def _key(key: str, lane: Lane, last: float, policies: Sequence[Policies]) -> KeyReport:
    outcomes: list[Outcome] = []
    for track, each in zip(lane.tracks, policies, strict=True):
        policy, history = each.of(key), track.history
        assert policy is not None, "a lane is opened for a key that all policies know"
        figures = _figures(calls_of(lane.codes, policy), history, last)
        outcomes.append(Outcome(figures, history.outages, history.moves, policy))
    return KeyReport(key, tuple(outcomes), lane.timeline)


def calls_of(codes: Counter[int], policy: CircuitBreakerPolicy) -> Calls:
    """Calls by what their codes say under a policy."""
    table = verdicts(policy)
    by_verdict: Counter[int] = Counter()
    for code, count in codes.items():
        by_verdict[table[code]] += count
    good, bad, not_made = by_verdict[GOOD], by_verdict[BAD], by_verdict[NOT_MADE]
    return Calls(good, bad, codes.total() - good - bad - not_made, not_made)


def _figures(calls: Calls, history: History, last: float) -> Figures:
    still_open = 0.0 if history.open_since is None else max(0.0, last - history.open_since)
    return Figures(
        calls,
        history.openings,
        history.flaps,
        history.failed_probes,
        history.open_seconds + still_open,
        history.rejections,
        tuple(outage.time_to_open for outage in history.outages),
        history.longest_to_open,
    )
