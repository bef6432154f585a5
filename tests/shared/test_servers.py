"""Clusters, poolers, and servers that are up and refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
import pytest
import redis

from switchgear import CircuitBreakerPolicy, Switchgear
from switchgear.stores import store_from_url
from switchgear.stores.sharing import flush
from switchgear.stores.trouble import Trouble, try_store
from tests.servers.cluster import RedisCluster
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.shared import jobs
from tests.shared.backends import Backend, RedisBackend, fresh_key, state_of
from tests.shared.fleet import Fleet
from tests.shared.pgbouncer import PgBouncer
from tests.shared.scenes import counted, death, eventually, most_at_once, probes

IN_A_ROW = CircuitBreakerPolicy(failure_threshold=10**6)
IN_A_WINDOW = CircuitBreakerPolicy(failure_threshold=10**6, window=60)
DEADLY = CircuitBreakerPolicy(failure_threshold=50, window=10, reset_timeout=60)


def test_a_cluster_of_three_is_one_store(fleet: Fleet) -> None:
    with RedisCluster() as cluster:
        for policy in (IN_A_ROW, IN_A_WINDOW):
            assert counted(fleet, cluster.url, policy, 200) == 1600
        assert death(fleet, cluster.url, DEADLY, times=100).all_reject
        assert most_at_once(probes(fleet, cluster.url, 3, failing=0.5)) <= 3


def test_scripts_that_are_flushed_under_traffic_come_back(fleet: Fleet, redis_server: RedisServer) -> None:
    key = fresh_key()
    fleet.begin(jobs.fail, url=redis_server.url, key=key, policy=IN_A_ROW, times=500)
    with redis.Redis(port=redis_server.port) as client:
        for share in range(1, 8):
            eventually(lambda share=share: state_of(redis_server.url, key).failure_count >= share * 500, 30)
            client.script_flush()
    fleet.end()
    assert state_of(redis_server.url, key).failure_count == 4000


@pytest.mark.pgbouncer
def test_behind_pgbouncer_in_transaction_mode(fleet: Fleet, postgres_server: PostgresServer) -> None:
    with PgBouncer(postgres_server) as bouncer:
        for policy in (IN_A_ROW, IN_A_WINDOW):
            assert counted(fleet, bouncer.url, policy, 200) == 1600
        assert death(fleet, bouncer.url, DEADLY, times=100).all_reject  # by polling: nothing is pushed here
        assert most_at_once(probes(fleet, bouncer.url, 3, failing=0.5)) <= 3


# ---- servers that refuse ----------------------------------------------------------------------------------


@contextmanager
def read_only(backend: Backend) -> Iterator[None]:
    """Reads are answered and writes are not."""
    if isinstance(backend, RedisBackend):
        with redis.Redis(port=backend.server.port) as client:
            client.replicaof("127.0.0.1", "1")
            yield
            client.replicaof("NO", "ONE")
        return
    with _connection(backend) as connection:
        connection.execute("alter system set default_transaction_read_only = on")
        connection.execute("select pg_reload_conf()")
        eventually(lambda: _only_reads(backend), 30)
        connection.execute(TERMINATE_OTHERS)  # sessions hear of it in their own time, new ones at once
        yield
        connection.execute("set default_transaction_read_only = off")
        connection.execute("alter system reset default_transaction_read_only")
        connection.execute("select pg_reload_conf()")


def _only_reads(backend: Backend) -> bool:
    with _connection(backend) as connection:
        found = connection.execute("show default_transaction_read_only").fetchone()
        return found == ("on",)


@contextmanager
def full(backend: Backend) -> Iterator[None]:
    """No further connection is accepted, and those of others are closed."""
    if isinstance(backend, RedisBackend):
        with redis.Redis(port=backend.server.port) as client:
            before = client.config_get("maxclients")["maxclients"]
            client.config_set("maxclients", 1)
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub")
            yield
            client.config_set("maxclients", before)
        return
    with ExitStack() as stack:
        ours = [stack.enter_context(_connection(backend))]
        places = int(ours[0].execute("show max_connections").fetchone()[0])  # type: ignore[index]
        while len(ours) < places:  # the store takes a free place as quickly as we do
            ours[0].execute(TERMINATE_OTHERS)
            with suppress(psycopg.OperationalError):
                while len(ours) < places:
                    ours.append(stack.enter_context(_connection(backend)))
        yield


def _connection(backend: Backend) -> psycopg.Connection:
    return psycopg.connect(backend.url, autocommit=True, application_name=OURS)


OURS = "fills the server"
TERMINATE_OTHERS = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    f"where backend_type = 'client backend' and application_name != '{OURS}'"
)


@contextmanager
def out_of_memory(backend: Backend) -> Iterator[None]:
    """Nothing may be written that takes memory."""
    with redis.Redis(port=backend.server.port) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


def test_a_redis_without_memory_says_what_to_do_and_loses_nothing(redis_own: Backend) -> None:
    test_what_a_server_refuses_is_counted_when_it_no_longer_does(redis_own, out_of_memory)
    with out_of_memory(redis_own):
        trouble = asyncio.run(_try(redis_own.url))
    assert trouble is not None
    assert "raise its maxmemory" in trouble.advice, trouble


async def _try(url: str) -> Trouble | None:
    async with store_from_url(url) as store:
        return await try_store(store)


@pytest.fixture
def redis_own() -> Iterator[Backend]:
    with RedisServer() as server:
        yield RedisBackend(server)


@pytest.mark.parametrize("trouble", [read_only, full])
def test_what_a_server_refuses_is_counted_when_it_no_longer_does(
    own_backend: Backend, trouble: Callable[[Backend], Iterator[None]]
) -> None:
    key, gear = fresh_key(), Switchgear()
    with gear.open(own_backend.url) as store:
        breaker = gear.breaker(key, IN_A_ROW)
        assert breaker.ready(30)
        with trouble(own_backend):
            for _ in range(300):
                breaker.acquire().failure()  # never raises anything of the store's
            assert not flush(store, 5)
        eventually(lambda: flush(store, 5), 60)
        assert state_of(own_backend.url, key).failure_count == 300
