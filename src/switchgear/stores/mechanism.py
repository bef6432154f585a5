"""The mechanism of a shared circuit, as a pure function: `apply(record, operation, now_ms)`.

This is the reference for `redis/circuit.lua` and `postgres/schema.sql`, which do the same in the same order,
and the store itself where one process holds the circuits of several. It compares no count with a threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from switchgear.stores.operations import (
    Flush,
    Get,
    Goodbye,
    Hello,
    Lease,
    Move,
    Operation,
    Override,
    Reset,
    Settle,
    Transition,
)
from switchgear.stores.record import CLOSED, FORCED_OPEN, HALF_OPEN, OPEN, Held, Record
from switchgear.stores.reporters import LEFT, OVERLAY, REPORTING, Counts, Reporter, fleet
from switchgear.stores.view import Change, Result, View


class Applied(NamedTuple):
    """The new record (the old one itself if nothing changed), the view, and whether all must be told."""

    record: Record
    view: View
    announce: bool


def apply(record: Record, operation: Operation, now_ms: int) -> Applied:
    """Apply one operation at the server's time `now_ms`. The record passed in stays as it is."""
    step = _Step(record.copy(), operation, now_ms)
    step.run()
    view = step.view()
    if step.record == record:
        return Applied(record, view, announce=False)
    step.record.tidy(step.window, now_ms)
    return Applied(step.record, view, announce=bool(step.changed) or step.alarmed(view))


