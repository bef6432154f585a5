"""A store in PostgreSQL 13 or newer, also behind a connection pooler."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

from switchgear.stores.loops import PerLoop
from switchgear.stores.operations import FAILED, Delta, Flush, Hello, Operation, Window
from switchgear.stores.postgres import feed
from switchgear.stores.postgres.connections import Connections, bounded, checked_pool, connect, psycopg
from switchgear.stores.postgres.schema import Schema, SchemaMissingError
from switchgear.stores.shared import OPERATION_SECONDS, SharedStore
from switchgear.stores.view import Changes, Listener, PushUnavailableError, View
from switchgear.stores.wire import decode_view, encode

T = TypeVar("T")

BATCH: Final = 100
SCHEMA_SECONDS: Final = 10.0
DISCONNECTED: Final = "57P"
"""SQLSTATE of a session that the server has ended; one that just broke has none."""
# No change of state: a rollback does not take back its number in the feed, and all who listen would miss it.
REHEARSAL: Final = (
    Hello(reporter="", window=Window.of(1)),
    Flush(
        reporter="",
        number=1,
        generation=1,
        window=Window.of(1),
        deltas=(Delta(0, 1, 1, 0),),
        run=FAILED,
        alarms=(1,),
    ),
)


class PostgresCircuitBreakerStore(SharedStore):
    """Circuits in PostgreSQL, shared by all who use the same database, `table` and `namespace`.

    `pool_or_dsn`: a DSN, or an own `psycopg_pool.AsyncConnectionPool`, which is then used only in its own
    event loop and never closed. Nothing is sent before the store is used; the first use makes the schema
    unless `create_schema=False`. Where a pooler stands between, `listen_dsn` leads to the server itself.
    Durations are seconds or `timedelta`.

    Raises `ImportError` without psycopg, `ValueError` for an option out of range; the methods raise psycopg's
    errors, `SchemaMissingError`, and `TimeoutError` after a second.
    """

    def __init__(
        self,
        pool_or_dsn: Any,
        table: str = "switchgear_circuits",
        namespace: str | None = None,
        *,
        staleness: float | timedelta = 1.0,
        lease_timeout: float | timedelta = 0.25,
        idle_ttl: float | timedelta = 86400,
        create_schema: bool = True,
        listen: bool = True,
        listen_dsn: str | None = None,
        max_connections: int = 4,
    ) -> None:
        super().__init__(namespace, staleness, lease_timeout, idle_ttl, max_connections)
        self.listen = listen
        self._schema = Schema(table)
        self._create_schema = create_schema
        self._dsn = checked_pool(pool_or_dsn)
        self._own_pool = None if isinstance(pool_or_dsn, str) else pool_or_dsn
        if self._own_pool is not None:
            self._bind()
        self._listen_dsn = listen_dsn or self._dsn
        self._pools = PerLoop(
            lambda: Connections(self._dsn, max_connections, self._rehearse), Connections.aclose
        )

    @property
    def _pool(self) -> Any:
        return self._pools.get() if self._own_pool is None else self._own_pool

    async def aclose(self) -> None:
        """Close the store's own connections; safe to call twice."""
        await self._pools.aclose()

    # ---- operations ----

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        """Apply the operations, each atomically; see `SharedCircuitStore`."""
        # One order of locks for all processes, so that none waits for another in a circle.
        order = sorted(range(len(operations)), key=lambda position: operations[position][0])
        views: dict[int, View] = {}
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            pairs = [[self._head + operations[i][0], encode(operations[i][1])] for i in part]
            found = await self._call("batch", json.dumps(pairs), "jsonb")
            views.update(zip(part, map(decode_view, found), strict=True))
        return [views[position] for position in range(len(operations))]

    async def changes(self, since: object | None) -> Changes:
        """Everything that changed after `since`; see `SharedCircuitStore`."""
        function = self._schema.function("changes")
        return await self._run(lambda connection: feed.changes(connection, function, self._key, since))

    async def prune(self) -> int:
        """Remove up to 1000 circuits that nobody has used for `idle_ttl`, and say how many these were."""
        return int(await self._call("prune", round(self.idle_ttl * 1000), "bigint"))

    async def _call(self, function: str, argument: object, kind: str) -> Any:
        statement = f"select {self._schema.function(function)}(%s::{kind})"

        async def work(connection: Any) -> Any:
            cursor = await connection.execute(statement, (argument,), prepare=False)
            return (await cursor.fetchone())[0]

        return await self._run(work)

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do it; once more if the connection was dead, or when the schema has been made."""
        errors = psycopg().errors
        try:
            return await self._once(work, OPERATION_SECONDS)
        except (errors.UndefinedFunction, errors.UndefinedTable, errors.InvalidSchemaName) as error:
            await self._make_schema(error)
        except errors.OperationalError as error:
            if not (error.sqlstate or DISCONNECTED).startswith(DISCONNECTED):
                raise
        return await self._once(work, OPERATION_SECONDS)

    async def _once(self, work: Callable[[Any], Awaitable[T]], seconds: float) -> T:
        async with self._pool.connection() as connection:
            return await bounded(connection, work(connection), seconds)

    async def _rehearse(self, connection: Any) -> None:
        """Have a new session plan what an outage will need, and leave no trace.

        Planning takes longer than doing, and in an outage all would do it at once, one after the other, with
        the circuit's row locked.
        """
        key = f"{self._head}rehearsal:{secrets.token_hex(8)}"
        pairs = [[key, encode(operation)] for operation in REHEARSAL]
        statement = f"select {self._schema.function('batch')}(%s::jsonb)"

        async def work() -> None:
            async with connection.transaction(force_rollback=True):
                await connection.execute(statement, (json.dumps(pairs),), prepare=False)

        with suppress(psycopg().errors.ProgrammingError, psycopg().errors.InternalError):
            # No schema, no right, a standby: what is asked for next will meet the same, and tells.
            await bounded(connection, work(), OPERATION_SECONDS)

    def _key(self, name: str) -> str | None:
        return name.removeprefix(self._head) if name.startswith(self._head) else None

    # ---- schema ----

    def schema(self) -> str:
        """The SQL that makes the store's table and functions, for those who migrate by hand."""
        return self._schema.text

    async def init_schema(self) -> None:
        """Make or upgrade the schema; nothing changes where it is there."""
        await self._once(self._schema.create, SCHEMA_SECONDS)

    async def _make_schema(self, error: Exception) -> None:
        advice = "run `switchgear store init URL` with a role that may create tables and functions"
        if not self._create_schema:
            raise SchemaMissingError(
                f"the database lacks the schema of {self._schema.channel}: {advice}"
            ) from error
        try:
            await self.init_schema()
        except (psycopg().errors.InsufficientPrivilege, psycopg().errors.InvalidSchemaName) as refused:
            raise SchemaMissingError(
                f"{self._schema.channel} can't be made ({refused.diag.message_primary}): {advice}"
            ) from refused

    # ---- feed ----

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        """Report every change as it happens; see `SharedCircuitStore`."""
        if not self.listen:
            raise PushUnavailableError("the store was made with listen=False")
        listener = Listener(on_view, on_gap, on_alive)
        async with self._listening() as connection:
            await feed.watch(connection, self._schema.channel, self.staleness, self._key, listener)

    @asynccontextmanager
    async def _listening(self) -> AsyncGenerator[Any]:
        if self._listen_dsn:
            connection = await connect(self._listen_dsn)
            try:
                yield connection
            finally:
                connection.pgconn.finish()
            return
        async with self._pool.connection() as connection:
            before = connection.autocommit
            await connection.set_autocommit(True)  # inside a transaction nothing would be delivered
            try:
                yield connection
            finally:
                if not connection.closed:
                    await connection.execute("unlisten *")
                    await connection.set_autocommit(before)
