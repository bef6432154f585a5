"""The shortcuts of calls, while no rule can hold, against rules that are judged after every outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitState
from switchgear.breaker.local import LocalCircuit
from switchgear.breaker.machine import FAILURE, SUCCESS
from switchgear.breaker.rules import Evidence, judge, least_failures
from switchgear.breaker.window import RollingWindow, Run
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom

RULES: dict[str, dict[str, Any]] = {
    "run": {"failure_threshold": 4},
    "count": {"failure_threshold": 4, "window": 16},
    "rate": {"failure_rate": 0.3, "minimum_calls": 6, "window": 16},
    "slow": {"slow_call_rate": 0.4, "slow_call_duration": 1, "minimum_calls": 5, "window": 16},
    "all": {
        "failure_threshold": 6,
        "failure_rate": 0.35,
        "slow_call_rate": 0.5,
        "slow_call_duration": 1,
        "minimum_calls": 7,
        "window": 16,
    },
}

calls = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0.0, 1.5), st.sampled_from([1.0, 15.0, 16.0, 40.0])),
        st.integers(0, 3).map(lambda chance: chance == 0),
        st.integers(0, 5).map(lambda chance: chance == 0),
    ),
    max_size=60,
)


@pytest.mark.parametrize("fields", RULES.values(), ids=RULES)
@given(outcomes=calls)
def test_a_circuit_opens_at_the_very_call_that_meets_a_rule(
    fields: dict[str, Any], outcomes: list[tuple[float, bool, bool]]
) -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("payments", CircuitBreakerPolicy(**fields), clock=clock)
    counts = Run() if breaker.policy.window is None else RollingWindow(16.0)

    @breaker
    def work(failed: bool, slow: bool) -> None:
        clock.advance(2.0 if slow else 0.0)
        if failed:
            raise Boom("down")

    for wait, failed, slow in outcomes:
        clock.advance(wait)
        if failed:
            with pytest.raises(Boom):
                work(failed, slow)
        else:
            work(failed, slow)
        counts.add(clock.monotonic(), failed, slow and breaker.policy.slow_call_duration is not None)
        if judge(breaker.policy, counts) is not None:
            assert breaker.state is CircuitState.OPEN
            return
        snapshot = breaker.snapshot()
        assert (snapshot.state, snapshot.failure_count) == (CircuitState.CLOSED, counts.failures)


history = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.3, 1.0, 15.0, 16.0]),
        st.sampled_from([0.0, 1.0, 1.5]),
        st.sampled_from(["succeed", "succeed", "fail", "cancel"]),
    ),
    max_size=40,
)


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("fields", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(outcomes=history)
def test_a_shortcut_leaves_behind_what_the_long_way_does(
    fields: dict[str, Any], mode: Any, outcomes: list[tuple[float, float, str]]
) -> None:
    clock, policy = ManualClock(), CircuitBreakerPolicy(**fields, mode=mode)
    quick, careful = (LocalCircuit("payments", policy, clock) for _ in range(2))
    for number, (wait, took, outcome) in enumerate(outcomes):
        clock.advance(wait)
        failure = (Boom, f"number {number}")
        started, grants = clock.monotonic(), (quick.era, careful.era)
        if grants[0] is None or grants[1] is None:
            return
        clock.advance(took)
        if outcome == "cancel":
            quick.cancel(grants[0], started)
            careful.cancel(grants[1], started)
        elif outcome == "fail":
            quick.fail(grants[0], started, failure)
            careful.settle(grants[1], FAILURE, started, failure)
        else:
            quick.succeed(grants[0], started)
            careful.settle(grants[1], SUCCESS, started)
        assert left_behind(quick) == left_behind(careful)


def left_behind(circuit: LocalCircuit) -> tuple[Any, ...]:
    counts = circuit._counts
    ring = counts._ring if isinstance(counts, RollingWindow) else []
    buckets = [(bucket.start, bucket.calls, bucket.failures, bucket.slow) for bucket in ring]
    failure = circuit._last_failure, circuit._last_failure_at
    return circuit.snapshot(), failure, buckets, circuit._cancelled, circuit.calm is circuit.era


@given(
    st.floats(0.01, 1.0),
    st.integers(1, 50),
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(0, 50),
)
def test_fewer_failures_than_the_least_meet_no_rule_whatever_else_is_called(
    rate: float, minimum: int, calls: int, more: int, threshold: int
) -> None:
    policy = CircuitBreakerPolicy(
        failure_rate=rate, minimum_calls=minimum, failure_threshold=threshold or None, window=10
    )
    least = least_failures(policy, Evidence(calls=calls))
    below = int(least) - 1
    assert judge(policy, Evidence(max(calls + more, below), below)) is None
    assert judge(policy, Evidence(max(calls, minimum), int(least))) is not None


def test_another_policy_is_asked_at_the_very_next_call() -> None:
    breaker = CircuitBreaker("payments", failure_threshold=10, window=60, clock=ManualClock())
    for _ in range(4):
        breaker.acquire().failure(Boom("down"))
    breaker.adopt(CircuitBreakerPolicy(failure_threshold=5, window=60))
    breaker.acquire().failure(Boom("down"))
    assert breaker.state is CircuitState.OPEN
