"""A circuit that may be told outcomes from below: by a finaliser or a signal handler, amid its own work."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from switchgear.breaker.circuit import Circuit, Grant
from switchgear.breaker.machine import Outcome
from switchgear.breaker.outcome import Gist
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.clock import Clock


class DeferringCircuit(Circuit):
    """What comes while this very thread holds the lock waits until somebody next asks for anything."""

    __slots__ = ("_busy", "_deferred")

    def __init__(self, name: str, policy: CircuitBreakerPolicy, clock: Clock) -> None:
        super().__init__(name, policy, clock)
        self._busy = False  # whether the lock's holder is changing something
        # A list: nearly always empty, when a deque takes 760 bytes.
        self._deferred: list[tuple[Grant, Outcome, float, Gist | None, float | None]] = []

    @contextmanager
    def _inside(self) -> Generator[None]:
        """Hold the lock, and have settlements wait that come from below, on this very thread."""
        with self._lock:
            outer, self._busy = self._busy, True
            try:
                yield
            finally:
                self._busy = outer

    def _defer(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        failure: Gist | None,
        retry_after: float | None,
    ) -> None:
        """Keep what a finaliser or a signal handler settles in the middle of a change that its own thread is
        making.

        Whoever asks this circuit next takes it: a lease given back before that would serve nobody.
        """
        self._deferred.append((grant, outcome, started, failure, retry_after))

    def _settle_deferred(self) -> None:
        while self._deferred:
            try:
                late = self._deferred.pop(0)
            except IndexError:  # another thread was quicker
                return
            self.settle(*late)

    def after_fork(self) -> None:
        super().after_fork()
        self._busy = False  # the thread that held the lock is not here
