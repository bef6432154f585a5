"""The machine, and the breaker around it, against the prediction: calls, results and waits in any order."""

from __future__ import annotations

import os
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError
from switchgear.breaker.machine import Leased, Machine, Outcome, Passed, Rejected, Result
from switchgear.testing import ManualClock
from tests.model.prediction import Prediction

# MODEL_EXAMPLES=2000 for a long look.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "120"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

policies = st.builds(
    lambda evidence, **fields: CircuitBreakerPolicy(**evidence, **fields),
    st.sampled_from([
        {"failure_threshold": 1},
        {"failure_threshold": 3},
        {"failure_threshold": 2, "window": 16},
        {"failure_rate": 0.5, "minimum_calls": 3, "window": 16},
        {"failure_rate": 0.7, "minimum_calls": 2, "window": 16, "failure_threshold": 3},
    ]),
    reset_timeout=st.sampled_from([4, 10]),
    reset_timeout_factor=st.sampled_from([1, 2]),
    reset_timeout_max=st.just(40),
    half_open_max=st.integers(1, 3),
    success_threshold=st.integers(1, 4),
    probe_timeout=st.sampled_from([3, 30]),
)  # fmt: skip


class Subject(Protocol):
    """What is compared with the prediction."""

    def admit(self) -> Any | None: ...
    def settle(self, ticket: Any, outcome: str) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def override(self, to: str, lasts: float | None) -> None: ...
    def lift(self) -> None: ...
    def reset(self) -> None: ...
    def seen(self) -> tuple[str, int, int, float | None]: ...


class BareMachine:
    """The machine alone."""

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self.now = 0.0
        self.machine = Machine(policy, 0.0)
        self.tokens = 0

    def admit(self) -> Passed | Leased | None:
        self.tokens += 1
        answer, _ = self.machine.admit(self.now, f"{self.tokens}")
        return None if isinstance(answer, Rejected) else answer

    def settle(self, ticket: Passed | Leased, outcome: str) -> None:
        self.machine.settle(ticket, Result(Outcome(outcome)), self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def override(self, to: str, lasts: float | None) -> None:
        verb = self.machine.force_open if to == "forced-open" else self.machine.disable
        verb(self.now, expires_in=lasts)

    def lift(self) -> None:
        self.machine.release(self.now)

    def reset(self) -> None:
        self.machine.reset(self.now)

    def seen(self) -> tuple[str, int, int, float | None]:
        machine, now = self.machine, self.now
        machine.expire(now)
        return (
            machine.state.value,
            machine.generation,
            machine.evidence(now).failures,
            machine.retry_after(now),
        )


class WholeBreaker:
    """A breaker as users have it."""

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self.clock = ManualClock()
        self.breaker = CircuitBreaker("x", policy, clock=self.clock)

    def admit(self) -> Any | None:
        try:
            return self.breaker.acquire()
        except CircuitOpenError:
            return None

    def settle(self, ticket: Any, outcome: str) -> None:
        {"success": ticket.success, "failure": ticket.failure, "inconclusive": ticket.cancel}[outcome]()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def override(self, to: str, lasts: float | None) -> None:
        (self.breaker.force_open if to == "forced-open" else self.breaker.disable)(expires_in=lasts)

    def lift(self) -> None:
        self.breaker.auto()

    def reset(self) -> None:
        self.breaker.reset()

    def seen(self) -> tuple[str, int, int, float | None]:
        seen = self.breaker.snapshot()
        return seen.state.value, seen.generation, seen.failure_count, seen.retry_after


class Comparison(RuleBasedStateMachine):
    """Does the same to both, and looks at both after every step."""

    subject_type: type[BareMachine] | type[WholeBreaker]
    tickets: Bundle[Any] = Bundle("tickets")
    rounds = 0

    @initialize(policy=policies)
    def begin(self, policy: CircuitBreakerPolicy) -> None:
        self.expected = Prediction(policy)
        self.subject: Subject = self.subject_type(policy)

    @rule(target=tickets)
    def admit(self) -> Any:
        wanted, got = self.expected.admit(), self.subject.admit()
        assert (wanted is None) == (got is None)
        return multiple() if got is None else (wanted, got)

    @rule(
        ticket=consumes(tickets), outcome=st.sampled_from(["success", "failure", "failure", "inconclusive"])
    )
    def settle(self, ticket: Any, outcome: str) -> None:
        wanted, got = ticket
        self.expected.settle(wanted, outcome)
        self.subject.settle(got, outcome)

    @rule(outcomes=st.lists(st.booleans(), min_size=1, max_size=4))
    def calls(self, outcomes: list[bool]) -> None:
        """Whole calls, one after another: without them evidence comes together too seldom."""
        for failed in outcomes:
            wanted, got = self.expected.admit(), self.subject.admit()
            assert (wanted is None) == (got is None)
            if wanted is not None:
                self.expected.settle(wanted, "failure" if failed else "success")
                self.subject.settle(got, "failure" if failed else "success")

    @rule(seconds=st.sampled_from([1, 3, 4, 10, 16, 20, 40]))
    def advance(self, seconds: int) -> None:
        self.expected.advance(seconds)
        self.subject.advance(seconds)

    @rule(to=st.sampled_from(["forced-open", "disabled"]), lasts=st.sampled_from([None, 5, 20]))
    def override(self, to: str, lasts: float | None) -> None:
        self.expected.override(to, lasts)
        self.subject.override(to, lasts)

    @rule()
    def lift(self) -> None:
        self.expected.look()
        self.expected.lift()
        self.subject.lift()

    @rule()
    def reset(self) -> None:
        self.expected.reset()
        self.subject.reset()

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "subject"):
            return
        expected = self.expected
        expected.look()
        assert self.subject.seen() == (
            expected.state,
            expected.generation,
            expected.failures,
            expected.retry_after,
        )
        self.rounds = max(self.rounds, expected.rounds)

    def teardown(self) -> None:
        if hasattr(self, "expected"):
            target(float(self.rounds), label="failed rounds of probes")


class MachineComparison(Comparison):
    subject_type = BareMachine


class BreakerComparison(Comparison):
    subject_type = WholeBreaker


@pytest.mark.parametrize("comparison", [MachineComparison, BreakerComparison])
def test_any_history(comparison: type[Comparison]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(comparison, settings=SETTINGS)
