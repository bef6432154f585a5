"""The counts of a circuit's calls, or of many circuits under one label."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from switchgear.breaker.events import TransitionEvent
from switchgear.breaker.forks import watch
from switchgear.breaker.machine import FAILURE, HALF_OPEN, INCONCLUSIVE, SUCCESS, Outcome
from switchgear.breaker.rules import Rule
from switchgear.errors import CircuitOpenError
from switchgear.metrics.families import Sample
from switchgear.metrics.histogram import Histogram

OUTCOMES: Final = (SUCCESS, FAILURE, INCONCLUSIVE)
LEASES: Final = ("granted", "denied", "expired", "late")

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A call that stands for a bucket."""

    labels: Labels
    seconds: float
    at: float
    """Seconds since the epoch."""


class _Ends:
    """Calls with one outcome."""

    __slots__ = ("durations", "exemplars", "shed", "slow")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.slow = self.shed = 0
        self.exemplars: dict[int, Exemplar] = {}


class CallTally:
    """A `CallObserver` that counts. One may observe many breakers: then it has their sums.

    `exemplar()` gives the labels that tell where a call belongs (`{"trace_id": ...}`) or `None`; it is asked
    at the end of each call, and should be quick.
    """

    def __init__(self, exemplar: Callable[[], Labels | None] | None = None) -> None:
        self._exemplar = exemplar
        self._success, self._failure, self._inconclusive = _Ends(), _Ends(), _Ends()
        self._rejected = self._late = 0
        self._leases = dict.fromkeys(LEASES, 0)
        self._probes: dict[str, Callable[[], bool]] = {}
        self._moves: dict[tuple[str, str, str], int] = {}
        self._moved_at = 0.0
        self.after_fork()
        watch(self)

    def after_fork(self) -> None:
        # Reentrant: a finaliser may settle a call in the middle of counting another one.
        self._lock = threading.RLock()

    # ---- as an observer ----

    def ended(self, outcome: Outcome, seconds: float, slow: bool, late: bool) -> None:
        ends = (
            self._success
            if outcome is SUCCESS
            else self._failure
            if outcome is FAILURE
            else self._inconclusive
        )
        exemplar = None if self._exemplar is None else self._exemplar()
        with self._lock:
            place = ends.durations.add(seconds)
            if slow:
                ends.slow += 1
            if late:
                self._late += 1
            if exemplar:
                ends.exemplars[place] = Exemplar(exemplar, seconds, time.time())

    def rejected(self, error: CircuitOpenError) -> None:
        with self._lock:
            self._rejected += 1
            if error.state is HALF_OPEN:
                self._leases["denied"] += 1

    def shed(self, outcome: Outcome) -> None:
        with self._lock:
            self._of(outcome).shed += 1

    def probe_granted(self, token: str, expired: Callable[[], bool]) -> None:
        with self._lock:
            self._sweep()
            self._leases["granted"] += 1
            self._probes[token] = expired

    def probe_settled(self, token: str) -> None:
        with self._lock:
            self._sweep()
            if self._probes.pop(token, None) is None:
                self._leases["late"] += 1

    def moved(self, event: TransitionEvent) -> None:
        with self._lock:
            self._moved_at = max(self._moved_at, event.at)
            if event.rule is not Rule.STORE:  # what another process decided is counted there
                move = (event.from_state.value, event.to_state.value, event.rule.value)
                self._moves[move] = self._moves.get(move, 0) + 1

    # ---- reading ----

    def samples(self, circuit: str) -> Iterator[Sample]:
        """The counts under the label `circuit`."""
        with self._lock:
            self._sweep()
            out = list(self._samples(circuit))
        return iter(out)

    def exemplars(self, outcome: Outcome) -> Mapping[int, Exemplar]:
        """By the number of the bucket, the last call of each."""
        with self._lock:
            return dict(self._of(outcome).exemplars)

    def _samples(self, circuit: str) -> Iterator[Sample]:
        for outcome in OUTCOMES:
            ends = self._of(outcome)
            place = (circuit, outcome.value)
            yield "circuit_calls", place, ends.durations.count
            yield "circuit_slow_calls", place, ends.slow
            yield "circuit_call_duration_seconds", place, ends.durations.value
            yield "circuit_shadow_rejections", place, ends.shed
        yield "circuit_calls", (circuit, "rejected"), self._rejected
        yield "circuit_late_results", (circuit,), self._late
        yield "circuit_probes_in_flight", (circuit,), len(self._probes)
        for result, count in self._leases.items():
            yield "circuit_probe_leases", (circuit, result), count
        for move, count in self._moves.items():
            yield "circuit_transitions", (circuit, *move), count
        yield "circuit_transition_timestamp_seconds", (circuit,), self._moved_at

    def _of(self, outcome: Outcome) -> _Ends:
        return {SUCCESS: self._success, FAILURE: self._failure, INCONCLUSIVE: self._inconclusive}[outcome]

    def _sweep(self) -> None:
        """Count probes whose time is over: nobody may ever settle them."""
        for token in [token for token, expired in self._probes.items() if expired()]:
            del self._probes[token]
            self._leases["expired"] += 1
