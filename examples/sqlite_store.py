"""A store of your own: circuits shared by the processes of one machine through an SQLite file.

Five coroutines are all that a breaker asks for. It never waits for them: they are called in the background,
so a slow disk or a locked file delays no call. Each of them is one statement or one transaction here, hence
atomic: two processes that count a failure at the same moment have counted two.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from contextlib import closing

from switchgear import CircuitBreaker, CircuitBreakerSnapshot, CircuitState

CREATE = """CREATE TABLE IF NOT EXISTS circuits (
    key TEXT PRIMARY KEY, state TEXT DEFAULT 'closed', failures INTEGER DEFAULT 0,
    successes INTEGER DEFAULT 0, failed_at REAL DEFAULT 0.0, changed_at REAL DEFAULT 0.0)"""
CIRCUIT = "state, failures, successes, failed_at, changed_at"


class SQLiteStore:
    def __init__(self, path: str) -> None:
        self._path = path

    async def get_state(self, key: str) -> CircuitBreakerSnapshot:
        return await self._run(key, f"SELECT {CIRCUIT} FROM circuits WHERE key = :key")

    async def record_success(self, key: str) -> CircuitBreakerSnapshot:
        return await self._update(key, "failures = 0, successes = successes + 1")

    async def record_failure(self, key: str) -> CircuitBreakerSnapshot:
        return await self._update(key, "failures = failures + (state = 'closed'), failed_at = :now")

    async def transition(self, key: str, to: CircuitState) -> CircuitBreakerSnapshot:
        if to not in ("closed", "open", "half-open"):
            raise ValueError(f"transition to {to!r}: allowed are 'closed', 'open', 'half-open'")
        kept = "0" if to == "closed" else "failures"
        return await self._update(key, f"state = '{to}', changed_at = :now, failures = {kept}, successes = 0")

    async def reset(self, key: str) -> None:
        await self._run(key, "DELETE FROM circuits WHERE key = :key")

    async def _update(self, key: str, change: str) -> CircuitBreakerSnapshot:
        insert = "INSERT OR IGNORE INTO circuits (key) VALUES (:key)"
        return await self._run(
            key, insert, f"UPDATE circuits SET {change} WHERE key = :key RETURNING {CIRCUIT}"
        )

    async def _run(self, key: str, *statements: str) -> CircuitBreakerSnapshot:
        # A connection of its own for each: they may be used by one thread only, and never across a fork.
        return await asyncio.to_thread(self._execute, key, statements)

    def _execute(self, key: str, statements: tuple[str, ...]) -> CircuitBreakerSnapshot:
        row = None
        with closing(sqlite3.connect(self._path, timeout=5)) as connection, connection:
            for statement in (CREATE, "BEGIN IMMEDIATE", *statements):
                row = connection.execute(statement, {"key": key, "now": time.time()}).fetchone()
        state, failures, successes, failed_at, changed_at = row or ("closed", 0, 0, 0.0, 0.0)
        return CircuitBreakerSnapshot(
            state=CircuitState(state),
            failure_count=failures,
            success_count=successes,
            last_failure_time=failed_at,
            last_state_change=changed_at,
        )


def main(path: str) -> None:
    """Fail until the circuit opens: start it twice with the same file, and the second one finds it open."""
    payments = CircuitBreaker("payments", store=SQLiteStore(path), failure_threshold=3)
    payments.ready()
    while payments.state == "closed":
        with payments.acquire() as call:
            call.failure("no answer")
    print(f"payments is {payments.state}: {payments.snapshot().reason}")


if __name__ == "__main__":
    main(sys.argv[1])
