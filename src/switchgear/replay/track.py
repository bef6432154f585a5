"""One key under one policy: the production machine, driven by recorded calls.

While the circuit is closed only ends of calls matter, in their order. While it is not, only beginnings do,
and the ends of the few that became probes. So a batch is walked through by ends until a rule holds, from
there by beginnings until the circuit closes, and so on. A queue of all beginnings and ends was left: it costs
more than the machine.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from heapq import heappop, heappush
from operator import itemgetter
from typing import Final

from switchgear.breaker.machine import (
    FAILURE,
    INCONCLUSIVE,
    SUCCESS,
    Closed,
    Leased,
    Machine,
    Open,
    Rejected,
    Result,
    Transition,
)
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.breaker.window import RollingWindow
from switchgear.replay.calls import BAD, GOOD, LEFT, NOT_MADE, UNKNOWN, Call, verdicts
from switchgear.replay.outages import History

_OUTCOMES: Final = {GOOD: SUCCESS, BAD: FAILURE, UNKNOWN: INCONCLUSIVE}
_by_start = itemgetter(1)


class Batch:
    """Calls of one key in the order of time, as far as the log is read.

    `ended`: in the order of their ends, all up to `horizon`. `waiting`: those that end later. What began up
    to `decided` was dealt with by an earlier batch.
    """

    def __init__(
        self, ended: Sequence[Call], waiting: Sequence[Call], decided: float, horizon: float
    ) -> None:
        self.ended = ended
        self._waiting = waiting
        self._decided = decided
        self.horizon = horizon

    @cached_property
    def ends(self) -> list[float]:
        return [call[0] for call in self.ended]

    @cached_property
    def begun(self) -> list[Call]:
        """All calls that began up to the horizon, in the order of their beginnings."""
        decided, horizon = self._decided, self.horizon
        calls = [call for call in self.ended if call[1] > decided]
        calls += (call for call in self._waiting if decided < call[1] <= horizon)
        calls.sort(key=_by_start)
        return calls

    @cached_property
    def starts(self) -> list[float]:
        return [call[1] for call in self.begun]


class Track:
    """A circuit that follows the log. `history` is what it did."""

    def __init__(self, policy: CircuitBreakerPolicy, tolerance: float = 0.0) -> None:
        """`tolerance`: a call that began so shortly before the open time was over counts as having begun at
        its end, since the log's times are no finer."""
        self.history = History()
        self._policy = policy
        self._verdicts = verdicts(policy)
        self._slow_after = math.inf
        if policy.slow_call_duration is not None:
            self._slow_after = seconds(policy.slow_call_duration)
        self._tolerance = tolerance
        self._machine = Machine(policy, -math.inf)
        self._probes: list[tuple[float, int, Leased, Call]] = []  # a heap, by their ends
        self._tokens = 0
        self._troubled = 0.0
        """When the evidence was last free of bad calls."""

    def run(self, batch: Batch) -> None:
        """Go on to the batch's horizon."""
        position = 0
        while True:
            if isinstance(self._machine.phase, Closed):
                position = self._closed(batch.ended, position)
                if position < 0:
                    return
            if not self._not_closed(batch):
                return
            # From here on it is ends again; what began before the circuit closed is skipped there.
            position = bisect_left(batch.ends, self._machine.since, lo=position)

    # ---- closed: by ends

    def _closed(self, ended: Sequence[Call], position: int) -> int:
        """Counts calls until a rule holds; returns the place behind the call that it held at, or -1."""
        machine, policy, table, slow_after = self._machine, self._policy, self._verdicts, self._slow_after
        phase = machine.phase
        assert isinstance(phase, Closed)
        counts, since = phase.counts, machine.since
        window = counts if isinstance(counts, RollingWindow) else None
        minimum = policy.minimum_calls if policy.has_rate else 0
        for place in range(position, len(ended)):
            end, start, code = ended[place]
            if start < since:
                continue  # of an older generation: its end changes nothing
            verdict = table[code]
            slow = end - start > slow_after
            if (
                verdict == GOOD
                and not slow
                and window is not None
                and end < window.edge
                and (window.calls >= minimum or not (window.failures or window.slow))
            ):
                # No bucket turns, so a share only falls, unless there are only now enough calls to judge it:
                # a success that no rule need be asked about.
                window.newest.calls += 1
                window.calls += 1
                continue
            if verdict >= UNKNOWN:
                if verdict != LEFT or not slow:
                    continue
                verdict = BAD
            failed = verdict == BAD
            worth_judging = counts.add(end, failed, slow)
            if counts.failures + counts.slow == failed + slow:
                self._troubled = end
            if worth_judging:
                change = machine.trip(Result(FAILURE if failed else SUCCESS, slow), end)
                if change is not None:
                    self._opened(change, phase, since, end)
                    return place + 1
        return -1

    def _opened(self, change: Transition, phase: Closed, since: float, now: float) -> None:
        window = math.inf if self._policy.window is None else seconds(self._policy.window)
        self.history.opened(
            change,
            now,
            trouble=max(self._troubled, now - window),
            flap=now - since <= phase.backoff.open_time,
        )

    # ---- open and half-open: by beginnings

    def _not_closed(self, batch: Batch) -> bool:
        """Decides over calls until the circuit closes (`True`) or the batch is through."""
        begun, history, table = batch.begun, self.history, self._verdicts
        machine, probes, tolerance = self._machine, self._probes, self._tolerance
        rejected = history.rejected
        # Half-open already: an earlier batch's outage, and all that began in this one is to be decided.
        first = bisect_left(batch.starts, machine.since) if isinstance(machine.phase, Open) else 0
        blocked = self._blocked_until
        for place in range(first, len(begun)):
            call = begun[place]
            start = call[1]
            if probes and probes[0][0] <= start:
                if self._settle(start):
                    return True
                blocked = self._blocked_until
            verdict = table[call[2]]
            if verdict == NOT_MADE:
                continue  # nobody knows how it would have ended, and it was no probe
            if start < blocked - tolerance:
                rejected[verdict] += 1  # no question asked, as in production
                continue
            now = max(start, blocked)
            answer, change = machine.admit(now, self._token())
            if change is not None:
                history.changed(change, now)
                blocked = -math.inf
            if isinstance(answer, Rejected):
                rejected[verdict] += 1
            elif isinstance(answer, Leased):
                heappush(probes, (call[0], self._tokens, answer, call))
        return self._settle(batch.horizon)

    def _settle(self, until: float) -> bool:
        """Reports the ends of probes up to that moment; whether the circuit is closed then."""
        machine = self._machine
        while self._probes and self._probes[0][0] <= until:
            end, _, lease, call = heappop(self._probes)
            slow = end - call[1] > self._slow_after
            verdict = self._verdicts[call[2]]
            if verdict == LEFT:
                verdict = BAD if slow else UNKNOWN
            change = machine.settle(lease, Result(_OUTCOMES[verdict], slow), end)
            if change is not None:
                self.history.changed(change, end)
            if isinstance(machine.phase, Closed):
                return True
        return False

    @property
    def _blocked_until(self) -> float:
        phase = self._machine.phase
        return phase.until if isinstance(phase, Open) else -math.inf

    def _token(self) -> str:
        self._tokens += 1
        return str(self._tokens)
