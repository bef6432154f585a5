"""What a mirror has to send: outcomes, wishes, and when each is due."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, TypeVar

from switchgear.breaker.machine import SUCCESS, Result
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.stores import operations as ops
from switchgear.stores.ledger import Ledger
from switchgear.stores.view import View

TICK: Final = 0.1
"""Seconds that failures wait at most before they are sent."""
BURST: Final = 8
"""Flushes that may go ahead of one tick: near a threshold a few do, and a steady trickle of failures must
not.
"""
NEAR: Final = 2
"""Failures before the threshold from where on nobody is told to hurry: they do."""

O = TypeVar("O", bound=ops.Operation)  # noqa: E741  # an operation


class Post:
    """The outgoing half of a mirror. `view` is what the store said last."""

    # There may be ten thousand: as an ordinary dictionary their attributes would take a kilobyte more each.
    __slots__ = (
        "_ahead",
        "_alarms",
        "_flushed_at",
        "_wish",
        "_wish_ends",
        "last_failure",
        "ledger",
        "outbox",
        "policy",
        "urgent",
        "view",
        "window",
    )

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self.policy = policy
        self.window = _window(policy)
        self._alarms = _alarms(policy)
        self.ledger = Ledger(self.window)
        self.outbox: list[ops.Operation] = []
        self.view: View | None = None
        self.urgent = False
        """Whether the ledger should not wait for the next tick."""
        self.last_failure = ""
        self._wish: ops.Operation | None = None
        """What an operator wants, until the store has confirmed it."""
        self._wish_ends = math.inf
        self._flushed_at = -math.inf
        self._ahead = 0

    @property
    def overlay(self) -> bool:
        """Whether this process holds its own circuit open above a closed shared one."""
        return False

    def _known(self, now: float) -> ops.Known | None:  # of the kind
        """What the store gets back should it have lost it."""
        return None

    # ---- outcomes ----

    def count_by(self, policy: CircuitBreakerPolicy) -> None:
        """Another policy from now on; nothing pending is lost."""
        self.policy = policy
        self.window = _window(policy)
        self._alarms = _alarms(policy)
        self.ledger.recount(self.window)

    def _count(self, result: Result, now: float) -> None:
        """Into the ledger, and decide whether it can wait."""
        ledger = self.ledger
        if result.outcome is SUCCESS:
            ledger.succeed(now, result.slow)
            return
        quiet = ledger.flight is None and now - self._flushed_at > TICK
        ledger.fail(now, result.slow)
        # The leading edge: news after a quiet interval goes at once, so that the others know who else is
        # failing.
        if quiet and ledger.failures == 1:
            self.urgent = True
        elif self._share_left() <= 0:
            self._ahead += 1
            self.urgent = True

    def _share_left(self) -> float:
        """How many failures this process may still keep to itself.

        Were the others' unsent ones as many, they would reach the threshold: the countdown protocol of
        Cormode, Muthukrishnan and Yi, "Algorithms for distributed functional monitoring" (SODA 2008), with
        O(processes * log threshold) messages until the threshold is reached.
        """
        policy, ledger, view = self.policy, self.ledger, self.view
        if view is None or self._ahead >= BURST:
            return math.inf
        run = policy.window is None
        known, unsent = (view.run, ledger.tail) if run else (view.failures, ledger.failures)
        limits = [] if policy.failure_threshold is None else [float(policy.failure_threshold)]
        if policy.failure_rate is not None:
            limits.append(policy.failure_rate * max(policy.minimum_calls, view.calls + ledger.calls))
        return (min(limits, default=math.inf) - known) / max(1, view.live) - unsent

    def flush_due(self, now: float, *, everything: bool, patience: float) -> bool:
        """Whether outcomes are to be sent now; successes alone may wait for `patience` seconds."""
        ledger = self.ledger
        if self.urgent or ledger.flight is not None:
            return True
        if not ledger.buckets:
            return False
        return everything or now - self._flushed_at >= (TICK * 0.7 if ledger.failures else patience)

    def flush(self, reporter: str, now: float) -> ops.Flush:
        """The unconfirmed outcomes; the same ones again until they are confirmed."""
        view = self.view
        generation = 0 if view is None else view.generation
        batch = self.ledger.freeze(generation, self.last_failure, self.overlay, now)
        if now - self._flushed_at >= TICK:
            self._ahead = 0
        self.urgent = False
        self._flushed_at = now
        return ops.Flush(
            window=self.window,
            known=self._known(now),
            reporter=reporter,
            number=batch.number,
            generation=batch.generation,
            deltas=batch.deltas(now),
            run=batch.run,
            overlay=batch.overlay,
            last_failure=batch.last_failure,
            alarms=self._alarms,
        )

    # ---- everything else ----

    def prepared(self, operation: O, reporter: str, now: float) -> O:
        """An operation as it goes out: with the window, who sends it, and what this process knows."""
        filled = replace(operation, window=self.window, known=self._known(now))
        if isinstance(filled, ops.Override) and filled.expires_ms is not None:
            # What is left: its time has run since it was ordered, also while no store was there.
            return replace(filled, expires_ms=max(1, round((self._wish_ends - now) * 1000)))
        return replace(filled, reporter=reporter) if isinstance(filled, ops.Hello | ops.Settle) else filled

    def _want(self, wish: ops.Operation, ends: float = math.inf) -> None:
        """Until the store confirms it, it holds against whatever the store says; an earlier wish is void.

        `ends`: when the override is over.
        """
        self.outbox = [o for o in self.outbox if not isinstance(o, ops.Override | ops.Reset)]
        self.outbox.append(wish)
        self._wish, self._wish_ends = wish, ends

    def wishes(self) -> list[ops.Operation]:
        """Everything but outcomes that is to be sent now; handed over, and queued again only by `requeue`."""
        out, self.outbox = self.outbox, []
        return out

    @property
    def restless(self) -> bool:
        """Whether something should be sent at once."""
        return self.urgent or bool(self.outbox)

    def requeue(self, operation: ops.Operation) -> None:
        """The store was not reached. Its token makes a second application harmless."""
        void = isinstance(operation, ops.Override | ops.Reset) and operation is not self._wish
        if not void:
            self.outbox.insert(0, operation)

    def forked(self) -> None:
        """This is a child process now: what was pending is the parent's to send, and so are its probes'
        results.
        """
        self.ledger = Ledger(self.window, number=self.ledger.number)
        self.outbox = []
        self._wish = None


def _window(policy: CircuitBreakerPolicy) -> ops.Window:
    return ops.CONSECUTIVE if policy.window is None else ops.Window.of(seconds(policy.window))


def _alarms(policy: CircuitBreakerPolicy) -> tuple[int, ...]:
    """The counts at which all should hear of it: to hurry half-way to the threshold, and half-way from there,
    and to open at the threshold itself.

    The same for all: of two flushes at once neither knows what the other makes of the count.
    """
    threshold = policy.failure_threshold
    if threshold is None:
        return ()
    left, counts = threshold // 2, list[int]()
    while left >= NEAR:
        counts.append(threshold - left)
        left //= 2
    return (*counts, threshold)
