"""What is particular about PostgreSQL: the schema, rights, pools of the user's own, rows that go."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from switchgear.breaker.state import CircuitState
from switchgear.stores.operations import FAILED, Delta, Flush, Get, Lease, Move, Override, Transition, Window
from switchgear.stores.postgres import connections as connections_module
from switchgear.stores.postgres.connections import Connections
from switchgear.stores.postgres.schema import SchemaMissingError
from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
from switchgear.stores.view import PushUnavailableError
from tests.servers.patience import PATIENCE
from tests.servers.postgres import PostgresServer
from tests.stores.test_shared_stores import listening, one, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connection(postgres_server: PostgresServer) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(postgres_server.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def table() -> str:
    return f"circuits_{secrets.token_hex(4)}"


# ---- the schema ----


async def test_first_users_at_once_make_the_schema_once(postgres_server: PostgresServer, table: str) -> None:
    stores = [PostgresCircuitBreakerStore(postgres_server.dsn, table) for _ in range(6)]
    await asyncio.gather(*(store.record_failure("k") for store in stores))
    assert (await stores[0].get_state("k")).failure_count == 6
    await stores[0].init_schema()
    assert (await stores[0].get_state("k")).failure_count == 6, "made again, nothing is lost"
    for store in stores:
        await store.aclose()


async def test_without_create_schema_the_error_says_what_to_do(
    postgres_server: PostgresServer, table: str
) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table, create_schema=False) as store:
        with pytest.raises(
            SchemaMissingError, match=rf"lacks the schema of {table}_v1: run `switchgear store init URL`"
        ):
            await store.get_state("k")


async def test_without_the_right_to_create_the_error_says_what_to_do(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    await connection.execute(f"create role {table} login")
    await connection.execute("revoke create on schema public from public")
    dsn = postgres_server.dsn.replace("postgres@", f"{table}@")
    async with PostgresCircuitBreakerStore(dsn, table) as store:
        with pytest.raises(SchemaMissingError, match=r"permission denied .* run `switchgear store init URL`"):
            await store.get_state("k")


async def test_the_schema_that_is_printed_is_the_one_that_is_needed(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table, create_schema=False) as store:
        await connection.execute(store.schema())
        assert (await store.record_failure("k")).failure_count == 1


async def test_a_table_of_an_earlier_release_gets_what_this_one_adds(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        await store.record_failure("k")
        await connection.execute(f"alter table {table}_v1 drop column orders")
        await connection.execute(f"drop function {store._schema.function('batch')}(jsonb)")
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        assert (await store.record_failure("k")).failure_count == 2


async def test_columns_of_a_later_release_stay(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        await store.record_failure("k")
        await connection.execute(f"alter table {table}_v1 add column later text not null default 'none'")
        await connection.execute(f"update {table}_v1 set later = 'kept'")
        await store.record_failure("k")
        await store.reset("k")
        await store.record_failure("another")
        rows = await (await connection.execute(f"select key, later from {table}_v1")).fetchall()
        assert dict(rows) == {"k": "kept", "another": "none"}


async def test_a_table_in_a_schema_of_its_own(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    await connection.execute(f"create schema {table}")
    async with PostgresCircuitBreakerStore(
        postgres_server.dsn, f"{table}.circuits", staleness=PATIENCE
    ) as store:
        seen: dict[str, Any] = {}
        await store.get_state("k")
        async with listening(store, seen):
            await store.transition("k", CircuitState.OPEN)
            await until(lambda: "k" in seen)
    async with PostgresCircuitBreakerStore(postgres_server.dsn, f"{table}x.circuits") as store:
        with pytest.raises(SchemaMissingError, match="can't be made"):
            await store.get_state("k")


@pytest.mark.parametrize("table", ["", "Circuits", "a b", "a.b.c", "1a", "x" * 41, "a;drop", 'a"b'])
def test_names_that_are_no_table_are_refused(table: str) -> None:
    with pytest.raises(ValueError, match="table must be a lower-case SQL name"):
        PostgresCircuitBreakerStore("postgresql://localhost", table)


# ---- rows ----


async def test_flushes_are_hot_updates(postgres_server: PostgresServer, connection: Any, table: str) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        for number in range(1, 60):
            deltas = (Delta(0, 1, 1, 0),)
            await one(
                store, Flush(reporter="a", number=number, generation=1, deltas=deltas, window=Window.of(30))
            )
    await connection.execute(
        "select pg_stat_force_next_flush()"
    ) if connection.info.server_version >= 150000 else None

    async def updates() -> Any:
        statement = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = %s"
        return await (await connection.execute(statement, (f"{table}_v1",))).fetchone()

    async with asyncio.timeout(PATIENCE):
        while (await updates())[0] < 59:  # noqa: ASYNC110 - the server's statistics come when they come
            await asyncio.sleep(0.05)
    total, hot = await updates()
    assert (total, hot) == (59, 59)


async def test_idle_rows_are_pruned_and_no_others(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table, idle_ttl=60) as store:
        await store.record_failure("idle")
        await store.record_failure("used")
        await one(store, Override(to="disabled", token="o"), "override")
        await one(store, Transition(expected=0, move=Move(to="open", token="a", open_ms=10_000_000)), "open")
        await one(store, Transition(expected=0, move=Move(to="open", token="b", open_ms=0)), "open long ago")
        await store.transition("time unknown", CircuitState.OPEN)
        await one(store, Transition(expected=0, move=Move(to="half-open", token="c")), "probed")
        await one(store, Lease(token="l", limit=1, ttl_ms=10_000_000), "probed")
        await connection.execute(f"update {table}_v1 set written = written - 61000 where key <> 'used'")
        await connection.execute(f"update {table}_v1 set until = until - 61000 where key = 'open long ago'")
        assert await store.prune() == 2
        rows = await (await connection.execute(f"select key from {table}_v1")).fetchall()
        assert {key for (key,) in rows} == {"used", "override", "open", "time unknown", "probed"}


async def test_a_get_of_an_unknown_circuit_writes_no_row(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        await one(store, Get())
        assert (await (await connection.execute(f"select count(*) from {table}_v1")).fetchone())[0] == 0


async def test_batches_in_opposite_order_do_not_deadlock(postgres_server: PostgresServer, table: str) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table) as store:
        await store.get_state("k")
        keys = [f"k{number}" for number in range(40)]

        async def process(number: int) -> None:
            for flush_number in range(1, 11):
                flush = Flush(
                    reporter=f"p{number}",
                    number=flush_number,
                    generation=1,
                    deltas=(Delta(0, 1, 1, 0),),
                    run=FAILED,
                )
                await store.batch([(key, flush) for key in (keys if number % 2 else reversed(keys))])

        await asyncio.gather(*(process(number) for number in range(4)))
        assert {view.run for view in await store.batch([(key, Get()) for key in keys])} == {40}


# ---- the feed ----


async def test_a_payload_that_would_not_fit_becomes_a_gap(
    postgres_server: PostgresServer, table: str
) -> None:
    namespace = "\x01" * 1024
    async with PostgresCircuitBreakerStore(
        postgres_server.dsn, table, namespace=namespace, staleness=PATIENCE
    ) as store:
        await store.get_state("k")
        seen: dict[str, Any] = {}
        watching = listening(store, seen)
        since = (await store.changes(None)).since
        async with watching:
            gaps = watching.gaps
            await store.transition("\x01" * 1024, CircuitState.OPEN)
            await until(lambda: watching.gaps > gaps)
        assert seen == {}
        assert [view.state for _, view in (await store.changes(since)).views] == ["open"]


async def test_without_listen_there_is_no_push(postgres_server: PostgresServer, table: str) -> None:
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table, listen=False) as store:
        with pytest.raises(PushUnavailableError, match="listen=False"):
            await store.watch(lambda _key, _view: None, lambda: None, lambda: None)


async def test_a_pooler_that_swallows_pushes_is_noticed(
    postgres_server: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler the LISTEN reaches another session than the one that answers; here it is taken back."""
    from switchgear.stores.postgres import feed

    async def elsewhere(connection: Any, channel: str, nonce: str) -> None:
        await connection.execute("unlisten *")

    monkeypatch.setattr(feed, "_echo", elsewhere)
    async with PostgresCircuitBreakerStore(postgres_server.dsn, table, staleness=0.1) as store:

        async def watch() -> None:
            while True:
                with suppress(TimeoutError):  # a server that takes longer than the staleness to begin
                    await store.watch(lambda _key, _view: None, lambda: None, lambda: None)

        with pytest.raises(PushUnavailableError, match="a connection pooler is in between"):
            async with asyncio.timeout(PATIENCE):
                await watch()


