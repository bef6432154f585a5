"""The two servers that the guarantees are shown on, and what they tell of their load."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, Protocol, cast

import psycopg
import redis

from switchgear import CircuitBreakerSnapshot
from switchgear.stores import PostgresCircuitBreakerStore, RedisCircuitBreakerStore, store_from_url
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerProcess
from tests.servers.redis import RedisServer

SharedStore = RedisCircuitBreakerStore | PostgresCircuitBreakerStore


class Backend(Protocol):
    """A server, and how to look at it from outside."""

    name: str
    unit: str
    """What `work` counts."""
    overshoot: int
    """Calls of a process, beyond its part of the threshold, that may reach a dead dependency."""

    @property
    def server(self) -> ServerProcess: ...

    @property
    def url(self) -> str: ...

    @property
    def version(self) -> str: ...

    def remember(self) -> None:
        """Keep what the server has now."""
        ...

    def go_back(self) -> None:
        """Start the killed server as it was when it was told to remember."""
        ...

    def work(self) -> int:
        """Commands (those inside scripts counted) or transactions so far, but for what it costs to ask."""
        ...

    def connections(self) -> int:
        """Those of others."""
        ...


@dataclass(frozen=True)
class RedisBackend:
    server: RedisServer
    name: str = "redis"
    unit: str = "commands"
    overshoot: int = 4

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def version(self) -> str:
        info = self._info("server")
        valkey = info.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"

    def remember(self) -> None:
        with redis.Redis(port=self.server.port) as client:
            client.save()

    def go_back(self) -> None:
        self.server.restart()

    def work(self) -> int:
        stats = self._info("commandstats")
        asking = ("cmdstat_info", "cmdstat_client|setinfo", "cmdstat_client|list")
        return sum(command["calls"] for name, command in stats.items() if name not in asking)

    def connections(self) -> int:
        return int(self._info("clients")["connected_clients"]) - 1

    def _info(self, section: str) -> dict[str, Any]:
        with redis.Redis(port=self.server.port) as client:
            return cast(dict[str, Any], client.info(section))


@dataclass(frozen=True)
class PostgresBackend:
    server: PostgresServer
    name: str = "postgres"
    unit: str = "transactions"
    overshoot: int = 5

    @property
    def url(self) -> str:
        return self.server.dsn

    @property
    def version(self) -> str:
        return f"PostgreSQL {self._ask('show server_version')}"

    def remember(self) -> None:
        self.server.kill()
        self._copy("data", "remembered")
        self.server.restart()

    def go_back(self) -> None:
        self._copy("remembered", "data")
        self.server.restart()

    def _copy(self, source: str, target: str) -> None:
        home = self.server.directory
        shutil.rmtree(home / target, ignore_errors=True)
        subprocess.run(["cp", "-a", home / source, home / target], check=True, timeout=60)  # keeps the owner

    def work(self) -> int:
        done = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
        return int(self._ask(done))

    def connections(self) -> int:
        return int(
            self._ask(
                "select count(*) from pg_stat_activity "
                "where backend_type = 'client backend' and pid != pg_backend_pid()"
            )
        )

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


def record_failure(url: str, key: str) -> None:
    """As a process that does nothing else."""

    async def work() -> None:
        async with cast(SharedStore, store_from_url(url)) as store:
            await store.record_failure(key)

    asyncio.run(work())
