"""A process's copy of a shared circuit, as pure logic: no I/O, no lock, no clock.

Two things decide over a call. The *view* is what the store said last: the pooled evidence of all processes
and what was decided on it. The *own* machine is the same policy applied to this process's calls alone.

What is to be sent lies in the ledger (outcomes) and in the outbox (everything else) until the pump comes for
it: that half is `post.py`. Deadlines come as durations in the server's time and are added to the local clock
at receipt: no two clocks are ever compared.

Here stands what both kinds of mirrors share: `leasing.py` is for stores that lease probes, `following.py` for
those that can only be told, and listened to.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from switchgear.breaker.machine import (
    CLOSED,
    FAILURE,
    FORCED_OPEN,
    INCONCLUSIVE,
    OPEN,
    Backoff,
    Closed,
    Disabled,
    Leased,
    Machine,
    Open,
    Passed,
    Rejected,
    Result,
    Transition,
)
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.breaker.rules import Evidence, Rule, Verdict, judge, least_failures
from switchgear.breaker.state import CircuitState
from switchgear.breaker.window import Counts, Run
from switchgear.stores import operations as ops
from switchgear.stores.grants import Admitted, Ask, OwnProbe, Standing
from switchgear.stores.post import Post
from switchgear.stores.tokens import Tokens
from switchgear.stores.view import View

CLOCK_SLACK_MS: Final = 2000
"""A view that is older than the last one by more was not overtaken: the store's clock has gone back."""
_LIFTED: Final = "the override was lifted"


