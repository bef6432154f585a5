"""stamina: attempts wait for an open circuit, or end there."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError

import pytest
import stamina

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState
from switchgear.integrations.stamina import until_probe
from switchgear.testing import ManualClock
from tests.integrations.retries.service import FailingService


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("payments", failure_threshold=2, reset_timeout=30, clock=clock)


@pytest.fixture(autouse=True)
def slept(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What stamina sleeps, in simulated time."""
    seconds: list[float] = []

    def sleep(delay: float) -> None:
        seconds.append(delay)
        clock.advance(delay)

    async def sleep_async(delay: float) -> None:
        sleep(delay)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(stamina._core, "_smart_sleep", sleep_async)
    return seconds


@pytest.fixture(params=["sync", "async"])
def attempt(request: pytest.FixtureRequest, breaker: CircuitBreaker, service: FailingService) -> Any:
    """Makes a guarded call by stamina's attempts."""

    def run(**how: Any) -> int:
        retry = stamina.retry(wait_initial=0.001, wait_jitter=0, **how)
        if request.param == "sync":
            return retry(breaker(service.fetch))()

        @retry
        @breaker
        async def fetch() -> int:
            return await asyncio.to_thread(service.fetch)

        return asyncio.run(fetch())

    return run


def test_attempts_wait_for_the_probe_and_no_longer(attempt, breaker, service, slept):
    service.failing = True
    waits: list[float] = []
    hook = until_probe(HTTPError, spread=0.01)

    def watched(error: Exception) -> bool | float | timedelta:
        wait = hook(error)
        if isinstance(error, CircuitOpenError):
            assert error.retry_after is not None
            assert error.retry_after <= wait <= error.retry_after + 0.01
            waits.append(wait)
            service.failing = False
        return wait

    assert attempt(on=watched, attempts=5) == 200
    assert len(waits) == 1
    assert slept[-1] == waits[0]
    assert service.requests == 3
    assert breaker.state == "closed"


def test_attempts_end_where_the_probe_is_too_far_away(attempt, service):
    service.failing = True
    with pytest.raises(CircuitOpenError):
        attempt(on=until_probe(HTTPError, longest=20), attempts=5)
    assert service.requests == 2


def test_other_errors_are_for_others_to_judge():
    error = OSError()
    assert until_probe()(error) is False
    assert until_probe(OSError)(error) is True
    assert until_probe((KeyError, OSError))(error) is True
    assert until_probe(lambda error: 1.5)(error) == 1.5


def test_rejections_that_nobody_knows_the_end_of_are_not_retried():
    hook = until_probe(Exception, spread=0, longest=timedelta(seconds=5))
    assert hook(CircuitOpenError("x", CircuitState.FORCED_OPEN, None)) is False
    assert hook(CircuitOpenError("x", CircuitState.OPEN, 5.1)) is False
    assert hook(CircuitOpenError("x", CircuitState.OPEN, 5.0)) == 5.0


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="spread is at least 0 seconds, got -1"):
        until_probe(spread=-1)
    with pytest.raises(TypeError, match="got 'OSError'"):
        until_probe("OSError")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="BaseException"):
        until_probe(BaseException)  # type: ignore[arg-type]
