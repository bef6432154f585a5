"""Another policy for a circuit that is in use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from switchgear import (
    CircuitBreaker,
    CircuitBreakerPolicy,
    CircuitOpenError,
    Switchgear,
)
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.testing import ManualClock

Make = Callable[..., CircuitBreaker]


def adopt(breaker: CircuitBreaker, **fields) -> None:
    breaker.adopt(CircuitBreakerPolicy(**fields))


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.acquire().failure("down")


def test_an_open_circuit_stays_open_for_the_time_it_was_given(make: Make, clock: ManualClock) -> None:
    breaker = make(reset_timeout=30)
    fail(breaker, 5)
    clock.advance(10)
    adopt(breaker, reset_timeout=1, failure_threshold=2)
    assert (breaker.state, breaker.snapshot().retry_after) == ("open", 20.0)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    clock.advance(20)
    breaker.acquire().failure("still down")
    assert breaker.snapshot().retry_after == 1.0


def test_a_circuit_that_is_released_waits_no_longer_under_another_policy(make: Make) -> None:
    breaker = make()
    breaker.force_open()
    breaker.auto()
    adopt(breaker, reset_timeout=7)
    assert (breaker.state, breaker.snapshot().retry_after) == ("open", 0.0)


def test_a_success_ends_the_run_that_came_along(make: Make) -> None:
    breaker = make()
    fail(breaker, 4)
    adopt(breaker, reset_timeout=1)
    breaker.call(int)
    fail(breaker)
    assert (breaker.state, breaker.snapshot().failure_count) == ("closed", 1)


def test_a_success_ends_the_run_that_a_forked_child_inherits(make: Make) -> None:
    breaker = make()
    fail(breaker, 4)
    breaker.circuit.after_fork()
    breaker.call(int)
    assert breaker.snapshot().failure_count == 0


def test_a_success_ends_a_row_of_cancelled_calls_that_came_along(make: Make) -> None:
    breaker = make()
    breaker.acquire().cancel()
    adopt(breaker, reset_timeout=1)
    breaker.call(int)
    assert breaker.circuit._cancelled == 0


@pytest.mark.parametrize("window", [None, 60])
def test_evidence_stays_and_the_new_threshold_holds_at_once(make: Make, window: float | None) -> None:
    breaker = make(window=window, failure_threshold=5)
    fail(breaker, 3)
    adopt(breaker, window=window, failure_threshold=4)
    assert breaker.snapshot().failure_count == 3
    fail(breaker)
    assert breaker.state == "open"


def test_another_window_begins_to_count_anew(make: Make) -> None:
    breaker = make(window=60, failure_threshold=3)
    fail(breaker, 2)
    adopt(breaker, window=30, failure_threshold=3)
    assert breaker.snapshot().failure_count == 0
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_calls_under_way_count_under_the_new_policy(make: Make) -> None:
    breaker = make(failure_threshold=5)
    before = [breaker.acquire() for _ in range(2)]
    adopt(breaker, failure_threshold=2)
    for permit in before:
        permit.failure("down")
    assert breaker.state == "open"


def test_a_call_that_began_untimed_is_never_slow(make: Make, clock: ManualClock) -> None:
    breaker = make()
    answered, given_up = breaker.acquire(), breaker.acquire()
    adopt(breaker, slow_call_duration=1, slow_call_rate=0.1, minimum_calls=1, failure_threshold=1)
    clock.advance(100)
    answered.success()
    given_up.cancel()
    assert breaker.state == "closed"


def test_a_probe_under_way_keeps_its_slot(make: Make, clock: ManualClock) -> None:
    breaker = make(failure_threshold=1, reset_timeout=30)
    fail(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    adopt(breaker, failure_threshold=1, success_threshold=2)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    probe.success()
    assert breaker.state == "half-open"
    breaker.acquire().success()
    assert breaker.state == "closed"


def test_shadow_lets_calls_pass_and_enforce_rejects_again(make: Make) -> None:
    breaker = make()
    fail(breaker, 5)
    adopt(breaker, mode="shadow")
    breaker.acquire()
    breaker.acquire().cancel()
    assert breaker.state == "open"
    adopt(breaker)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()


def test_breakers_of_one_store_and_key_go_along() -> None:
    store = InMemoryCircuitBreakerStore()
    one, two = (CircuitBreaker("payments", store=store) for _ in range(2))
    fail(one, 5)
    adopt(one, failure_threshold=2)
    assert (two.policy.failure_threshold, two.state) == (2, "open")


def test_in_a_store_shadow_is_another_circuit_and_listeners_come_along() -> None:
    heard: list[str] = []
    breaker = CircuitBreaker("payments", store=InMemoryCircuitBreakerStore(), failure_threshold=1)
    breaker.on_transition(lambda event: heard.append(event.to_state))
    fail(breaker)
    adopt(breaker, failure_threshold=1, mode="shadow")
    assert breaker.state == "closed"
    fail(breaker)
    adopt(breaker, failure_threshold=1)
    assert (breaker.state, heard) == ("open", ["open", "open"])


def test_an_owner_adopts_by_name_and_makes_what_is_missing(clock: ManualClock) -> None:
    owner = Switchgear(clock=clock)
    payments = owner.breaker("payments")
    policy = CircuitBreakerPolicy(failure_threshold=1)
    assert owner.adopt("payments", policy) is payments
    assert payments.policy == policy
    assert owner.adopt("other", policy) is owner["other"]
    assert owner["other"].policy == policy


def test_an_owner_forgets_by_name() -> None:
    owner = Switchgear()
    payments = owner.breaker("payments")
    fail(payments, 5)
    owner.discard("payments")
    owner.discard("payments")
    assert "payments" not in owner
    assert owner.breaker("payments", failure_threshold=1).state == "closed"
    assert payments.state == "open"
