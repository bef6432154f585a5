"""Five methods made to speak the operations that mirrors ask with, so that one code path serves every store.

What five methods can't do is done here for this process alone, and said: leases, fencing, push, dedupe and
overrides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, TypeVar

from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.stores import operations as ops
from switchgear.stores.protocol import CircuitBreakerStore
from switchgear.stores.view import Changes, Result, View

T = TypeVar("T")

LIMITS: Final = ("leases", "fencing", "push", "dedupe", "overrides")
AT_ONCE: Final = 32
ANSWER_SECONDS: Final = 1.0
"""A method that takes longer has failed."""

FORGOTTEN_SECONDS: Final = 600.0
"""A circuit that nobody has asked for so long is in use no more."""


@dataclass(slots=True)
class _Known:
    """What was last seen under a key. The generation is a number of this process's own."""

    generation: int
    seen: tuple[str, float] | None = None
    flush: int = 0
    """The flush that is being written, and how many of its outcomes are."""
    written: int = 0
    asked: float = 0.0
    """When anybody last did."""


class PlainStore:
    """A user's store, as a `SharedCircuitStore`."""

    batch_seconds: Final = 30.0
    """Each method call has its own limit: all outcomes of a batch may take a multiple of it."""

    def __init__(self, store: CircuitBreakerStore, now: Callable[[], float]) -> None:
        self._store = store
        self.store_name = type(store).__name__
        self.staleness: float = getattr(store, "staleness", 1.0)
        self._now = now
        self._keys: dict[str, _Known] = {}
        self._newest = 0
        """The highest generation among what was forgotten: one that comes again is newer than it ever was."""

    async def batch(self, operations: Sequence[tuple[str, ops.Operation]]) -> list[View]:
        """Each key's operations in their order, different keys at once."""
        by_key: dict[str, list[int]] = {}
        for i, (key, _) in enumerate(operations):
            by_key.setdefault(key, []).append(i)
        views: dict[int, View] = {}
        free = asyncio.Semaphore(AT_ONCE)

        async def run(indices: list[int]) -> None:
            async with free:
                for i in indices:
                    views[i] = await self._apply(*operations[i])

        results = await asyncio.gather(*map(run, by_key.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [views[i] for i in range(len(operations))]

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> NoReturn:
        """Five methods can't push: changes are polled."""
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def changes(self, since: object | None) -> Changes:
        """There is no feed either: always a gap, which is filled by a look at every circuit in use."""
        now = self._now()
        for key, known in list(self._keys.items()):
            if now - known.asked > FORGOTTEN_SECONDS:
                self._newest = max(self._newest, known.generation)
                del self._keys[key]
        return Changes((), since, gap=True)

    async def _apply(self, key: str, operation: ops.Operation) -> View:
        known = self._keys.setdefault(key, _Known(self._newest + 1))
        known.asked = self._now()
        store = self._store
        match operation:
            case ops.Goodbye():
                return View(now=round(self._now() * 1000), generation=known.generation, live=1)
            case ops.Flush():
                return self._view(known, await self._write(key, known, operation), Result.COUNTED)
            case ops.Transition():
                return await self._transition(key, known, operation)
            case ops.Reset():
                await _answered(store.reset(key))
                return self._view(known, await _answered(store.get_state(key)), Result.WON)
            case _:
                return self._view(known, await _answered(store.get_state(key)), Result.NONE)

    async def _write(self, key: str, known: _Known, flush: ops.Flush) -> CircuitBreakerSnapshot:
        """Every failure, one by one; successes only where they end a run, so that calls do not grow with
        traffic.

        An error is ambiguous: the failure may have been counted. It is not written again, the rest of the
        flush is.
        """
        if known.flush != flush.number:
            known.flush, known.written = flush.number, 0
        snapshot: CircuitBreakerSnapshot | None = None
        for failed in _sequence(flush)[known.written :]:
            known.written += 1
            record = self._store.record_failure if failed else self._store.record_success
            snapshot = await _answered(record(key))
        return snapshot if snapshot is not None else await _answered(self._store.get_state(key))

    async def _transition(self, key: str, known: _Known, operation: ops.Transition) -> View:
        """Look, compare, set: another process may come in between, and the later one wins."""
        before = self._view(known, await _answered(self._store.get_state(key)), Result.LOST)
        if operation.expected not in (0, before.generation):
            return before
        snapshot = await _answered(self._store.transition(key, CircuitState(operation.move.to)))
        view = self._view(known, snapshot, Result.WON)
        return replace(view, change=operation.move.token, why=operation.move.why)

    def _view(self, known: _Known, snapshot: CircuitBreakerSnapshot, result: Result) -> View:
        state = CircuitState(snapshot.state)
        seen = (state.value, snapshot.last_state_change)
        if known.seen is not None and known.seen != seen:
            known.generation += 1
        known.seen = seen
        override = state.value if state in (CircuitState.FORCED_OPEN, CircuitState.DISABLED) else ""
        return View(
            now=round(self._now() * 1000),
            generation=known.generation,
            state=CircuitState.CLOSED.value if override else state.value,
            why=snapshot.reason,
            run=snapshot.failure_count,
            successes=snapshot.success_count,
            last_failure_at=round(snapshot.last_failure_time * 1000),
            last_failure=snapshot.last_failure or "",
            live=1,
            result=result,
        )


async def _answered(method: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(ANSWER_SECONDS):
        return await method


def _sequence(flush: ops.Flush) -> list[bool]:
    """The outcomes to write: every failure, and a success wherever one ended a run of them.

    Which runs there were between the first and the last is not kept; none was longer than the best.
    """
    run, failures = flush.run, sum(delta.failures for delta in flush.deltas)
    if not run.success:
        return [True] * failures
    out = [True] * run.head + [False]
    middle = failures - run.head - run.tail
    for start in range(0, middle, max(1, run.best)):
        out += [True] * min(run.best, middle - start) + [False]
    return out + [True] * run.tail
