"""Simulated time, and one way to drive a breaker from sync and from async code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from switchgear import CircuitBreaker
from switchgear.testing import ManualClock


class Boom(Exception):  # it stands in every test  # noqa: N818  # it stands in every test
    """The failure of a guarded service."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make(clock: ManualClock) -> Callable[..., CircuitBreaker]:
    """Makes a breaker with simulated time."""

    def make(name: str = "payments", **fields: Any) -> CircuitBreaker:
        return CircuitBreaker(name, clock=clock, **fields)

    return make


class SyncCaller:
    """Guards calls in sync code."""

    def call(self, breaker: CircuitBreaker, result: Any = "ok", error: BaseException | None = None) -> Any:
        @breaker
        def work() -> Any:
            if error is not None:
                raise error
            return result

        return work()

    def acquire(self, breaker: CircuitBreaker) -> Any:
        return breaker.acquire()

    def enter(self, breaker: CircuitBreaker, error: BaseException | None = None) -> None:
        with breaker:
            if error is not None:
                raise error

    def fail(self, breaker: CircuitBreaker, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(Boom):
                self.call(breaker, error=Boom("down"))

    def open(self, breaker: CircuitBreaker) -> None:
        """Fail until it is open."""
        threshold = breaker.policy.failure_threshold
        assert threshold is not None
        self.fail(breaker, threshold)
        assert breaker.state == "open"


class AsyncCaller(SyncCaller):
    """Guards calls in coroutines; each call is one run of an event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def call(self, breaker: CircuitBreaker, result: Any = "ok", error: BaseException | None = None) -> Any:
        @breaker
        async def work() -> Any:
            if error is not None:
                raise error
            return result

        return self._run(work())

    def acquire(self, breaker: CircuitBreaker) -> Any:
        return self._run(breaker.acquire_async())

    def enter(self, breaker: CircuitBreaker, error: BaseException | None = None) -> None:
        async def work() -> None:
            async with breaker:
                if error is not None:
                    raise error

        self._run(work())


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Iterator[SyncCaller]:
    if request.param == "sync":
        yield SyncCaller()
        return
    with asyncio.Runner() as runner:
        yield AsyncCaller(runner)
