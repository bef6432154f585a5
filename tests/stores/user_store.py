"""A store as a user writes it, five coroutines, that tests can make hang and fail; and waiting for what it is
told.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from switchgear import CircuitBreakerSnapshot, CircuitState

PATIENCE = 30.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until it holds, for as long as even a busy machine needs."""
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        pause.wait(0.005)


class UserStore:
    """Circuits in a dictionary; every method call is written down."""

    staleness = 0.2

    def __init__(self) -> None:
        self.circuits: dict[str, CircuitBreakerSnapshot] = {}
        self.calls: list[str] = []
        self.hangs = False
        self.error: Exception | None = None
        self.closed = 0

    async def get_state(self, key: str) -> CircuitBreakerSnapshot:
        await self._asked("get_state")
        return self.circuit(key)

    async def record_success(self, key: str) -> CircuitBreakerSnapshot:
        await self._asked("record_success")
        now = self.circuit(key)
        return self._put(key, replace(now, failure_count=0, success_count=now.success_count + 1))

    async def record_failure(self, key: str) -> CircuitBreakerSnapshot:
        await self._asked("record_failure")
        now = self.circuit(key)
        failures = now.failure_count + (now.state == "closed")
        return self._put(key, replace(now, failure_count=failures, last_failure_time=time.time()))

    async def transition(self, key: str, to: CircuitState) -> CircuitBreakerSnapshot:
        await self._asked(f"transition {to}")
        now = self.circuit(key)
        failures = 0 if to == "closed" else now.failure_count
        changed = replace(now, state=CircuitState(to), failure_count=failures, success_count=0)
        return self._put(key, replace(changed, last_state_change=time.time()))

    async def reset(self, key: str) -> None:
        await self._asked("reset")
        self.circuits.pop(key, None)

    async def aclose(self) -> None:
        self.closed += 1

    def circuit(self, key: str) -> CircuitBreakerSnapshot:
        return self.circuits.get(key, CircuitBreakerSnapshot(state=CircuitState.CLOSED))

    def count(self, call: str) -> int:
        return self.calls.count(call)

    def _put(self, key: str, snapshot: CircuitBreakerSnapshot) -> CircuitBreakerSnapshot:
        self.circuits[key] = snapshot
        return snapshot

    async def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
