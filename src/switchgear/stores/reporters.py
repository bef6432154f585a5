"""What the record of a circuit keeps of each process that reports to it.

It serves two ends. The number of the last flush makes flushes idempotent. And the counts per process answer
whether the failures are everybody's or those of a sick few: the sums over all but the largest eighth.

A process's counts need not be exact to the bucket: those of this window's length and of the one before,
weighed by how much of that one is still inside, are enough, and a hundred processes cost no ring each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from switchgear.stores.operations import MAX_REPORTERS, Delta, Run

LIVE_MS: Final = 60_000
FORGET_MS: Final = 300_000

REPORTING, OVERLAY, LEFT = 0, 1, 2  # what a reporter's `mark` says


class Counts(NamedTuple):
    calls: int = 0
    failures: int = 0
    slow: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(self.calls + other.calls, self.failures + other.failures, self.slow + other.slow)

    def minus(self, other: Counts) -> Counts:
        return Counts(self.calls - other.calls, self.failures - other.failures, self.slow - other.slow)

    def share(self, part: int, whole: int) -> Counts:
        """`part / whole` of each, rounded up: a lone failure is seen as long as it may be in the window."""
        return Counts(*(-(-count * part // whole) for count in self))


class Era(NamedTuple):
    """What counts belong together: those of one closed period and one window, or one run."""

    number: int
    run: int
    span_ms: int

    def epoch(self, at: int) -> int:
        return at // self.span_ms if self.span_ms else self.run


class Reporter(NamedTuple):
    """One process. `number` is that of its last flush, `peak` what that flush was answered."""

    number: int = 0
    active: int = 0
    mark: int = REPORTING
    peak: int = 0
    era: int = 0
    span_ms: int = 0
    epoch: int = 0
    counts: Counts = Counts()
    before: Counts = Counts()
    """Those of the epoch before this one."""

    def live(self, now: int) -> bool:
        return self.mark != LEFT and now - self.active <= LIVE_MS

    def seen(self, now: int) -> Reporter:
        return self._replace(active=now, mark=REPORTING if self.mark == LEFT else self.mark)

    def slide(self, now: int, era: Era) -> Reporter:
        """The counts brought to the epoch of `now`; those of another era are gone."""
        epoch = era.epoch(now)
        counts, before = Counts(), Counts()
        if (self.era, self.span_ms) == (era.number, era.span_ms):
            if self.epoch == epoch:
                counts, before = self.counts, self.before
            elif era.span_ms and self.epoch == epoch - 1:
                before = self.counts
        return self._replace(era=era.number, span_ms=era.span_ms, epoch=epoch, counts=counts, before=before)

    def flushed(self, now: int, era: Era, deltas: Iterable[Delta], run: Run) -> Reporter:
        """The reporter after a flush; `era` is that after the flush too."""
        slid = self.slide(now, era)
        if not era.span_ms:
            return slid._replace(counts=slid.counts.plus(Counts(run.tail, run.tail)))
        counts, before = slid.counts, slid.before
        for delta in deltas:
            more, epoch = Counts(delta.calls, delta.failures, delta.slow), era.epoch(now - delta.age_ms)
            if epoch == slid.epoch:
                counts = counts.plus(more)
            elif epoch == slid.epoch - 1:
                before = before.plus(more)
        return slid._replace(counts=counts, before=before)

    def total(self, now: int, era: Era) -> Counts:
        """What this process counted in the window that ends now, or in the run."""
        slid = self.slide(now, era)
        if not era.span_ms:
            return slid.counts
        return slid.counts.plus(slid.before.share(era.span_ms - now % era.span_ms, era.span_ms))


class Fleet(NamedTuple):
    """The live reporters together."""

    live: int
    overlays: int
    rest: Counts
    rest_slow: Counts


def fleet(reporters: Mapping[str, Reporter], now: int, era: Era) -> Fleet:
    """How many are live, how many hold their own circuit open, and the sums without the largest eighth."""
    live = [reporter for reporter in reporters.values() if reporter.live(now)]
    totals = [reporter.total(now, era) for reporter in live]
    return Fleet(
        live=len(live),
        overlays=sum(reporter.mark == OVERLAY and reporter.era == era.number for reporter in live),
        rest=_rest(totals, "failures"),
        rest_slow=_rest(totals, "slow"),
    )


def _rest(totals: list[Counts], what: str) -> Counts:
    """The sum without the eighth that has most of `what`; who has none of it is never left out."""
    worst = sorted(
        (total for total in totals if getattr(total, what)),
        key=lambda total: (-getattr(total, what), total.calls),
    )
    rest = Counts()
    for total in totals:
        rest = rest.plus(total)
    for total in worst[: -(-len(totals) // 8)]:
        rest = rest.minus(total)
    return rest


def remember(reporters: Mapping[str, Reporter], now: int, span_ms: int) -> dict[str, Reporter]:
    """Those worth keeping: a bounded number, and none that was silent for too long to send a retry."""
    silent = max(FORGET_MS, 2 * span_ms)
    kept = [(name, reporter) for name, reporter in reporters.items() if now - reporter.active <= silent]
    kept.sort(key=lambda item: (-item[1].active, item[0]))
    return dict(kept[:MAX_REPORTERS])
