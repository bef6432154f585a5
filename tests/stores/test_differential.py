"""Lua and SQL against the Python reference: random operations, the reply's `now` as the reference's clock.

Every view must be equal, field by field. Time passes by rewriting the record, not by waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest

from switchgear.stores.mechanism import apply
from switchgear.stores.operations import Operation
from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
from switchgear.stores.record import Record
from switchgear.stores.redis.store import RedisCircuitBreakerStore
from switchgear.stores.shared import SharedStore
from switchgear.stores.view import Change, Result, View
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.stores.put_postgres import as_row
from tests.stores.put_redis import as_hash
from tests.stores.random_operations import AGES, FULL, Choice, older

pytestmark = pytest.mark.anyio

SEEDS, STEPS = 50, 100
CHUNKS = pytest.mark.parametrize("start", range(0, 200, SEEDS))
Put = Callable[[str, Record], Awaitable[None]]


class Run:
    """One circuit: its random operations, and the record that the reference says it must have."""

    def __init__(self, seed: int) -> None:
        self.key = f"circuit {seed}"
        self.random = Random(seed)
        self.choice = Choice(self.random)
        self.record = Record()
        self.trace: list[Operation] = []

    def next(self) -> tuple[str, Operation]:
        self.trace.append(self.choice.operation(self.record))
        return self.key, self.trace[-1]

    def check(self, view: View) -> None:
        applied = apply(self.record, self.trace[-1], view.now)
        assert view == applied.view, (self.key, self.trace[-4:])
        self.record = applied.record

    def age(self) -> bool:
        """Let time pass (or go back), now and then."""
        if self.random.random() < 0.85:
            return False
        self.record = older(self.record, self.random.choice(AGES))
        if self.random.random() < 0.3:
            self.record = replace(self.record, orders=" ".join(FULL))
        return True


async def compare(store: SharedStore, put: Put, start: int) -> None:
    runs = [Run(seed) for seed in range(start, start + SEEDS)]
    seen: set[str] = set()
    for _ in range(STEPS):
        views = await store.batch([run.next() for run in runs])
        for run, view in zip(runs, views, strict=True):
            run.check(view)
            seen |= {view.result, view.changed}
            if run.age():
                await put(run.key, run.record)
    assert seen == {*Result, *Change}, "the operations reach everything that can happen"


@CHUNKS
async def test_lua_is_the_reference(redis_server: RedisServer, start: int) -> None:
    async with RedisCircuitBreakerStore(redis_server.url, prefix="differential:") as store:

        async def put(key: str, record: Record) -> None:
            name = store._layout.names(key)[0]
            async with store._client() as client:
                await client.delete(name)
                await client.hset(name, mapping=as_hash(record))

        await compare(store, put, start)


@CHUNKS
async def test_sql_is_the_reference(postgres_server: PostgresServer, start: int) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table="differential") as store:

        async def put(key: str, record: Record) -> None:
            row = as_row(record)
            columns = ", ".join(f"{name} = %({name})s" for name in row)
            statement = f"update differential_v1 set {columns} where key = %(key)s"
            async with store._pool.connection() as connection:
                await connection.execute(
                    "insert into differential_v1 (key) values (%s) on conflict do nothing", (key,)
                )
                await connection.execute(statement, row | {"key": key})

        await compare(store, put, start)
