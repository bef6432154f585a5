"""tenacity: attempts wait for an open circuit, or end there."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError

import pytest
import tenacity
from tenacity import AsyncRetrying, Retrying, stop_after_attempt, wait_fixed

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState
from switchgear.integrations.tenacity import (
    retry_if_circuit_open,
    stop_if_open_longer_than,
    wait_until_probe,
)
from switchgear.testing import ManualClock
from tests.integrations.retries.service import FailingService


class Patience:
    """Sleeps in simulated time; the service recovers after a number of sleeps."""

    def __init__(self, clock: ManualClock, service: FailingService, recovers_after: int = 1_000) -> None:
        self.slept: list[float] = []
        self._clock, self._service, self._left = clock, service, recovers_after

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.advance(seconds)
        self._left -= 1
        self._service.failing = self._left > 0

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("payments", failure_threshold=2, reset_timeout=30, clock=clock)


@pytest.fixture(params=["sync", "async"])
def attempt(request: pytest.FixtureRequest, breaker: CircuitBreaker, service: FailingService) -> Any:
    """Makes a guarded call by the attempts of a strategy."""

    def run(patience: Patience, **strategies: Any) -> int:
        strategies.setdefault("reraise", True)
        if request.param == "sync":
            guarded = breaker(service.fetch)
            return Retrying(sleep=patience.sleep, **strategies)(guarded)

        @breaker
        async def fetch() -> int:
            return await asyncio.to_thread(service.fetch)

        return asyncio.run(AsyncRetrying(sleep=patience.sleep_async, **strategies)(fetch))

    return run


def test_attempts_wait_for_the_probe_and_no_longer(attempt, breaker, clock, service):
    service.failing = True
    patience = Patience(clock, service, recovers_after=3)
    wait = wait_until_probe(fallback=wait_fixed(2), spread=1)
    assert attempt(patience, wait=wait, stop=stop_after_attempt(6)) == 200
    first, second, third = patience.slept
    assert (first, second) == (2, 2)
    assert 28 <= third <= 29  # two seconds have gone by
    assert service.requests == 3  # none while open
    assert breaker.state == "closed"


def test_attempts_end_where_the_probe_is_too_far_away(attempt, breaker, clock, service):
    service.failing = True
    patience = Patience(clock, service)
    with pytest.raises(CircuitOpenError):
        attempt(patience, wait=wait_until_probe(), stop=stop_if_open_longer_than(10))
    assert patience.slept == [0, 0]
    assert service.requests == 2


def test_only_rejections_that_end_soon_are_retried(attempt, breaker, clock, service):
    service.failing = True
    patience = Patience(clock, service, recovers_after=1)
    with pytest.raises(HTTPError):
        attempt(patience, retry=retry_if_circuit_open(60))
    breaker.force_open(expires_in=20)
    service.failing = False
    assert attempt(patience, retry=retry_if_circuit_open(60), wait=wait_until_probe()) == 200
    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        attempt(patience, retry=retry_if_circuit_open(60), wait=wait_until_probe())
    assert len(patience.slept) == 1


def state_after(error: Exception, spent: float = 0.0) -> tenacity.RetryCallState:
    state = tenacity.RetryCallState(Retrying(), None, (), {})
    state.set_exception((type(error), error, error.__traceback__))  # type: ignore[arg-type]
    assert state.outcome_timestamp is not None
    state.outcome_timestamp = state.start_time + spent
    return state


def rejected(retry_after: float | None) -> CircuitOpenError:
    return CircuitOpenError("x", CircuitState.OPEN, retry_after)


def test_waits_are_bounded():
    wait = wait_until_probe(spread=timedelta(seconds=4), longest=timedelta(minutes=1))
    assert 10 <= wait(state_after(rejected(10))) <= 14
    assert len({wait(state_after(rejected(10))) for _ in range(10)}) > 1
    assert wait(state_after(rejected(59.999))) <= 60
    assert wait(state_after(rejected(3600))) == 60
    assert wait(state_after(rejected(None))) == 60
    assert wait(state_after(OSError())) == 0


def test_a_rejection_behind_another_error_is_seen():
    error = OSError()
    error.__cause__ = rejected(10)
    assert wait_until_probe(spread=0)(state_after(error)) == 10
    assert not retry_if_circuit_open()(state_after(OSError()))


def test_the_time_left_counts_from_the_first_attempt():
    stop = stop_if_open_longer_than(30, total=True)
    assert not stop(state_after(rejected(10), spent=19))
    assert stop(state_after(rejected(10), spent=21))
    assert stop(state_after(rejected(None)))
    assert not stop(state_after(OSError(), spent=100))
    assert not stop_if_open_longer_than(30)(state_after(rejected(10), spent=21))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wait_until_probe(spread=-1), "spread is at least 0 seconds, got -1"),
        (lambda: wait_until_probe(longest=0), "longest is over 0 seconds, got 0"),
        (lambda: stop_if_open_longer_than(float("nan")), "seconds is at least 0 seconds, got nan"),
        (lambda: retry_if_circuit_open(-1), "longest is at least 0 seconds, got -1"),
    ],
)
def test_durations_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_strategies_combine_with_those_of_tenacity():
    stop = stop_after_attempt(1) | stop_if_open_longer_than(5)
    assert stop(state_after(OSError()))
    wait = wait_fixed(1) + wait_until_probe(spread=0)
    assert wait(state_after(rejected(2))) == 3
    assert pickle.loads(pickle.dumps(wait_until_probe(spread=2))).spread == 2
