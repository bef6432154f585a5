"""The five methods of a store, over the operations that processes share circuits with."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

from switchgear.breaker.policy import is_count, is_number
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.stores.loops import PerLoop
from switchgear.stores.operations import (
    FAILED,
    SUCCEEDED,
    Delta,
    Flush,
    Get,
    Move,
    Operation,
    Reset,
    Transition,
)
from switchgear.stores.protocol import checked_key, checked_target
from switchgear.stores.view import View

OPERATION_SECONDS: Final = 1.0
"""A store that takes longer is down."""


@asynccontextmanager
async def answered(by: str) -> AsyncGenerator[None]:
    """A wait for the store, with an end."""
    try:
        async with asyncio.timeout(OPERATION_SECONDS):
            yield
    except TimeoutError:
        raise TimeoutError(f"{by} did not answer within {OPERATION_SECONDS:g} s") from None


class Voice:
    """Who the five methods count as in one event loop: a reporter whose flushes must arrive in order."""

    def __init__(self) -> None:
        self.reporter = secrets.token_hex(8)
        self.numbers = itertools.count(1)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, key: str) -> asyncio.Lock:
        """Held while a flush of this circuit is under way: one that is overtaken would not count."""
        return self._locks.setdefault(key, asyncio.Lock())


async def _nothing_to_close(_: Voice) -> None: ...


class SharedStore(ABC):
    """A store on a server. It writes through at once; breakers reach it by `batch`, `watch` and `changes`."""

    def __init__(
        self,
        namespace: str | None,
        staleness: float | timedelta,
        lease_timeout: float | timedelta,
        idle_ttl: float | timedelta,
        max_connections: int,
    ) -> None:
        self.namespace = namespace
        self._head = "" if namespace is None else f"{checked_key(namespace)}/"
        self.staleness = seconds("staleness", staleness)
        self.lease_timeout = seconds("lease_timeout", lease_timeout)
        self.idle_ttl = seconds("idle_ttl", idle_ttl)
        if not is_count(max_connections):
            raise ValueError(f"max_connections must be an integer of at least 1, got {max_connections!r}")
        self._max_connections = max_connections
        self.bound = False
        """Whether the store can't be used from several event loops."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._voices: PerLoop[Voice] = PerLoop(Voice, _nothing_to_close)

    def _bind(self) -> None:
        """Stay in one event loop, that of the user's own client: this one, or the first to use it."""
        self.bound = True
        with suppress(RuntimeError):
            self.loop = asyncio.get_running_loop()

    @abstractmethod
    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        """Apply the operations; see `SharedCircuitStore`."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what the store has opened; safe to call twice. A client or pool of yours stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Sends what breakers have counted, says goodbye for this process, and closes the store."""
        from switchgear.stores.sharing import release  # late: it knows the pump

        release(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from switchgear.stores.sharing import home_of

        if home_of(self) is None:
            await self.aclose()
        else:  # breakers use it: waiting for the pump blocks, so in a thread
            await asyncio.to_thread(self.__exit__, kind, error, traceback)

    # ---- the five methods ----

    async def get_state(self, key: str) -> CircuitBreakerSnapshot:
        """The circuit as it is; creates nothing."""
        return snapshot(await self._one(key, Get()))

    async def record_success(self, key: str) -> CircuitBreakerSnapshot:
        """Count a success: it ends the run of failures."""
        return await self._record(key, failed=False)

    async def record_failure(self, key: str) -> CircuitBreakerSnapshot:
        """Count a failure, atomically; while open or half-open only `last_failure_time` changes."""
        return await self._record(key, failed=True)

    async def transition(self, key: str, to: CircuitState) -> CircuitBreakerSnapshot:
        """Set the state, unconditionally, to closed, open or half-open; an override ends."""
        target = checked_target(to)
        move = Move(to=target, token=secrets.token_hex(8), why=f"set {target} through the store", rounds=0)
        return snapshot(await self._one(key, Transition(expected=0, move=move)))

    async def reset(self, key: str) -> None:
        """Closed, and all evidence forgotten."""
        await self._one(key, Reset(token=secrets.token_hex(8), why="reset by hand"))

    async def _one(self, key: str, operation: Operation) -> View:
        return (await self.batch([(checked_key(key), operation)]))[0]

    async def _record(self, key: str, *, failed: bool) -> CircuitBreakerSnapshot:
        voice = self._voices.get()
        async with voice.lock(key):
            flush = Flush(
                reporter=voice.reporter,
                number=next(voice.numbers),
                generation=0,
                deltas=(Delta(0, 1, int(failed), 0),),
                run=FAILED if failed else SUCCEEDED,
            )
            return snapshot(await self._one(key, flush))


def seconds(name: str, value: float | timedelta) -> float:
    """A duration as seconds; `ValueError` unless it is finite and positive."""
    found = value.total_seconds() if isinstance(value, timedelta) else value
    if not is_number(found) or found <= 0:
        raise ValueError(f"{name} must be a positive duration, got {value!r}")
    return float(found)


def snapshot(view: View) -> CircuitBreakerSnapshot:
    """The view as users read it."""
    return CircuitBreakerSnapshot(
        state=CircuitState(view.override or view.state),
        failure_count=view.failures if view.buckets else view.run,
        success_count=view.successes,
        last_failure_time=view.last_failure_at / 1000,
        last_state_change=view.since / 1000,
        generation=view.generation,
        retry_after=_retry_after(view),
        reason=view.why,
        last_failure=view.last_failure or None,
    )


def _retry_after(view: View) -> float | None:
    if view.override == CircuitState.FORCED_OPEN:
        return (view.override_until - view.now) / 1000 if view.override_until else None
    if view.state == CircuitState.CLOSED:
        return 0.0
    ends = view.until if view.state == CircuitState.OPEN else view.next_lease_end
    return max(0, ends - view.now) / 1000