# ---- pools ----


async def test_an_own_pool_is_used_and_stays_open(postgres_server: PostgresServer, table: str) -> None:
    async with AsyncConnectionPool(postgres_server.dsn, min_size=1, max_size=3, open=False) as pool:
        store = PostgresCircuitBreakerStore(pool, table, staleness=PATIENCE)
        await asyncio.gather(*(store.record_failure("k") for _ in range(20)))
        seen: dict[str, Any] = {}
        async with listening(store, seen):
            await store.transition("k", CircuitState.OPEN)
            await until(lambda: "k" in seen)
        await store.aclose()
        async with pool.connection() as connection:
            assert not connection.autocommit
            await connection.execute("select 1")


async def test_a_store_keeps_to_its_connections(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    dsn = f"{postgres_server.dsn}?application_name={table}"
    async with PostgresCircuitBreakerStore(dsn, table, max_connections=2) as store:
        await asyncio.gather(*(store.record_failure(f"k{number}") for number in range(30)))
        count = "select count(*) from pg_stat_activity where application_name = %s"
        assert (await (await connection.execute(count, (table,))).fetchone())[0] in {1, 2}


async def test_connections_that_the_server_closed_are_replaced(
    postgres_server: PostgresServer, connection: Any, table: str
) -> None:
    dsn = f"{postgres_server.dsn}?application_name={table}"
    async with PostgresCircuitBreakerStore(dsn, table) as store:
        await asyncio.gather(*(store.record_failure(f"k{number}") for number in range(8)))
        stop = "select pg_terminate_backend(pid, 30000) from pg_stat_activity where application_name = %s"
        await connection.execute(stop, (table,))
        assert (await store.record_failure("k1")).failure_count == 2


def test_what_is_no_pool_is_refused() -> None:
    with pytest.raises(TypeError, match=r"AsyncConnectionPool, got psycopg_pool.pool.ConnectionPool"):
        PostgresCircuitBreakerStore(ConnectionPool("", open=False))
    with pytest.raises(TypeError, match=r"a DSN or a psycopg_pool.AsyncConnectionPool, got builtins.int"):
        PostgresCircuitBreakerStore(5)
    with pytest.raises(ValueError, match="scheme 'mysql': allowed are postgresql, postgres"):
        PostgresCircuitBreakerStore("mysql://localhost")


def test_without_psycopg_the_error_names_the_extra() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
try:
    PostgresCircuitBreakerStore("postgresql://localhost")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "switchgear[postgres]" in done.stdout


# ---- connections ----


async def test_who_comes_while_the_first_connection_is_lent_waits_for_it(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    async def prepare(connection: Any) -> None:
        made.append(connection)

    async def use(end: asyncio.Event) -> None:
        async with connections.connection():
            await end.wait()

    now, later = asyncio.Event(), asyncio.Event()
    now.set()
    connections = Connections(postgres_server.dsn, 4, prepare)
    monkeypatch.setattr(connections_module, "RETURNING", PATIENCE)
    await asyncio.gather(*(use(now) for _ in range(3)))
    assert len(made) == 1
    monkeypatch.setattr(connections_module, "RETURNING", 0.01)
    lasting = asyncio.create_task(use(later))
    await asyncio.sleep(0)
    await use(now)
    assert len(made) == 2, "a use that does not end must not hold up the others"
    later.set()
    await lasting
    await connections.aclose()
