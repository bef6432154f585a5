"""The circuit of one process: chance, and what probes and healthy calls leave behind."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from switchgear import CircuitBreaker
from switchgear.testing import ManualClock

Make = Callable[..., CircuitBreaker]


class DayClock(ManualClock):
    """Reads the time of day a little later at each look, as it is; `set` is by how much somebody set it."""

    def __init__(self) -> None:
        super().__init__()
        self.set = 0.0
        self.looks = 0

    def time(self) -> float:
        self.looks += 1
        return self.monotonic() + self.set + 1e-6 * self.looks


def test_a_moment_keeps_its_date_until_the_time_of_day_is_set() -> None:
    clock = DayClock()
    breaker = CircuitBreaker("payments", failure_threshold=1, clock=clock)
    breaker.acquire().failure()
    first = breaker.snapshot()
    for _ in range(10):
        clock.advance(1)
        now = breaker.snapshot()
        assert now.last_failure_time == first.last_failure_time
        assert now.last_state_change == first.last_state_change
    clock.set = 3600
    assert breaker.snapshot().last_state_change == pytest.approx(first.last_state_change + 3600)


@pytest.mark.parametrize("by", ["rule", "probe"])
def test_jitter_spreads_open_times_evenly_around_the_reset_timeout(
    make: Make, clock: ManualClock, by: str
) -> None:
    waits: list[float] = []
    for _ in range(300):
        breaker = make(failure_threshold=1, reset_timeout=30, jitter=0.5)
        breaker.acquire().failure()
        if by == "probe":
            clock.advance(45)
            breaker.acquire().failure()
        waits.append(breaker.snapshot().retry_after or 0.0)
    assert 15 <= min(waits) < 20
    assert 40 < max(waits) <= 45
    assert 27 < sum(waits) / len(waits) < 33


def test_without_jitter_nothing_is_drawn(make: Make) -> None:
    breaker = make(failure_threshold=2)
    before = random.getstate()
    breaker.acquire().success()
    for _ in range(2):
        breaker.acquire().failure()
    assert (random.getstate(), breaker.snapshot().retry_after) == (before, 30.0)


def test_a_probe_that_was_slow_opens_again(make: Make, clock: ManualClock) -> None:
    breaker = make(failure_threshold=1, slow_call_rate=0.5, slow_call_duration=1, minimum_calls=5)
    breaker.acquire().failure()
    clock.advance(30)
    probe = breaker.acquire()
    clock.advance(1.001)
    probe.success()
    assert (breaker.state, breaker.snapshot().reason) == ("open", "a probe was slow")


def test_a_probe_that_failed_says_how_long_to_wait(make: Make, clock: ManualClock) -> None:
    breaker = make(failure_threshold=1)
    breaker.acquire().failure()
    clock.advance(30)
    breaker.acquire().failure(retry_after=90)
    assert breaker.snapshot().retry_after == 90.0


def test_after_a_success_that_ends_a_run_healthy_calls_need_no_recording_again(make: Make) -> None:
    breaker = make()
    circuit = breaker.circuit
    assert circuit.calm is circuit.era
    breaker.acquire().failure()
    assert circuit.calm is not circuit.era
    breaker.acquire().success()
    assert circuit.calm is circuit.era
