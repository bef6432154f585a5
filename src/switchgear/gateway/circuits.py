"""Circuits as the gateway uses them: what of an answer is evidence, and what a rejected client is told."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from switchgear import CircuitOpenError
from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS
from switchgear.breaker.policy import seconds as seconds_of
from switchgear.gateway.answers import Rejection
from switchgear.gateway.exchange import BufferedResponse, UpstreamFailure
from switchgear.gateway.http1.fields import cut_fields
from switchgear.gateway.metrics.tallies import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear import CircuitBreaker, CircuitBreakerPolicy, Permit
    from switchgear.gateway.answers import Answer
    from switchgear.gateway.breakers import Breakers
    from switchgear.gateway.config.model import Circuit


class Head(Protocol):
    """What a circuit sees of an answer; `fields` are lines."""

    @property
    def status(self) -> int: ...

    @property
    def fields(self) -> bytes: ...


class Guard:
    """A circuit at the place where it guards something: a route, a service, an endpoint.

    `seconds` are those since the permit was given; 0, nobody has measured them.
    """

    __slots__ = (
        "__weakref__",
        "_attention",
        "_failures",
        "_judge",
        "_rejection",
        "_tally",
        "breaker",
        "key",
        "try_enter",
    )

    def __init__(self, circuit: Circuit, breakers: Breakers) -> None:
        # The policy's callables are asked about answers, here; the breaker itself only hears of outcomes.
        bare = replace(circuit.policy, failure_if=None, retry_after_from=None, ignore=())
        self.key = circuit.key
        self.breaker: CircuitBreaker = breakers.get(circuit.key, bare)
        self._tally = breakers.tally(circuit.key)
        self._attention = breakers.attention(circuit.key)
        # Bound: requests pay for no method around it.
        self.try_enter: Callable[[], Permit | None] = self.breaker.try_acquire
        """A permit, or `None` when a store has to be asked first (`enter`). Raises `CircuitOpenError`."""
        self._attention.join(self, always=bare.slow_call_duration is not None)
        self._failures = circuit.policy.failure_statuses or frozenset()
        self._judge = _Judge(circuit.policy) if _asks(circuit.policy) else None
        self._rejection = Rejection(circuit.error_status, circuit.error_body)

    async def enter(self) -> Permit:
        """Waits for a permit. Raises `CircuitOpenError`."""
        try:
            permit = await self.breaker.acquire_async()
        except CircuitOpenError as error:
            self._attention.rejected(error)
            raise
        self._attention.entered(self, permit)
        return permit

    def answered(self, permit: Permit, head: Head, seconds: float = 0.0) -> None:
        """The guarded call ended with an answer."""
        if self._judge is not None:
            response = BufferedResponse(head.status, cut_fields(head.fields))
            self._judged(permit, self._judge, response, seconds)
        elif head.status in self._failures:
            self._blame(permit, f"status {head.status}", seconds)
        else:
            self._succeeded(permit, seconds)

    def failed(self, permit: Permit, failure: UpstreamFailure, seconds: float = 0.0) -> None:
        """The guarded call ended without a usable answer."""
        self._blame(permit, failure, seconds)

    def _succeeded(self, permit: Permit, seconds: float) -> None:
        tally = self._tally
        tally.successes += 1
        if seconds:
            lasted = tally.lasted
            lasted.append(seconds)
            if len(lasted) >= BATCH:
                tally.settle()
        if self._attention.paid:
            self._attention.ended(permit, SUCCESS)
        permit.success()

    def _judged(self, permit: Permit, judge: _Judge, response: BufferedResponse, seconds: float) -> None:
        try:
            outcome, retry_after = judge.decide(self._failures, response)
        except Exception as error:
            self._blame(permit, error, seconds)
            return
        if outcome is None:
            self.cancelled(permit, seconds)
        elif outcome:
            self._succeeded(permit, seconds)
        else:
            self._blame(permit, f"status {response.status}", seconds, retry_after)

    def _blame(
        self, permit: Permit, error: Exception | str, seconds: float, retry_after: float | None = None
    ) -> None:
        self._tally.failed(seconds)
        self._attention.ended(permit, FAILURE)
        permit.failure(error, retry_after=retry_after)
        if not self.closed:
            self._attention.pay()

    def cancelled(self, permit: Permit, seconds: float = 0.0) -> None:
        """The guarded call says nothing about the service."""
        self._tally.ended(seconds)
        self._attention.ended(permit, INCONCLUSIVE)
        permit.cancel()

    def rejected(self) -> None:
        """The guarded call was not made."""
        self._tally.rejected += 1
        self._attention.pay()

    @property
    def closed(self) -> bool:
        """Whether every call passes."""
        return self.breaker.circuit.era is not None

    def attend(self, *, paid: bool) -> None:
        """Tell of permits, too, or no more."""
        self.try_enter = self._enter_watched if paid else self.breaker.try_acquire

    def expiry(self) -> Callable[[], bool]:
        """Whether the time of a probe that begins now is over."""
        now = self.breaker.circuit.now
        until = now() + seconds_of(self.breaker.policy.probe_timeout)
        return lambda: now() >= until

    def _enter_watched(self) -> Permit | None:
        try:
            permit = self.breaker.try_acquire()
        except CircuitOpenError as error:
            self._attention.rejected(error)
            raise
        if permit is not None:
            self._attention.entered(self, permit)
        return permit

    def cut_off(self, failure: UpstreamFailure) -> None:
        """An answer whose head counted already was cut off in its body: one more failure."""
        # The first permit is spent. While open there is nothing to add, and no store is asked for a lease for
        # this.
        with contextlib.suppress(CircuitOpenError):
            permit = self.breaker.try_acquire()
            if permit is not None:
                self.failed(permit, failure)

    def rejection(self, error: CircuitOpenError) -> Answer:
        """What the client is told while the circuit is open."""
        return self._rejection.answer(error.retry_after)


def _asks(policy: CircuitBreakerPolicy) -> bool:
    return (
        policy.failure_if is not None or policy.retry_after_from is not None or _is_predicate(policy.ignore)
    )


def _is_predicate(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


class _Judge:
    """The callables of a policy, which decide over the head of an answer (its body is empty for them)."""

    __slots__ = ("_failed", "_ignored", "_retry_after")

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._ignored = policy.ignore if _is_predicate(policy.ignore) else None
        self._failed = policy.failure_if
        self._retry_after = policy.retry_after_from

    def decide(
        self, failures: frozenset[int], response: BufferedResponse
    ) -> tuple[bool | None, float | None]:
        """Whether it was a success (`None`: no evidence), and the open time that the upstream asks for."""
        if self._ignored is not None and self._ignored(response):  # type: ignore[operator, arg-type]  # a predicate
            return None, None
        if response.status not in failures and not (self._failed is not None and self._failed(response)):
            return True, None
        return False, _seconds(self._retry_after, response)


def _seconds(
    read: Callable[[BufferedResponse], float | timedelta | None] | None, response: BufferedResponse
) -> float | None:
    wanted = None if read is None else read(response)
    return wanted.total_seconds() if isinstance(wanted, timedelta) else wanted


def guard_for(circuit: Circuit | None, breakers: Breakers) -> Guard | None:
    """The guard of a place; places whose circuits have one key share a breaker, each with its own words."""
    return None if circuit is None else Guard(circuit, breakers)
