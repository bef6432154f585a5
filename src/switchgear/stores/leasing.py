"""The mirror of a circuit whose store leases probes: all processes decide as one.

While the shared circuit is closed the own machine may be stricter (an *overlay*: this process is sick, or the
first to notice). While the store can't be reached the own machine decides everything, from the last state
known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from switchgear.breaker.machine import (
    CLOSED,
    DISABLED,
    FAILURE,
    FORCED_OPEN,
    HALF_OPEN,
    INCONCLUSIVE,
    OPEN,
    SUCCESS,
    Backoff,
    HalfOpen,
    Leased,
    Open,
    Passed,
    Rejected,
    Result,
)
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.breaker.rules import Rule, Verdict
from switchgear.breaker.state import CircuitState
from switchgear.breaker.window import Counts
from switchgear.stores import operations as ops
from switchgear.stores.decide import FLEET, SharedRule, pooled_verdict, rounds_kept, shared_rules
from switchgear.stores.grants import Admitted, Ask, OwnProbe, Standing
from switchgear.stores.mirror import Mirror
from switchgear.stores.moves import closing, opening
from switchgear.stores.view import Result as Reply
from switchgear.stores.view import View

REFUSED_PAUSE: Final = 0.1
"""Seconds, at most, before a process asks again after a refused lease (news end the pause)."""
HANDICAP: Final = 1.0
"""Seconds, at most, that a process whose probes fail leaves to the others."""


@dataclass(slots=True)
class _Held:
    """A lease of a call of this process; `successes` of other probes when it was granted."""

    expires: float
    successes: int


class LeasingMirror(Mirror):
    """One shared circuit as one process sees it."""

    __slots__ = (
        "_ask_at",
        "_asking",
        "_born",
        "_deciding",
        "_handicapped",
        "_inherited",
        "_optimistic",
        "_own_words",
        "_probes",
        "_rules",
        "withdrawn",
    )

    def __init__(
        self,
        policy: CircuitBreakerPolicy,
        now: float,
        draw: Callable[[], float],
        rules: tuple[SharedRule, ...],
    ) -> None:
        super().__init__(policy, now, draw)
        self.withdrawn = 0
        """Trips on pooled evidence that turned out to be old."""
        self._rules = rules
        self._born = 0
        """The first generation that the store has told: that of calls which were admitted before."""
        self._probes: dict[str, _Held] = {}
        self._asking = 0
        self._ask_at = -math.inf
        self._handicapped = False
        self._optimistic = False
        self._own_words = ""
        """Why there is an overlay."""
        self._deciding = 0
        """The generation that a change of ours is under way for."""
        self._inherited = False
        """Whether an order of the parent's holds here that the store may not have yet."""

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        super().adopt_policy(policy)
        self._rules = shared_rules(policy)
        # A trip under the policy of before is decided: what the store confirms is not for this one to judge.
        self._optimistic = False

    # ---- reading ----

    @property
    def generation(self) -> int:
        """The shared one; 0 until the store has told it."""
        return 0 if self.view is None else self.view.generation

    @property
    def shared(self) -> View | None:
        """The view, where it and not the own machine decides."""
        view = self.view
        if view is None or not self.up or self.own.state in (FORCED_OPEN, DISABLED):
            return None
        return view if view.state != CLOSED or view.override else None

    @property
    def passes(self) -> bool:
        view = self.shared
        return self.own_passes if view is None else view.override == DISABLED and not view.override_until

    @property
    def overlay(self) -> bool:
        return self.shared is None and not self._optimistic and self.own.state in (OPEN, HALF_OPEN)

    def standing(self, now: float) -> Standing:
        self._own_moved(self.own.expire(now))  # first: what is above the shared circuit may be over
        view = self.shared
        if view is None:
            return self._own_standing(now)
        state = self._override(view, now)
        if state is None:
            return Standing(CircuitState(view.state), view.why, self._wait(view, now))
        return Standing(state, view.why, self._override_left(view, now) if state is FORCED_OPEN else 0.0)

    def _own_standing(self, now: float) -> Standing:
        own = self.own
        alone = self.overlay and self.up and self.view is not None
        reason = f"{self._own_words}{self._others()}" if alone and self._own_words else own.reason
        return Standing(own.state, reason, own.retry_after(now), alone)

    def _others(self) -> str:
        others = 0 if self.view is None else self.view.live - 1
        if others < 1:
            return ""
        who = "1 other process reports" if others == 1 else f"{others} other processes report"
        return f"; {who} success"

    def failure_count(self, now: float) -> int:
        view = self.shared
        if view is not None:
            return view.failures if view.buckets else view.run
        return super().failure_count(now)

    def call_count(self, now: float) -> int:
        view = self.shared
        return super().call_count(now) if view is None else view.calls

    def due_since(self, now: float) -> float:
        view = self.shared
        if view is None:
            return self.own.due_since(now)
        wait = self._wait(view, now)
        if view.override or wait > 0:
            return math.inf
        return self._opens_at(view) if view.state == OPEN else self.received

    # ---- calls ----

    def admit(self, now: float) -> Admitted | OwnProbe | Rejected | Ask:
        self._own_moved(self.own.expire(now))
        view = self.shared
        if view is None:
            return self._admit_own(now)
        override = self._override(view, now)
        if override is DISABLED:
            return self.admitted
        if override is FORCED_OPEN:
            return Rejected(self._override_left(view, now))
        wait = self._wait(view, now)
        if wait > 0 or self._asking >= self.policy.half_open_max:
            return Rejected(wait)
        self._asking += 1
        return Ask(self.tokens.new(Rule.TIMER))

    def _override(self, view: View, now: float) -> CircuitState | None:
        """The shared override, while its time is not over; the store ends it at its next operation."""
        if not view.override or (view.override_until and now >= self.local(view.override_until, view)):
            return None
        return CircuitState(view.override)

    def _override_left(self, view: View, now: float) -> float | None:
        return self.local(view.override_until, view) - now if view.override_until else None

    def _opens_at(self, view: View) -> float:
        """When this process may ask for the first probe of an open circuit."""
        open_time = view.open_ms / 1000 if view.until else self.policy.open_time(0)
        at = self.local(view.until, view) if view.until else self.local(view.since, view) + open_time
        # A sick process, whose probes always fail, must not win every round against those that are well.
        return at + min(HANDICAP, open_time) if self._handicapped and view.live >= FLEET else at

    def _wait(self, view: View, now: float) -> float:
        """Seconds until this process may ask for a lease."""
        due = max(self._ask_at, self._opens_at(view)) if view.state == OPEN else self._ask_at
        return max(0.0, due - now)

    def lease_request(self, token: str) -> ops.Lease:
        """What to ask the store for an `Ask`."""
        policy = self.policy
        return ops.Lease(
            token=token,
            limit=policy.half_open_max,
            ttl_ms=round(seconds(policy.probe_timeout) * 1000),
            open_ms=round(policy.open_time(0) * 1000),
        )

    def lease_answer(
        self, token: str, view: View, sent: float, received: float
    ) -> Leased | Admitted | Rejected:
        """The store has answered a lease request that was sent at `sent`."""
        self._asking -= 1
        self.adopt(view, received)
        if view.result == Reply.GRANTED:
            # From the time of sending: by the store's clock the lease ends no earlier than this.
            self._probes[token] = _Held(sent + seconds(self.policy.probe_timeout), view.successes)
            return Leased(view.generation, token)
        if view.result == Reply.PASS:
            return self.admitted
        freed = (view.next_lease_end - view.now) / 1000 if view.next_lease_end else REFUSED_PAUSE
        self._ask_at = received + min(REFUSED_PAUSE * (0.75 + self._draw() / 4), max(0.0, freed))
        return Rejected(self._wait(view, received))

    def unask(self) -> None:
        """The question was not put."""
        self._asking -= 1

    def lease_failed(self, now: float) -> Rejected:
        """The store did not answer in time."""
        self._asking -= 1
        self._ask_at = now + REFUSED_PAUSE
        return Rejected(REFUSED_PAUSE)

    def give_back(self, token: str) -> None:
        """The lease may have been granted after all, to a call that was rejected meanwhile."""
        self.outbox.append(self._settlement(token, self.generation, INCONCLUSIVE.value))

    def settle(self, grant: Passed | Leased, result: Result, now: float) -> None:
        if isinstance(grant, Leased) and not isinstance(grant, OwnProbe):
            self._settle_lease(grant, result, now)
        else:
            super().settle(grant, result, now)

    def _settle_lease(self, grant: Leased, result: Result, now: float) -> None:
        held = self._probes.pop(grant.token, None)
        if held is None or now >= held.expires:
            return  # the store has freed the slot long ago
        too_slow = result.slow and self.policy.slow_call_rate is not None and result.outcome is SUCCESS
        outcome = FAILURE if too_slow else result.outcome
        then = None
        if outcome is FAILURE:
            self._handicapped = True
            then = self._reopening("a probe was slow" if too_slow else "a probe failed", result)
        elif outcome is SUCCESS and held.successes + 1 >= self.policy.success_threshold:
            # Successes never fall within a generation: a decision on what was seen at the grant is safe.
            then = closing(self.tokens, self.policy.success_threshold)
        settlement = self._settlement(grant.token, grant.generation, outcome.value, then)
        self.outbox.append(settlement)

    def _settlement(
        self, token: str, generation: int, outcome: str, then: ops.Move | None = None
    ) -> ops.Settle:
        last_failure = self.last_failure if outcome == FAILURE else ""
        return ops.Settle(
            reporter="",
            token=token,
            generation=generation,
            outcome=outcome,
            last_failure=last_failure,
            then=then,
        )

    def _reopening(self, why: str, result: Result) -> ops.Move:
        rounds = (self.view.rounds if self.view else 0) + 1
        asked = result.retry_after
        rest = self.policy.open_time(rounds, result.spread) if asked is None else self.policy.believed(asked)
        return opening(self.tokens, Verdict(Rule.PROBE_FAILED, why), rest, rounds)

    def _belongs(self, generation: int) -> bool:
        return generation == self.generation or (generation == 0 and self.generation == self._born)

    @property
    def _ordinary(self) -> Counts | None:
        return None if self.shared is not None else super()._ordinary

    def _judge(self, result: Result, now: float) -> None:
        if self.shared is not None:
            return  # disabled for all: outcomes are pooled, and no overlay can be
        super()._judge(result, now)
        view = self.view
        alone = view is None or view.live < FLEET
        if self.own.state is CLOSED and alone and self.up and not self._deciding:
            rounds = rounds_kept(view) if view else 0
            self._optimistic = self._judge_pooled(result, rounds, now)

    def _trip_own(self, result: Result, now: float) -> bool:
        counted = self.own.evidence(now)
        if not super()._trip_own(result, now):
            return False
        calls = counted.calls or counted.failures
        part, what = (
            (counted.slow, "were slow") if self.rule is Rule.SLOW_RATE else (counted.failures, "failed")
        )
        self._own_words = f"own calls {part} of {calls} {what}"
        return True

    # ---- the store ----

    def flush_due(self, now: float, *, everything: bool, patience: float) -> bool:
        # Not before the store has said which generation it is: the calls were admitted without knowing.
        return self.view is not None and super().flush_due(now, everything=everything, patience=patience)

    def answer(self, operation: ops.Operation, view: View, received: float) -> None:
        super().answer(operation, view, received)
        if view is self.view and not view.override and self._deciding != view.generation:
            self._decide(view, received, flushed=isinstance(operation, ops.Flush))

    def hear(self, view: View, received: float) -> None:
        if not self.adopt(view, received) or view.state != CLOSED or view.override:
            return
        verdict = pooled_verdict(self._rules, view)
        if verdict is not None and self.own.state is CLOSED and not self._deciding:
            # Whoever brought the count there asks for the change: all others need not wait for it.
            rounds = rounds_kept(view)
            self._open_ahead(verdict, self.policy.open_time(rounds, self._draw()), rounds, view, received)
            self.urgent = True  # the answer tells whether he did

    def _answered(self, operation: ops.Operation, now: float) -> None:
        if isinstance(operation, ops.Transition):
            self._deciding = 0
        if isinstance(operation, ops.Override | ops.Reset) and self._wish is None:
            self.own.forget(now)  # the view has it from now on

    def _taken(self, view: View, now: float, changed: bool, came_back: bool) -> None:
        self._born = self._born or view.generation
        overridden = self.own.state in (FORCED_OPEN, DISABLED)  # as it was when the store was lost
        if changed or self._inherited or (came_back and (overridden or view.state != CLOSED)):
            self._begin_generation(view, now)

    def _begin_generation(self, view: View, now: float) -> None:
        self.ledger.clear()
        self._optimistic = self._inherited = False
        self._ask_at = now
        if view.state == CLOSED:
            self._handicapped = False
        self.own.forget(now)  # an overlay ends with the generation that it was above of

    def _decide(self, view: View, now: float, *, flushed: bool) -> None:
        """Compare with thresholds what the store has pooled, and ask for the change that follows."""
        if view.state == HALF_OPEN and view.successes >= self.policy.success_threshold:
            self._propose(closing(self.tokens, view.successes), view)
        elif view.state == CLOSED:
            self._decide_closed(view, now, flushed=flushed)

    def _decide_closed(self, view: View, now: float, *, flushed: bool) -> None:
        verdict = pooled_verdict(self._rules, view)
        phase = self.own.phase
        if verdict is not None and isinstance(phase, Open):
            # Its open time may be the upstream's own wish.
            self._propose(opening(self.tokens, verdict, phase.backoff.open_time, phase.backoff.rounds), view)
        elif verdict is not None:
            rounds = rounds_kept(view)
            rest = self.policy.open_time(rounds, self._draw())
            self._propose(opening(self.tokens, verdict, rest, rounds), view)
            self._open_ahead(verdict, rest, rounds, view, now)
        elif isinstance(phase, Open) and view.live < FLEET and not self._optimistic:
            # One or two processes: what one of them has seen by itself counts for both.
            verdict = Verdict(self.rule, self.own.reason)
            left = max(0.0, phase.until - now)
            self._propose(opening(self.tokens, verdict, left, phase.backoff.rounds), view)
        elif self._optimistic and flushed and self.ledger.empty:
            self._optimistic = False
            self.withdrawn += 1
            self.own.forget(now)

    def _open_ahead(self, verdict: Verdict, rest: float, rounds: int, view: View, now: float) -> None:
        """Calls of this process need not wait for the store to confirm what follows from its own view."""
        self.own.assume(Open(now + rest, Backoff(rounds, rest), view.failures), verdict.reason, now)
        self.rule, self._optimistic = verdict.rule, True

    def _propose(self, move: ops.Move, view: View) -> None:
        self._deciding = view.generation
        self.outbox.append(ops.Transition(expected=view.generation, move=move))

    def _moved_to(self, state: CircuitState, rule: Rule) -> None:
        super()._moved_to(state, rule)
        self.urgent = True  # whether this process has an overlay is news
        if state is CLOSED:
            self._optimistic = False

    def lost(self, now: float) -> None:
        view = self.shared
        self.up = False
        if view is None:
            return
        override = self._override(view, now)
        backoff = Backoff(view.rounds, view.open_ms / 1000)
        if override is not None:
            verb = self.own.force_open if override is FORCED_OPEN else self.own.disable
            verb(
                now,
                reason=view.override_reason,
                author=view.override_author or None,
                expires_in=self._override_left(view, now),
            )
        elif view.state == OPEN:
            self.own.assume(Open(now + self._wait(view, now), backoff, view.run), view.why, now)
        elif view.state == HALF_OPEN:
            self.own.assume(HalfOpen(backoff, view.run), view.why, now)

    def _known(self, now: float) -> ops.Known | None:
        view = self.view
        if view is None or view.generation <= 1:
            return None
        left = self._override_left(view, now)
        return ops.Known(
            generation=view.generation,
            change=view.change,
            state=view.state,
            remaining_ms=max(0, round((self.local(view.until, view) - now) * 1000)) if view.until else None,
            open_ms=view.open_ms,
            rounds=view.rounds,
            why=view.why,
            override=view.override,
            override_ms=None if left is None else max(1, round(left * 1000)),
            override_author=view.override_author,
            override_reason=view.override_reason,
        )

    def forked(self) -> None:
        # The parent sends its order, unless it dies before: then nobody else has ever heard of it.
        self._inherited = self._wish is not None
        super().forked()
        self._probes = {}
        self._asking = self._deciding = 0
