"""What a circuit must do, written from its documented rules, without a look at how it does it.

Slow and plain on purpose: lists instead of counters, and no notion of phases or events. Moments are whole
seconds, so that the window's tolerance plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from switchgear import CircuitBreakerPolicy


@dataclass
class Ticket:
    """An admitted call."""

    generation: int
    probe: bool
    lease: int = 0


@dataclass
class Prediction:
    """A circuit as its rules describe it."""

    policy: CircuitBreakerPolicy
    now: float = 0.0
    state: str = "closed"
    generation: int = 1
    outcomes: list[tuple[float, bool]] = field(default_factory=list)  # (when, failed) of this generation
    probes_ok: int = 0
    opened_by: int = 0  # failures
    until: float = 0.0
    rounds: int = 0
    open_time: float = 0.0
    closed_at: float = 0.0
    override_ends: float | None = None
    leases: dict[int, float] = field(default_factory=dict)  # number -> end
    issued: int = 0

    # ---- what can be seen ----

    @property
    def failures(self) -> int:
        if self.state in ("open", "half-open"):
            return self.opened_by
        if self.state == "forced-open":
            return 0
        if self.policy.window is not None:
            return sum(failed for when, failed in self.outcomes if self.now - when < self.policy.window)
        run = 0
        for _, failed in self.outcomes:
            run = run + 1 if failed else 0
        return run

    @property
    def retry_after(self) -> float | None:
        if self.state == "forced-open":
            return None if self.override_ends is None else self.override_ends - self.now
        if self.state in ("closed", "disabled"):
            return 0.0
        if self.state == "open" and self.now < self.until:
            return self.until - self.now
        living = [end for end in self.leases.values() if end > self.now]
        return 0.0 if len(living) < self.policy.half_open_max else min(living) - self.now

    # ---- what can happen ----

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def look(self) -> None:
        """Whoever looks at it, or calls, sees an override end."""
        if self.override_ends is not None and self.now >= self.override_ends:
            self.lift()

    def admit(self) -> Ticket | None:
        self.look()
        if self.state in ("closed", "disabled"):
            return Ticket(self.generation, probe=False)
        if self.retry_after != 0.0 or self.state == "forced-open":
            return None
        if self.state == "open":
            self._become("half-open")
        self.issued += 1
        self.leases[self.issued] = self.now + float(self.policy.probe_timeout)  # type: ignore[arg-type]
        return Ticket(self.generation, probe=True, lease=self.issued)

    def settle(self, ticket: Ticket, outcome: str) -> None:
        self.look()
        if ticket.probe and self.leases.pop(ticket.lease, self.now) <= self.now:
            return
        if ticket.generation != self.generation or outcome == "inconclusive":
            return
        failed = outcome == "failure"
        if self.state in ("closed", "disabled"):
            self.outcomes.append((self.now, failed))
            if self.state == "closed" and self._rule_holds():
                recovered = self.now - self.closed_at > self.open_time
                self._open(0 if recovered else self.rounds)
        elif self.state == "half-open" and ticket.probe:
            if failed:
                self._open(self.rounds + 1)
                return
            self.probes_ok += 1
            if self.probes_ok == self.policy.success_threshold:
                self._close()

    def override(self, to: str, lasts: float | None) -> None:
        self._become(to)
        self.override_ends = None if lasts is None else self.now + lasts

    def lift(self) -> None:
        if self.state == "forced-open":
            self.rounds, self.open_time, self.opened_by, self.until = 0, 0.0, 0, self.now
            self._become("open")
        elif self.state == "disabled":
            self.rounds, self.open_time = 0, 0.0
            self._close()

    def reset(self) -> None:
        self.rounds, self.open_time = 0, 0.0
        self._close()

    # ---- how ----

    def _rule_holds(self) -> bool:
        policy = self.policy
        if policy.failure_threshold is not None and self.failures >= policy.failure_threshold:
            return True
        if policy.failure_rate is None:
            return False
        assert policy.window is not None
        calls = sum(self.now - when < policy.window for when, _ in self.outcomes)
        return calls >= policy.minimum_calls and self.failures / calls >= policy.failure_rate

    def _open(self, rounds: int) -> None:
        self.opened_by = self.failures
        self.rounds = rounds
        longest = float(self.policy.reset_timeout_max)  # type: ignore[arg-type]
        grown = float(self.policy.reset_timeout) * self.policy.reset_timeout_factor**rounds  # type: ignore[arg-type]
        self.open_time = min(longest, grown)
        self.until = self.now + self.open_time
        self._become("open")

    def _close(self) -> None:
        self.closed_at = self.now
        self._become("closed")

    def _become(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self.outcomes = []
        self.probes_ok = 0
        self.override_ends = None
