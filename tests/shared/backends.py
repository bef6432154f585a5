"""The two servers that the guarantees are shown on, and what they tell of their load."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Protocol, cast

import psycopg
import redis

from switchgear import CircuitBreakerSnapshot
from switchgear.stores import PostgresCircuitBreakerStore, RedisCircuitBreakerStore, store_from_url
from switchgear.stores.operations import Operation
from switchgear.stores.view import View
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

SharedStore = RedisCircuitBreakerStore | PostgresCircuitBreakerStore


class Backend(Protocol):
    """A server, and how to look at it from outside."""

    name: str
    overshoot: int
    """Calls of a process, beyond its part of the threshold, that may reach a dead dependency."""

    @property
    def url(self) -> str: ...

    @property
    def version(self) -> str: ...

    def work(self) -> int:
        """Commands (those inside scripts counted) or transactions so far, but for what it costs to ask."""
        ...

    def connections(self) -> int:
        """Those of others."""
        ...


@dataclass
class RedisBackend:
    server: RedisServer
    name: str = "redis"
    overshoot: int = 4

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def version(self) -> str:
        info = self._info("server")
        return f"{'Valkey' if 'valkey_version' in info else 'Redis'} {info.get('valkey_version', info['redis_version'])}"

    def work(self) -> int:
        stats = self._info("commandstats")
        asking = ("cmdstat_info", "cmdstat_client|setinfo", "cmdstat_client|list")
        return sum(command["calls"] for name, command in stats.items() if name not in asking)

    def connections(self) -> int:
        return int(self._info("clients")["connected_clients"]) - 1

    def _info(self, section: str) -> dict[str, Any]:
        with redis.Redis(port=self.server.port) as client:
            return cast(dict[str, Any], client.info(section))


@dataclass
class PostgresBackend:
    server: PostgresServer
    name: str = "postgres"
    overshoot: int = 5

    @property
    def url(self) -> str:
        return self.server.dsn

    @property
    def version(self) -> str:
        return f"PostgreSQL {self._ask('show server_version')}"

    def work(self) -> int:
        # A session reports what it has done with a delay of its own; `pg_stat_database` counts all databases' sessions.
        done = "select sum(xact_commit + xact_rollback) from pg_stat_database where datname = current_database()"
        return int(self._ask(done))

    def connections(self) -> int:
        others = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid != pg_backend_pid()"
        return int(self._ask(others))

    def _ask(self, statement: str) -> Any:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            row = connection.execute(statement).fetchone()
            assert row is not None
            return row[0]


def fresh_key() -> str:
    """One that no other test uses."""
    return f"shared-{secrets.token_hex(4)}"


def state_of(url: str, key: str) -> CircuitBreakerSnapshot:
    """What a process that has never seen the circuit reads."""

    async def read() -> CircuitBreakerSnapshot:
        async with cast(SharedStore, store_from_url(url)) as store:
            return await store.get_state(key)

    return asyncio.run(read())


def apply(url: str, key: str, operation: Operation) -> View:
    """Do one operation as a process of its own."""

    async def work() -> View:
        async with cast(SharedStore, store_from_url(url)) as store:
            return (await store.batch([(key, operation)]))[0]

    return asyncio.run(work())
