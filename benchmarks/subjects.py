"""Who is measured: the bare call, a hand-written minimum, ourselves, and other installed libraries."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from benchmarks.report import version_of
from benchmarks.timing import run_to_end
from switchgear import CircuitBreaker, CircuitBreakerPolicy
from switchgear.breaker.observed import CallObserver

NEVER: Final = 1_000_000_000  # failures


class UnavailableError(Exception):
    """The subject can't do this, or is not installed."""


class Subject(Protocol):
    """Prepares a call that ends as asked for."""

    name: str

    def prepare(self, end: str, colour: str) -> Callable[[], Any]: ...


def work() -> int:
    return 1


async def work_async() -> int:
    return 1


def broken() -> int:
    raise ValueError("down")


async def broken_async() -> int:
    raise ValueError("down")


def function(end: str, colour: str) -> Callable[[], Any]:
    if end == "failure":
        return broken if colour == "sync" else broken_async
    return work if colour == "sync" else work_async


class Bare:
    """The call itself."""

    name = "bare call"

    def prepare(self, end: str, colour: str) -> Callable[[], Any]:
        return function("success" if end == "rejection" else end, colour)


class RejectedError(Exception):
    """What the minimum raises."""


class Minimum:
    """A flag and a counter: no lock, no clock, no probe, no state to look at. What any wrapper costs."""

    name = "minimum"

    def __init__(self) -> None:
        self.open = False
        self.failures = 0

    def prepare(self, end: str, colour: str) -> Callable[[], Any]:
        guard = Minimum()
        guard.open = end == "rejection"
        fn = function(end, colour)
        return guard.sync(fn) if colour == "sync" else guard.coroutine(fn)

    def sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.open:
                raise RejectedError("open")
            try:
                result = fn(*args, **kwargs)
            except Exception:
                self.failures += 1
                if self.failures >= NEVER:
                    self.open = True
                raise
            self.failures = 0
            return result

        return guarded

    def coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.open:
                raise RejectedError("open")
            try:
                result = await fn(*args, **kwargs)
            except Exception:
                self.failures += 1
                if self.failures >= NEVER:
                    self.open = True
                raise
            self.failures = 0
            return result

        return guarded


class Ours:
    """switchgear under one policy; rejections are those of an open circuit."""

    def __init__(self, name: str, observer: Callable[[], CallObserver] | None = None, **policy: Any) -> None:
        self.name = name
        self._observer = observer
        self._policy = policy

    def prepare(self, end: str, colour: str) -> Callable[[], Any]:
        fields = {**self._policy, "reset_timeout": 86_400}
        if end == "rejection":
            breaker = CircuitBreaker("bench", CircuitBreakerPolicy(**{**fields, "failure_threshold": 1}))
            breaker.acquire().failure(ValueError("down"))
        else:
            if "failure_rate" in fields:
                fields.update(minimum_calls=NEVER)  # measured while closed: rules are judged, and do not hold
            else:
                fields.update(failure_threshold=NEVER)
            breaker = CircuitBreaker("bench", CircuitBreakerPolicy(**fields))
        if self._observer is not None:
            breaker.observe(self._observer())
        return breaker(function(end, colour))


class Peer:
    """Another library: closed with a threshold out of reach, or opened by failures first."""

    def __init__(self, package: str, make: Callable[[bool], Any], *, colours: tuple[str, ...]) -> None:
        self._make = make
        self._package = package
        self._colours = colours
        self.name = f"{package} {version_of(package) or '(not installed)'}"

    def prepare(self, end: str, colour: str) -> Callable[[], Any]:
        if version_of(self._package) is None or colour not in self._colours:
            raise UnavailableError
        breaker = self._make(end == "rejection")
        if end == "rejection":
            failing = breaker(function("failure", colour))
            for _ in range(20):
                with contextlib.suppress(Exception):
                    failing() if colour == "sync" else run_to_end(failing())
        return breaker(function(end, colour))


def _interlock(rejecting: bool) -> Any:
    import interlock

    config = interlock.Config(
        minimum_number_of_calls=10 if rejecting else 100,
        failure_rate_threshold=0.5,
        slow_call_duration_threshold=1.0,
        slow_call_rate_threshold=0.5,
        wait_duration_in_open=86_400.0,
    )
    return interlock.CircuitBreaker(name="bench", config=config)


def _pybreaker(rejecting: bool) -> Any:
    import pybreaker

    return pybreaker.CircuitBreaker(fail_max=1 if rejecting else NEVER, reset_timeout=86_400)


def _circuitbreaker(rejecting: bool) -> Any:
    import circuitbreaker

    return circuitbreaker.CircuitBreaker(failure_threshold=1 if rejecting else NEVER, recovery_timeout=86_400)


SUBJECTS: Final[tuple[Subject, ...]] = (
    Bare(),
    Minimum(),
    Ours("switchgear, default policy"),
    Ours("switchgear, full policy", failure_rate=0.5, slow_call_rate=0.5, slow_call_duration=1),
    Peer("interlock-cb", _interlock, colours=("sync", "async")),
    Peer("pybreaker", _pybreaker, colours=("sync",)),
    Peer("circuitbreaker", _circuitbreaker, colours=("sync", "async")),
)

logging.getLogger("switchgear").setLevel(logging.ERROR)  # of circuits that are opened on purpose
