"""The circuit as a state machine: no I/O, no clock, no lock, no chance.

`TABLE` (in `phases.py`) says which event leads where; `Machine` keeps the one phase that the circuit is in
and the leases of probes. Time comes in as an argument (monotonic seconds), a random draw as well. Who calls
it holds the circuit's lock.

A *lease* belongs to a probe until that settles or its time is over, whatever the circuit does meanwhile: it
counts against `half_open_max` all that time. Dropping leases at a transition would let N new probes through
beside N old ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from switchgear.breaker.calls import (
    FAILURE,
    INCONCLUSIVE,
    SUCCESS,
    Leased,
    Outcome,
    Passed,
    Rejected,
    Result,
    Transition,
)
from switchgear.breaker.phases import (
    CLOSED,
    DISABLED,
    FORCED_OPEN,
    HALF_OPEN,
    NO_BACKOFF,
    OPEN,
    TABLE,
    Backoff,
    Closed,
    Disabled,
    Event,
    ForcedOpen,
    HalfOpen,
    Open,
    Phase,
)
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.breaker.rules import Evidence, Rule, Verdict, judge, least_failures
from switchgear.breaker.state import CircuitState
from switchgear.breaker.window import Counts, RollingWindow, Run

__all__ = [
    "CLOSED",
    "DISABLED",
    "FAILURE",
    "FORCED_OPEN",
    "HALF_OPEN",
    "INCONCLUSIVE",
    "OPEN",
    "SUCCESS",
    "TABLE",
    "Backoff",
    "Closed",
    "Disabled",
    "Event",
    "ForcedOpen",
    "HalfOpen",
    "Leased",
    "Machine",
    "Open",
    "Outcome",
    "Passed",
    "Phase",
    "Rejected",
    "Result",
    "Transition",
]


@dataclass(slots=True)
class Machine:
    """One circuit. `policy` is `None` only for a store's record that no breaker has claimed yet."""

    policy: CircuitBreakerPolicy | None
    since: float
    phase: Phase = field(init=False)
    generation: int = 1
    reason: str = ""
    leases: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.phase = Closed(self._fresh_counts(), NO_BACKOFF)

    # ---- reading ----

    @property
    def state(self) -> CircuitState:
        return self.phase.state

    def evidence(self, now: float) -> Evidence:
        """What the rules see now; while open or half-open, the failures that opened the circuit."""
        match self.phase:
            case Closed(counts=counts) | Disabled(counts=counts):
                counts.expire(now)
                return Evidence(counts.calls, counts.failures, counts.slow)
            case Open(failures=failures) | HalfOpen(failures=failures):
                return Evidence(failures=failures)
            case ForcedOpen():
                return Evidence()

    @property
    def successes(self) -> int:
        """Successes since the last change of state."""
        match self.phase:
            case Closed(counts=counts) | Disabled(counts=counts):
                return counts.successes
            case HalfOpen(successes=successes):
                return successes
            case _:
                return 0

    def retry_after(self, now: float) -> float | None:
        """Seconds to the next possible probe; 0.0 when one may go now (or none is needed)."""
        match self.phase:
            case Closed() | Disabled():
                return 0.0
            case Open(until=until) if now < until:
                return until - now
            case ForcedOpen(expires=expires):
                return None if expires is None else max(0.0, expires - now)
            case _:
                return self._lease_wait(now)

    def due_since(self, now: float) -> float:
        """The moment since when a probe could have gone; infinity while none can, or none is needed."""
        match self.phase:
            case Open(until=due) if self.retry_after(now) == 0.0:
                return due
            case HalfOpen() if self.retry_after(now) == 0.0:
                return self.since
            case _:
                return math.inf

    # ---- calls ----

    def admit(self, now: float, token: str) -> tuple[Passed | Leased | Rejected, Transition | None]:
        """Ask for a call. `token` becomes the lease's when the call turns out to be a probe."""
        change = self.expire(now)
        phase = self.phase
        if isinstance(phase, (Closed, Disabled)):
            return Passed(self.generation), change
        wait = self.retry_after(now)
        if wait != 0.0 or isinstance(phase, ForcedOpen):
            return Rejected(wait), change
        if isinstance(phase, Open):
            rest = phase.backoff.open_time
            reason = f"the open time of {rest:.3g} s is over" if rest else "a probe is due"
            change = self._move(Event.LEASE, now, Rule.TIMER, reason)
            self.phase = HalfOpen(phase.backoff, phase.failures)
        self.leases[token] = now + seconds(self._claimed.probe_timeout)
        return Leased(self.generation, token), change

    def settle(self, admission: Passed | Leased, result: Result, now: float) -> Transition | None:
        """Take the outcome of an admitted call.

        A result of an older generation, or of a lease whose time is over, changes nothing (but a living lease
        is given back). An inconclusive one gives its lease back and decides nothing.
        """
        expired = self.expire(now)
        if isinstance(admission, Leased) and now >= self.leases.pop(admission.token, now):
            return expired
        if admission.generation != self.generation or result.outcome is INCONCLUSIVE:
            return expired
        match self.phase:
            case Closed() | Disabled():
                return self._count(result, now)
            case HalfOpen() as phase if isinstance(admission, Leased):
                return self._probe_result(phase, result, now)
            case _:
                pass
        return expired

    def count(self, result: Result, now: float) -> Transition | None:
        """Take an outcome that no admission stands for: a store's own `record_success` or `record_failure`.

        While half-open a success is counted, but it is no probe: it decides nothing.
        """
        expired = self.expire(now)
        match self.phase:
            case Closed() | Disabled():
                return self._count(result, now) or expired
            case HalfOpen() as phase if result.outcome is SUCCESS:
                phase.successes += 1
            case _:
                pass
        return expired

    def trip(self, result: Result, now: float) -> Transition | None:
        """Open the circuit if what was counted so far, `result` last, meets a rule."""
        phase, policy = self.phase, self.policy
        if isinstance(phase, Disabled):
            phase.counts.limit = math.inf  # whatever is counted opens nothing
        if not isinstance(phase, Closed) or policy is None:
            return None
        verdict = judge(policy, phase.counts)
        if verdict is None:
            phase.counts.limit = least_failures(policy, phase.counts)
            return None
        # Closed for longer than it was open before: the service had recovered, so the back-off starts anew.
        rounds = phase.backoff.rounds if now - self.since <= phase.backoff.open_time else 0
        return self._open(Event.TRIP, verdict, rounds, phase.counts.failures, result, now)

    def _count(self, result: Result, now: float) -> Transition | None:
        assert isinstance(self.phase, Closed | Disabled)
        may_open = self.phase.counts.add(now, result.outcome is FAILURE, result.slow)
        return self.trip(result, now) if may_open else None

    def _probe_result(self, phase: HalfOpen, result: Result, now: float) -> Transition | None:
        failed = result.outcome is FAILURE
        if failed or (result.slow and self._claimed.slow_call_rate is not None):
            verdict = Verdict(Rule.PROBE_FAILED, "a probe failed" if failed else "a probe was slow")
            return self._open(
                Event.PROBE_FAILED, verdict, phase.backoff.rounds + 1, phase.failures, result, now
            )
        phase.successes += 1
        if phase.successes < self._claimed.success_threshold:
            return None
        words = "a probe succeeded" if phase.successes == 1 else f"{phase.successes} probes succeeded"
        change = self._move(Event.PROBES_OK, now, Rule.PROBES_OK, words)
        self.phase = Closed(self._fresh_counts(), phase.backoff)
        return change

    # ---- operator, store and clock ----

    def expire(self, now: float) -> Transition | None:
        """End an override whose time is over."""
        match self.phase:
            case ForcedOpen(expires=float() as expires) | Disabled(expires=float() as expires) if (
                now >= expires
            ):
                return self._release(now, Rule.OVERRIDE_EXPIRED, "the override expired")
            case _:
                return None

    def force_open(
        self, now: float, *, reason: str = "", author: str | None = None, expires_in: float | None = None
    ) -> Transition:
        """Reject every call, for `expires_in` seconds or until released."""
        words = _override_words(FORCED_OPEN, reason, author)
        change = self._move(Event.FORCE_OPEN, now, Rule.OVERRIDE, words, author)
        self.phase = ForcedOpen(None if expires_in is None else now + expires_in)
        return change

    def disable(
        self, now: float, *, reason: str = "", author: str | None = None, expires_in: float | None = None
    ) -> Transition:
        """Let every call pass, for `expires_in` seconds or until released; outcomes are still counted."""
        words = _override_words(DISABLED, reason, author)
        change = self._move(Event.DISABLE, now, Rule.OVERRIDE, words, author)
        self.phase = Disabled(self._fresh_counts(), None if expires_in is None else now + expires_in)
        return change

    def release(self, now: float) -> Transition | None:
        """End an override by hand; without one nothing happens."""
        if Event.RELEASE not in TABLE[self.state]:
            return None
        return self._release(now, Rule.OVERRIDE, "the override was lifted")

    def reset(self, now: float) -> Transition:
        """Closed, with all evidence forgotten."""
        change = self._move(Event.RESET, now, Rule.RESET, "reset by hand")
        self.phase = Closed(self._fresh_counts(), NO_BACKOFF)
        return change

    def put(self, to: CircuitState, now: float) -> Transition:
        """A store's own `transition`, unconditional: closed zeroes the counts, half-open the successes."""
        failures = self.evidence(now).failures
        phase: Phase
        match to:
            case CircuitState.CLOSED:
                event, phase = Event.SET_CLOSED, Closed(self._fresh_counts(), NO_BACKOFF)
            case CircuitState.OPEN:
                open_time = self.policy.open_time(0) if self.policy else 0.0
                event, phase = Event.SET_OPEN, Open(now + open_time, Backoff(0, open_time), failures)
            case CircuitState.HALF_OPEN:
                event, phase = Event.SET_HALF_OPEN, HalfOpen(NO_BACKOFF, failures)
            case _:
                raise ValueError(f"transition to {to.value!r}: allowed are 'closed', 'open', 'half-open'")
        change = self._move(event, now, Rule.STORE, f"set {to.value} through the store")
        self.phase = phase
        return change

    def assume(self, phase: Phase, reason: str, now: float) -> None:
        """Take over a phase that was decided elsewhere: by the pooled evidence of many processes, say."""
        self.generation += 1
        self.since = now
        self.reason = reason
        self.phase = phase

    def forget(self, now: float, backoff: Backoff = NO_BACKOFF) -> None:
        """Be closed, with no evidence: what was known here counts elsewhere from now on."""
        self.assume(Closed(self._fresh_counts(), backoff), "", now)

    def forked(self) -> None:
        """This is a child process now. Probes on their way are the parent's: none of them ever ends here."""
        self.leases.clear()

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        """Go on under another policy. The state stays, and evidence that is counted in the same way."""
        unclaimed, self.policy = self.policy is None, policy
        match self.phase:
            case Closed(counts=counts) | Disabled(counts=counts) as phase:
                length = counts.length if isinstance(counts, RollingWindow) else None
                if length != policy.window:
                    phase.counts = self._fresh_counts()
                else:
                    counts.limit = 0.0
            case Open(until=self.since, failures=failures) if unclaimed:
                # Opened through a store before any policy was known: its open time counts from then.
                open_time = policy.open_time(0)
                self.phase = Open(self.since + open_time, Backoff(0, open_time), failures)
            case _:
                pass

    # ---- inside ----

    @property
    def _claimed(self) -> CircuitBreakerPolicy:
        assert self.policy is not None, "only a breaker asks for calls, and it brings a policy"
        return self.policy

    def _fresh_counts(self) -> Counts:
        length = self.policy.window if self.policy else None
        return Run(self._run_limit) if length is None else RollingWindow(seconds(length))

    @property
    def _run_limit(self) -> float:
        threshold = self.policy.failure_threshold if self.policy else None
        return math.inf if threshold is None else threshold

    def _lease_wait(self, now: float) -> float:
        """Seconds until a lease can be had: 0.0 when one is free."""
        if not self.leases:
            return 0.0
        self.leases = {token: end for token, end in self.leases.items() if now < end}
        if len(self.leases) < self._claimed.half_open_max:
            return 0.0
        return min(self.leases.values()) - now

    def _open(
        self, event: Event, verdict: Verdict, rounds: int, failures: int, result: Result, now: float
    ) -> Transition:
        policy, reason = self._claimed, verdict.reason
        if result.retry_after is None:
            open_time = policy.open_time(rounds, result.spread)
        else:
            open_time = policy.believed(result.retry_after)
            reason = f"{reason}; the upstream asks for {open_time:.3g} s"
        change = self._move(event, now, verdict.rule, reason)
        self.phase = Open(now + open_time, Backoff(rounds, open_time), failures)
        return change

    def _release(self, now: float, rule: Rule, reason: str) -> Transition:
        to = TABLE[self.state][Event.RELEASE]
        change = self._move(Event.RELEASE, now, rule, reason)
        self.phase = Open(now, NO_BACKOFF, 0) if to is OPEN else Closed(self._fresh_counts(), NO_BACKOFF)
        return change

    def _move(
        self, event: Event, now: float, rule: Rule, reason: str, author: str | None = None
    ) -> Transition:
        was = self.state
        to = TABLE[was][event]  # a missing key is a bug in this file, never an input
        self.generation += 1
        self.since = now
        self.reason = reason
        return Transition(was, to, self.generation, rule, reason, author)


def _override_words(to: CircuitState, reason: str, author: str | None) -> str:
    words = to.value + (f" by {author}" if author else " by hand")
    return f"{words}: {reason}" if reason else words
