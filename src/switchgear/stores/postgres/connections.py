"""Connections to PostgreSQL, by psycopg, which is imported only here and only when a store is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from switchgear.stores.shared import answered

T = TypeVar("T")

RETURNING: Final = 0.1
"""Seconds to wait for a connection that is lent before another is made: making one takes longer than using
it."""
SCHEMES: Final = ("postgresql", "postgres")


def checked_pool(pool_or_dsn: object) -> str:
    """The DSN, or empty for a pool that can be used; `ValueError`, `TypeError` or `ImportError` otherwise."""
    psycopg()
    if isinstance(pool_or_dsn, str):
        scheme, colon, _ = pool_or_dsn.partition("://")
        if colon and scheme not in SCHEMES:
            raise ValueError(f"PostgreSQL URL with scheme {scheme!r}: allowed are {', '.join(SCHEMES)}")
        return pool_or_dsn
    connection = getattr(pool_or_dsn, "connection", None)
    # A pool of threads has that method, too; what it gives can't be entered by `async with`.
    if not callable(connection) or not hasattr(pool_or_dsn, "__aenter__"):
        raise TypeError(
            "a PostgreSQL store takes a DSN or a psycopg_pool.AsyncConnectionPool, "
            f"got {type(pool_or_dsn).__module__}.{type(pool_or_dsn).__qualname__}"
        )
    return ""


def psycopg() -> Any:
    """The driver, or an `ImportError` that says what to install."""
    try:
        import psycopg
    except ImportError as error:
        raise ImportError("a PostgreSQL store needs psycopg: pip install 'switchgear[postgres]'") from error
    return psycopg


async def connect(dsn: str) -> Any:
    """A connection that works behind a pooler too: no prepared statements, no open transactions."""
    async with answered("PostgreSQL"):
        return await psycopg().AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=None)


async def bounded(connection: Any, work: Awaitable[T], seconds: float) -> T:
    """The result of `work` on this connection within `seconds`, or `TimeoutError` and the connection is gone.

    Cancelling a query politely asks the server and waits for its answer: too long for one that hangs.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            connection.pgconn.finish()
            task.cancel()
            await asyncio.wait({task})
    if task.cancelled():
        raise TimeoutError(f"PostgreSQL did not answer within {seconds:g} s")
    return task.result()


class Connections:
    """At most `limit` connections, each made when it is needed, prepared, and kept for the next one."""

    def __init__(self, dsn: str, limit: int, prepare: Callable[[Any], Awaitable[None]]) -> None:
        self._dsn = dsn
        self._prepare = prepare
        self._free = asyncio.Semaphore(limit)
        self._idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        self._lent = 0

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Any]:
        """Borrow one.

        After an error it is closed, and so are those that wait: they have met the same server.
        """
        async with self._free:
            self._lent += 1
            try:
                connection = await self._idle_one() or await self._fresh_one()
                try:
                    yield connection
                except BaseException:
                    connection.pgconn.finish()
                    await self.aclose()
                    raise
                self._idle.put_nowait(connection)
            finally:
                self._lent -= 1

    async def _idle_one(self) -> Any:
        """One that nobody uses; `None` where it takes less time to make one."""
        with suppress(asyncio.QueueEmpty):
            return self._idle.get_nowait()
        if self._lent > 1:  # by others
            with suppress(TimeoutError):
                return await asyncio.wait_for(self._idle.get(), RETURNING)
        return None

    async def _fresh_one(self) -> Any:
        connection = await connect(self._dsn)
        try:
            await self._prepare(connection)
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection

    async def aclose(self) -> None:
        """Close those that nobody uses."""
        with suppress(asyncio.QueueEmpty):
            while True:
                await self._idle.get_nowait().close()