class Mirror(Post):
    """One circuit as one process sees it. Whoever calls it holds the circuit's lock.

    `draw` gives chance in [-1, 1].
    """

    __slots__ = ("_draw", "counts", "own", "received", "rule", "slack", "steady_until", "tokens", "up")

    def __init__(self, policy: CircuitBreakerPolicy, now: float, draw: Callable[[], float]) -> None:
        super().__init__(policy)
        self.own = Machine(policy, now)
        self.received = now
        """When the view came; before the first one, when the mirror was made."""
        self.up = True
        self.rule = Rule.STORE
        """Of the last change of state, as far as this process knows it."""
        self.tokens = Tokens(draw)
        self._draw = draw
        self.counts: Counts | None = None
        """The own machine's, while outcomes of ordinary calls only add to them and to the ledger: `ease`."""
        self.steady_until = -math.inf
        self.slack = 0.0

    # ---- of the kind ----

    @property
    @abstractmethod
    def generation(self) -> int:
        """The generation of calls that are admitted now."""

    @property
    @abstractmethod
    def passes(self) -> bool:
        """Whether every call passes, until something changes."""

    @abstractmethod
    def admit(self, now: float) -> Admitted | OwnProbe | Rejected | Ask:
        """Ask for a call; no I/O yet."""

    @abstractmethod
    def standing(self, now: float) -> Standing:
        """The effective state, and why."""

    @abstractmethod
    def due_since(self, now: float) -> float:
        """The moment since when a probe could have gone; infinity while none can, or none is needed."""

    @abstractmethod
    def lost(self, now: float) -> None:
        """The store can't be reached: the own machine goes on."""

    @abstractmethod
    def _belongs(self, generation: int) -> bool:
        """Whether a call admitted in `generation` is evidence now."""

    @abstractmethod
    def _taken(self, view: View, now: float, changed: bool, came_back: bool) -> None:
        """A view has become the last one; `changed`: it is of another generation."""

    # ---- reading ----

    @property
    def admitted(self) -> Admitted:
        """The permission that every call gets while all pass."""
        return Admitted(self.generation, self.own.generation)

    def local(self, server_ms: int, view: View) -> float:
        """A deadline of the server's in local time: never early, since the reply took a while to come."""
        return self.received + (server_ms - view.now) / 1000

    @property
    def own_passes(self) -> bool:
        """Whether the own machine lets every call pass."""
        phase = self.own.phase
        return isinstance(phase, Closed) or (isinstance(phase, Disabled) and phase.expires is None)

    def evidence(self, now: float) -> Evidence:  # of the kind
        """Pooled evidence as far as it is known here: confirmed, in flight and pending."""
        ledger, flight, view = self.ledger, self.ledger.flight, self.view
        if self.policy.window is None:
            run = ops.Run(tail=view.run if view else 0)
            if flight is not None:
                run = run.then(flight.run)
            return Evidence(failures=run.then(ledger.run).tail)
        calls, failures, slow = ledger.calls, ledger.failures, ledger.slow
        if now - self.received >= seconds(self.policy.window):
            view = None  # all that it counted has left the window; nobody asks again for an idle circuit
        for counted in (view, flight):
            if counted is not None:
                calls, failures, slow = (
                    calls + counted.calls,
                    failures + counted.failures,
                    slow + counted.slow,
                )
        return Evidence(calls, failures, slow)

    def failure_count(self, now: float) -> int:
        """As in a snapshot: what is pooled, or this process's own where it alone decides."""
        if self.own.state is not CLOSED:
            return self.own.evidence(now).failures
        return self.evidence(now).failures

    def call_count(self, now: float) -> int:
        """As in a snapshot: calls in the window, 0 without one."""
        if self.own.state is not CLOSED:
            return self.own.evidence(now).calls
        return self.evidence(now).calls

    def outdated(self, grant: Passed | Leased) -> bool:
        """Whether a call's outcome is evidence no more."""
        return not self._belongs(grant.generation)

    def success_count(self) -> int:
        """Successes since the last change of state, as far as they are known here."""
        if self.view is None:
            return self.own.successes
        unconfirmed = self.ledger.calls - self.ledger.failures
        flight = self.ledger.flight
        return self.view.successes + unconfirmed + (flight.calls - flight.failures if flight else 0)

    # ---- calls ----

    def ease(self, now: float) -> None:
        """Find out how long outcomes of ordinary calls that are not slow are numbers and nothing more.

        Until `steady_until`, that is, and of failures only `slack`: then there may be something to decide, or
        to be sent at once.
        """
        counts, ledger = self._ordinary, self.ledger
        if counts is None or not ledger.buckets or counts.failures >= counts.limit:
            self.brace()
            return
        self.counts = counts
        self.steady_until = min(ledger.edge, counts.edge)
        self.slack = 0.0
        if ledger.failures:  # the first one may be news
            pooled = self.evidence(now)
            room = least_failures(self.policy, pooled) - pooled.failures
            self.slack = min(room, counts.limit - counts.failures, self._share_left()) - 1

    def brace(self) -> None:
        """Look at the next outcome, whatever it is."""
        self.steady_until, self.slack = -math.inf, 0.0

    def tallied(self, count: int, now: float) -> None:
        """Take successes that were counted elsewhere, while a success was a number and nothing more."""
        self.ledger.tallied(count, now)
        if isinstance(self.counts, Run):
            self.counts.successes += count

    @property
    def _ordinary(self) -> Counts | None:
        """What the own machine judges ordinary calls by, if it does."""
        phase = self.own.phase
        return phase.counts if isinstance(phase, Closed) else None

    def _admit_own(self, now: float) -> Admitted | OwnProbe | Rejected:
        answer, change = self.own.admit(now, self.tokens.new(Rule.TIMER))
        self._own_moved(change)
        if isinstance(answer, Leased):
            return OwnProbe(self.generation, answer.token, answer.generation)
        return answer if isinstance(answer, Rejected) else self.admitted

    def settle(self, grant: Passed | Leased, result: Result, now: float) -> None:
        """Take the outcome of an admitted call."""
        conclusive = result.outcome is not INCONCLUSIVE
        match grant:
            case OwnProbe(own_generation=generation, token=token):
                if conclusive and self._belongs(grant.generation):
                    self._count(result, now)
                self._own_moved(self.own.settle(Leased(generation, token), result, now))
            case Admitted() if conclusive and self._belongs(grant.generation):
                self._count(result, now)
                if grant.own_generation == self.own.generation:
                    self._judge(result, now)
            case _:
                pass  # of a generation that is over

    def _judge(self, result: Result, now: float) -> None:
        """Apply the policy to this process's own calls."""
        phase = self.own.phase
        if isinstance(phase, Disabled):
            phase.counts.add(now, result.outcome is FAILURE, result.slow)
        elif isinstance(phase, Closed) and phase.counts.add(now, result.outcome is FAILURE, result.slow):
            self._trip_own(result, now)

    def _trip_own(self, result: Result, now: float) -> bool:
        change = self.own.trip(result, now)
        self._own_moved(change)
        return change is not None

    def _trip_pooled(self, verdict: Verdict, result: Result, rounds: int, now: float) -> None:
        """Open at once on what all have counted: the store will hear of it."""
        asked = result.retry_after
        rest = self.policy.open_time(rounds, result.spread) if asked is None else self.policy.believed(asked)
        opened = Open(now + rest, Backoff(rounds, rest), self.evidence(now).failures)
        self.own.assume(opened, verdict.reason, now)
        self._moved_to(OPEN, verdict.rule)

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        """Go on under another policy; what the store said last holds, and nothing pending is lost."""
        self.count_by(policy)
        self.own.adopt_policy(policy)

    # ---- operator ----

    def force(
        self, to: CircuitState, now: float, reason: str, author: str | None, expires_in: float | None
    ) -> None:
        """Override here at once; every other process hears of it through the store."""
        verb = self.own.force_open if to is FORCED_OPEN else self.own.disable
        change = verb(now, reason=reason, author=author, expires_in=expires_in)
        self._own_moved(change)
        self._want(
            ops.Override(
                to=to.value,
                token=self.tokens.new(Rule.OVERRIDE),
                expires_ms=None if expires_in is None else max(1, round(expires_in * 1000)),
                author=author or "",
                reason=reason,
                why=change.reason,
            ),
            math.inf if expires_in is None else now + expires_in,
        )

    def release(self, now: float) -> None:
        """End an override. After a forced-open a probe goes first, not all traffic at once."""
        self._own_moved(self.own.release(now))
        view = self.view
        if view is not None and view.override:
            to = OPEN if view.override == FORCED_OPEN else CLOSED
            self.view = replace(view, override="", state=to.value, until=view.now, why=_LIFTED)
            self.rule = Rule.OVERRIDE
        self._want(ops.Override(to="", token=self.tokens.new(Rule.OVERRIDE), why=_LIFTED))

    def forked(self) -> None:
        super().forked()
        self.own.forked()

    def reset(self, now: float) -> None:
        """Closed, and everything forgotten."""
        self._own_moved(self.own.reset(now))
        self.ledger.clear()
        self.last_failure = ""
        if self.view is not None:
            self.view = replace(
                self.view,
                state=CLOSED.value,
                why=self.own.reason,
                override="",
                run=0,
                successes=0,
                calls=0,
                failures=0,
                slow=0,
                last_failure_at=0,
                last_failure="",
            )
        self._want(ops.Reset(token=self.tokens.new(Rule.RESET), why=self.own.reason))

    # ---- what comes back ----

    def answer(self, operation: ops.Operation, view: View, received: float) -> None:
        """The store has answered `operation`; what follows from it is put into the outbox."""
        if isinstance(operation, ops.Goodbye):
            return
        if isinstance(operation, ops.Flush):
            self.ledger.confirm(operation.number)
        confirmed = operation is self._wish
        if confirmed:
            self._wish = None
        self._answered(operation, received)
        self.adopt(view, received, force=confirmed)

    def _answered(self, operation: ops.Operation, now: float) -> None:
        """Before the answer's view is taken."""

    def adopt(self, view: View, received: float, *, force: bool = False) -> bool:
        """Take a view: a reply, a push or a poll. Older ones change nothing, in whatever order they come.

        Returns whether it was taken.
        """
        held = self.view
        if self._wish is not None or (held is not None and not force and _older(view, held)):
            return False
        came_back, self.up = not self.up, True
        changed = held is not None and (view.generation, view.change) != (held.generation, held.change)
        self.view, self.received = view, received
        if changed:
            self.rule = self.tokens.rule(view.change)
        unexpected = held is None and (view.state != CLOSED or bool(view.override))
        self._taken(view, received, changed or unexpected, came_back)
        return True

    def hear(self, view: View, received: float) -> None:
        """Take a view that nobody here has asked for."""
        self.adopt(view, received)

    # ---- inside ----

    def _own_moved(self, change: Transition | None) -> None:
        if change is not None:
            self._moved_to(change.to_state, change.rule)

    def _moved_to(self, state: CircuitState, rule: Rule) -> None:  # of the kind
        self.rule = rule

    def _judge_pooled(self, result: Result, rounds: int, now: float) -> bool:
        """Open if the pooled evidence says so."""
        verdict = judge(self.policy, self.evidence(now))
        if verdict is not None:
            self._trip_pooled(verdict, result, rounds, now)
        return verdict is not None


def _older(view: View, held: View) -> bool:
    if view.generation != held.generation:
        return view.generation < held.generation  # a late push, or a store that went back: `known` repairs it
    return 0 < held.now - view.now <= CLOCK_SLACK_MS
