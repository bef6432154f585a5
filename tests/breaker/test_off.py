"""A process whose breakers are switched off, without a process of its own: `test_process.py` has that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy
from switchgear.breaker.machine import Passed
from switchgear.breaker.off import OffCircuit
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller

Make = Callable[..., CircuitBreaker]


@pytest.fixture
def breaker(make: Make, clock: ManualClock) -> CircuitBreaker:
    made = make(failure_threshold=1, slow_call_duration=1)
    made.circuit = OffCircuit("payments", made.policy, clock)
    return made


def test_everything_passes_and_nothing_is_counted(
    breaker: CircuitBreaker, caller: SyncCaller, clock: ManualClock
) -> None:
    for _ in range(3):
        with pytest.raises(Boom):
            caller.call(breaker, error=Boom("down"))
    assert caller.call(breaker, "good") == "good"
    permit = caller.acquire(breaker)
    clock.advance(2)
    permit.cancel()
    assert (permit.probe, permit.generation) == (False, 1)
    seen = breaker.snapshot()
    assert (seen.state, seen.failure_count, seen.last_failure, seen.reason) == (
        "disabled",
        0,
        None,
        "SWITCHGEAR_OFF=1",
    )


def test_operators_change_nothing(breaker: CircuitBreaker) -> None:
    breaker.force_open()
    breaker.auto()
    breaker.reset()
    assert breaker.state == "disabled"
    breaker.adopt(CircuitBreakerPolicy(failure_threshold=7))
    assert breaker.policy.failure_threshold == 7


def test_it_is_ready_and_knows_no_probes(breaker: CircuitBreaker, clock: ManualClock) -> None:
    assert breaker.ready()
    assert asyncio.run(breaker.ready_async())
    circuit = breaker.circuit
    assert circuit.admit() == circuit.era == circuit.calm == Passed(1)
    assert not circuit.outdated(Passed(1))
    assert circuit.due_since() == float("inf")
    assert (circuit.name, circuit.now()) == ("payments", clock.monotonic())
