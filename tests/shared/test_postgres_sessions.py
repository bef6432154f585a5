"""What a new session of a PostgreSQL store does before its first operation."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from switchgear import CircuitState
from switchgear.stores import PostgresCircuitBreakerStore
from tests.servers.patience import PATIENCE
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio


async def test_a_session_rehearses_without_a_trace(postgres_server: PostgresServer) -> None:
    table = "rehearsed"
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        await store.init_schema()
        await store.record_failure("a")
    with psycopg.connect(postgres_server.dsn) as connection:
        assert connection.execute(f"select key from {table}_v1").fetchall() == [("a",)]


async def test_nobody_who_listens_misses_anything_by_a_rehearsal(postgres_server: PostgresServer) -> None:
    changes: asyncio.Queue[str] = asyncio.Queue()
    listening = PostgresCircuitBreakerStore(postgres_server.dsn, "overheard", staleness=PATIENCE)
    await listening.init_schema()
    watching = asyncio.create_task(
        listening.watch(
            lambda key, _: changes.put_nowait(key), lambda: changes.put_nowait("gap"), lambda: None
        )
    )
    try:
        heard = [await asyncio.wait_for(changes.get(), PATIENCE)]  # what was before is not known
        for _ in range(3):  # each time by a new session
            async with PostgresCircuitBreakerStore(postgres_server.dsn, "overheard") as store:
                await store.transition("a", CircuitState.OPEN)
            heard.append(await asyncio.wait_for(changes.get(), PATIENCE))
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await listening.aclose()
    assert heard == ["gap", "a", "a", "a"]
