"""Outcomes that the store has not confirmed yet: merged as they come, so that their number never matters.

A *flush* carries them to the store. It is frozen when it is first sent: a retry has the same number and the
same content, so that the store counts it once however often it arrives. What happens meanwhile goes into the
next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from switchgear.stores.operations import Delta, Run, Window

RETRIED: Final = 150.0
"""Seconds that an unconfirmed flush is sent again, at least: half of what a store remembers its number for.
"""


@dataclass(slots=True)
class Bucket:
    """Outcomes that began to arrive at `start` (monotonic seconds)."""

    start: float
    calls: int = 0
    failures: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """The frozen content of one flush."""

    number: int
    generation: int
    frozen: float
    buckets: tuple[Bucket, ...]
    calls: int
    failures: int
    slow: int
    run: Run
    last_failure: str
    overlay: bool

    def deltas(self, now: float) -> tuple[Delta, ...]:
        """The outcomes by their age, told anew at every sending: no clock but the store's has to be right."""
        return tuple(
            Delta(max(0, round((now - bucket.start) * 1000)), bucket.calls, bucket.failures, bucket.slow)
            for bucket in self.buckets
        )


@dataclass(slots=True)
class Ledger:
    """Pending outcomes of one circuit, in at most one bucket more than its window has, and the batch in
    flight.
    """

    window: Window
    flight: Batch | None = None
    number: int = 0
    dropped: int = 0
    """Outcomes that were never confirmed and have become too old to matter."""
    # The run of failures among what is pending, as in `operations.Run`, in fields of its own, for they change
    # with every call. `head` and `best` do so only when a success ends a run.
    head: int = 0
    best: int = 0
    tail: int = 0
    success: bool = False
    buckets: list[Bucket] = field(default_factory=list[Bucket])
    """What no flush carries yet."""
    newest: Bucket = field(default_factory=lambda: Bucket(0.0))
    edge: float = -math.inf

    # ---- counting ----

    def succeed(self, now: float, slow: bool) -> None:
        """Count a success."""
        if now >= self.edge:
            self.turn(now)
        self.newest.calls += 1
        if slow:
            self.newest.slow += 1
        self.end_run()

    def tallied(self, count: int, now: float) -> None:
        """Count successes that came when there was no run to end."""
        if now >= self.edge:
            self.turn(now)
        self.newest.calls += count

    def fail(self, now: float, slow: bool) -> None:
        """Count a failure."""
        if now >= self.edge:
            self.turn(now)
        bucket = self.newest
        bucket.calls += 1
        bucket.failures += 1
        bucket.slow += slow
        self.tail += 1

    def end_run(self) -> None:
        """A success has come."""
        if not self.success:
            self.head, self.success = self.tail, True
        self.best = max(self.best, self.tail)
        self.tail = 0

    def recount(self, window: Window) -> None:
        """Count in another window from now on; what is pending stays, by its age."""
        self.window = window
        self.edge = -math.inf

    # ---- reading ----

    @property
    def calls(self) -> int:
        return sum(bucket.calls for bucket in self.buckets)

    @property
    def failures(self) -> int:
        return sum(bucket.failures for bucket in self.buckets)

    @property
    def slow(self) -> int:
        return sum(bucket.slow for bucket in self.buckets)

    @property
    def run(self) -> Run:
        head = self.head if self.success else self.tail
        return Run(head, max(self.best, self.tail), self.tail, self.success)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send, and nothing unconfirmed."""
        return not self.buckets and self.flight is None

    # ---- sending ----

    def freeze(self, generation: int, last_failure: str, overlay: bool, now: float) -> Batch:
        """The batch to send now: the one in flight if there is one, otherwise all that is pending."""
        flight = self.flight
        if flight is not None and now - flight.frozen > max(RETRIED, self.window.span_ms / 1000):
            # The store may have forgotten its number, and would count it twice; it has left the window
            # anyway.
            self.dropped += flight.calls
            flight = None
        if flight is None:
            self.number += 1
            flight = Batch(
                number=self.number,
                generation=generation,
                frozen=now,
                buckets=tuple(self.buckets),
                calls=self.calls,
                failures=self.failures,
                slow=self.slow,
                run=self.run,
                last_failure=last_failure,
                overlay=overlay,
            )
            self._clear_pending()
        self.flight = flight
        return flight

    def confirm(self, number: int) -> None:
        """The store has the batch."""
        if self.flight is not None and self.flight.number == number:
            self.flight = None

    def clear(self) -> None:
        """Forget all: it belongs to a generation that is over. The number goes on: the store remembers it."""
        self.flight = None
        self._clear_pending()

    def _clear_pending(self) -> None:
        self.buckets = []
        self.head = self.best = self.tail = 0
        self.success = False
        self.edge = -math.inf

    def turn(self, now: float) -> None:
        """Begin a new bucket: `edge` has been reached."""
        # The store is away for longer than the window: what has left that is of no use.
        if len(self.buckets) > self.window.buckets > 0:
            self.dropped += self.buckets.pop(0).calls
        self.newest = Bucket(now)
        self.buckets.append(self.newest)
        self.edge = now + self.window.bucket_ms / 1000 if self.window.buckets else math.inf