class _Step:
    """One operation on its way through a draft of the record."""

    def __init__(self, record: Record, operation: Operation, now: int) -> None:
        self.record = record
        self.operation = operation
        self.now = now
        self.window = operation.window or record.window
        self.changed = Change.NONE
        self.result = Result.NONE
        self.peak = 0

    def run(self) -> None:
        """What time and the sender's knowledge have changed comes first: the operation must see it."""
        record, now, known = self.record, self.now, self.operation.known
        record.repair_clock(now)
        if known is not None and known.generation > record.generation:
            record.restore(known, now)
            self.changed = Change.RESTORED
        if record.override and 0 < record.override_until <= now:
            record.lift("expiry", "the override expired", now)
            self.changed = Change.OVERRIDE_EXPIRED
        self.result = _EFFECTS[type(self.operation)](self, self.operation)

    # ---- reporters ----

    def hello(self, hello: Hello) -> Result:
        record = self.record
        record.report(hello.reporter, self.now)
        record.policy = hello.policy or record.policy
        record.bucket_ms, record.buckets = self.window.bucket_ms, self.window.buckets
        return Result.NONE

    def goodbye(self, goodbye: Goodbye) -> Result:
        reporters = self.record.reporters
        if goodbye.reporter in reporters:
            reporters[goodbye.reporter] = reporters[goodbye.reporter]._replace(mark=LEFT)
        return Result.NONE

    def get(self, _: Get) -> Result:
        return Result.NONE

    def flush(self, flush: Flush) -> Result:
        record = self.record
        reporter = record.reporters.get(flush.reporter, Reporter())
        if flush.number <= reporter.number:
            self.peak = reporter.peak
            return Result.DUPLICATE
        calls, failures = sum(d.calls for d in flush.deltas), sum(d.failures for d in flush.deltas)
        if calls:
            reporter = reporter.seen(self.now)
        if failures:
            record.fail(flush.last_failure, self.now)
        result = Result.LATE
        if flush.generation in {0, record.generation} and record.state == CLOSED:
            reporter = self._count(flush, reporter, calls - failures)
            result = Result.COUNTED
        elif flush.generation == 0 and record.state == HALF_OPEN and calls > failures:
            record.successes += calls - failures
            record.run = 0
        record.reporters[flush.reporter] = reporter._replace(number=flush.number, peak=self.peak)
        return result

    def _count(self, flush: Flush, reporter: Reporter, successes: int) -> Reporter:
        record, run, window = self.record, flush.run, self.window
        if not record.buckets:  # nobody has said hello
            record.bucket_ms, record.buckets = window.bucket_ms, window.buckets
        record.successes += successes
        self.peak = max(record.run + run.head, run.best)
        record.run = run.tail if run.success else record.run + run.tail
        record.runs += run.success
        for delta in flush.deltas if window.buckets else ():
            bucket = (self.now - delta.age_ms) // window.bucket_ms
            record.add(window.bucket_ms, bucket, Counts(delta.calls, delta.failures, delta.slow))
        counted = reporter.flushed(self.now, record.era_of(window), flush.deltas, run)
        return counted._replace(mark=OVERLAY if flush.overlay else REPORTING)

    # ---- changes of state ----

    def _move(self, move: Move, changed: Change = Change.TRANSITION) -> None:
        self.record.move(move, self.now)
        self.changed = changed

    def transition(self, transition: Transition) -> Result:
        record, move = self.record, transition.move
        if record.change == move.token:
            return Result.WON
        if transition.expected:
            if transition.expected != record.generation or record.override:
                return Result.LOST
        elif record.obeyed(move.token):
            return Result.WON
        else:
            record.put_override("", self.now)
        self._move(move)
        return Result.WON

    def override(self, override: Override) -> Result:
        record = self.record
        if record.obeyed(override.token):
            return Result.WON
        if override.to:
            to = OPEN if override.to == FORCED_OPEN else CLOSED
            move = Move(to=to, token=override.token, why=override.why, open_ms=0, rounds=0)
            self._move(move, Change.OVERRIDE)
            record.put_override(override.to, self.now, override.expires_ms, override.author, override.reason)
        elif record.override:
            record.lift(override.token, override.why, self.now)
            self.changed = Change.OVERRIDE
        return Result.WON

    def reset(self, reset: Reset) -> Result:
        record = self.record
        if not record.obeyed(reset.token):
            record.put_override("", self.now)
            self._move(Move(to=CLOSED, token=reset.token, why=reset.why, open_ms=0, rounds=0), Change.RESET)
            record.last_failure_at, record.last_failure = 0, ""
        return Result.WON

    # ---- probes ----

    def lease(self, lease: Lease) -> Result:
        record, now = self.record, self.now
        if record.override == FORCED_OPEN:
            return Result.REFUSED
        if record.state == CLOSED:
            return Result.PASS
        held = record.leases.get(lease.token)
        if held is not None:
            if held.expires > now and held.generation == record.generation:
                return Result.GRANTED
            # Its process never heard of the grant, so nobody else would free the slot.
            del record.leases[lease.token]
        waiting = record.state == OPEN and now < (record.until or record.since + lease.open_ms)
        if waiting or len(record.alive(now)) >= lease.limit:
            return Result.REFUSED
        if record.state == OPEN:
            self._move(Move(to=HALF_OPEN, token=lease.token, why="the open time is over"))
        record.leases[lease.token] = Held(now + lease.ttl_ms, record.generation)
        return Result.GRANTED

    def settle(self, settle: Settle) -> Result:
        record, then = self.record, settle.then
        if then is not None and record.change == then.token:
            return Result.SETTLED
        record.report(settle.reporter, self.now)
        held = record.leases.pop(settle.token, Held(0, 0))
        alive = held.expires > self.now and record.state == HALF_OPEN
        if not alive or not held.generation == record.generation == settle.generation:
            return Result.LATE
        if settle.outcome == "success":
            record.successes += 1
        elif settle.outcome == "failure":
            record.fail(settle.last_failure, self.now)
        if then is not None:
            self._move(then)
        return Result.SETTLED

    # ---- the answer ----

    def view(self) -> View:
        record, now, window = self.record, self.now, self.window
        counts, alive = record.counted(window, now), record.alive(now)
        them = fleet(record.reporters, now, record.era_of(window))
        return View(
            **{name: getattr(record, name) for name in _COPIED},
            now=now,
            bucket_ms=window.bucket_ms,
            buckets=window.buckets,
            calls=counts.calls,
            failures=counts.failures,
            slow=counts.slow,
            leases=len(alive),
            next_lease_end=min(alive, default=0),
            live=them.live,
            overlays=them.overlays,
            rest_calls=them.rest.calls,
            rest_failures=them.rest.failures,
            rest_slow_calls=them.rest_slow.calls,
            rest_slow=them.rest_slow.slow,
            peak=self.peak,
            result=self.result,
            changed=self.changed,
        )

    def alarmed(self, view: View) -> bool:
        """Whether it was this flush that made the count reach one of its alarms: later ones are no news."""
        flush = self.operation
        if not isinstance(flush, Flush) or self.result is not Result.COUNTED:
            return False
        if self.window.buckets:
            after, more = view.failures, sum(delta.failures for delta in flush.deltas)
        else:
            after, more = view.run, flush.run.tail
        return any(after >= alarm > after - more for alarm in flush.alarms)


_COPIED: Final = (
    "generation",
    "change",
    "state",
    "since",
    "until",
    "open_ms",
    "rounds",
    "why",
    "override",
    "override_until",
    "override_author",
    "override_reason",
    "policy",
    "run",
    "successes",
    "last_failure_at",
    "last_failure",
)

_EFFECTS: Final[dict[type[Operation], Callable[[_Step, Any], Result]]] = {
    Hello: _Step.hello,
    Goodbye: _Step.goodbye,
    Get: _Step.get,
    Flush: _Step.flush,
    Transition: _Step.transition,
    Lease: _Step.lease,
    Settle: _Step.settle,
    Override: _Step.override,
    Reset: _Step.reset,
}
