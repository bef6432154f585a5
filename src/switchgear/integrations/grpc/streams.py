"""The stream of a probe: it may last longer than a probe may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from switchgear import CircuitBreakerPolicy, Permit
from switchgear.breaker.policy import seconds
from switchgear.clock import SYSTEM_CLOCK


class Patience:
    """When a probe's stream is good without having ended.

    After `probe_timeout` a probe's place is lost and its result counts for nothing: with streams that last
    longer, such as a watch, the circuit would never close. One that still gives messages after half of
    that time is good.
    """

    def __init__(
        self,
        permit: Permit,
        policy: CircuitBreakerPolicy,
        now: Callable[[], float] = SYSTEM_CLOCK.monotonic,
    ) -> None:
        self._permit = permit
        self._now = now
        self._good_at = now() + seconds(policy.probe_timeout) / 2

    def came(self) -> None:
        """A message has come."""
        if self._now() >= self._good_at:
            self._permit.success()  # the first report counts: this may be called for each message


class ProbeStream:
    """A call with a stream of messages, and all that the call has."""

    def __init__(self, call: Any, permit: Permit, policy: CircuitBreakerPolicy) -> None:
        self._call = call
        self._patience = Patience(permit, policy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        message = next(self._call)
        self._patience.came()
        return message


async def probe_messages(call: Any, permit: Permit, policy: CircuitBreakerPolicy) -> AsyncIterator[Any]:
    """The messages of an async call."""
    patience = Patience(permit, policy)
    async for message in call:
        patience.came()
        yield message
