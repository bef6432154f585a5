"""Clients and pools that are the user's own: bound to an event loop, and to a Sentinel at times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio
from psycopg_pool import AsyncConnectionPool
from redis.asyncio.sentinel import Sentinel

from switchgear import (
    CircuitBreaker,
    CircuitBreakerPolicy,
    CircuitBreakerSnapshot,
    CircuitOpenError,
)
from switchgear.stores import PostgresCircuitBreakerStore, RedisCircuitBreakerStore
from switchgear.stores.sharing import release
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.sentinel import RedisSentinel
from tests.shared.backends import Backend, RedisBackend, fresh_key, state_of
from tests.shared.scenes import open_circuit

pytestmark = pytest.mark.anyio

POLICY = CircuitBreakerPolicy(failure_threshold=2, reset_timeout=0.3)


@asynccontextmanager
async def own_store(backend: Backend) -> AsyncIterator[Any]:
    """A store with a client of this test's, in this event loop."""
    if isinstance(backend, RedisBackend):
        async with redis.asyncio.Redis.from_url(backend.url) as client:
            yield RedisCircuitBreakerStore(client)
    else:
        async with AsyncConnectionPool(backend.url, min_size=1, max_size=4, open=False) as pool:
            yield PostgresCircuitBreakerStore(pool)


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        await asyncio.sleep(0.02)


async def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        (await breaker.acquire_async()).failure("no route to host")


async def test_breakers_share_by_it(backend: Backend) -> None:
    key = fresh_key()
    async with own_store(backend) as store:
        breaker = CircuitBreaker(key, POLICY, store=store)
        try:
            assert await breaker.ready_async(30)
            await fail(breaker, 2)
            while (await asyncio.to_thread(state_of, backend.url, key)).state != "open":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            async with asyncio.timeout(30):
                while breaker.state != "closed":
                    with suppress(CircuitOpenError):  # also while the store is slow to lease a probe
                        (await breaker.acquire_async()).success()
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(open_circuit, backend.url, key)
            await until(lambda: breaker.state == "open")  # pushed, or asked for
        finally:
            await asyncio.to_thread(release, store)


async def test_a_sync_call_in_its_event_loop_would_wait_for_itself(backend: Backend) -> None:
    async with own_store(backend) as store:
        breaker = CircuitBreaker(fresh_key(), POLICY, store=store)
        try:
            with pytest.raises(RuntimeError, match="acquire_async"):
                breaker.acquire()
            assert await asyncio.to_thread(lambda: breaker.acquire().cancel()) is None
        finally:
            await asyncio.to_thread(release, store)


def test_made_before_there_is_a_loop_it_belongs_to_the_first_that_uses_it(redis_server: RedisServer) -> None:
    """As the client of a module does; a pool is opened in its loop."""
    client = redis.asyncio.Redis.from_url(redis_server.url)
    store = RedisCircuitBreakerStore(client)
    breaker = CircuitBreaker(fresh_key(), POLICY, store=store)

    async def live() -> None:
        assert await breaker.ready_async(30)
        await fail(breaker, 2)
        await until(lambda: breaker.circuit._home.up and breaker.snapshot().generation > 1)
        await asyncio.to_thread(release, store)
        await client.aclose()

    asyncio.run(live())
    assert breaker.state == "open"


def test_a_loop_that_has_ended_is_like_a_store_that_is_away(postgres_server: PostgresServer) -> None:
    async def live() -> CircuitBreaker:
        async with AsyncConnectionPool(postgres_server.dsn, min_size=1, open=False) as pool:
            store = PostgresCircuitBreakerStore(pool, listen=False)
            breaker = CircuitBreaker(fresh_key(), replace(POLICY, reset_timeout=60), store=store)
            assert await breaker.ready_async(30)
            return breaker

    breaker = asyncio.run(live())
    for _ in range(2):
        breaker.acquire().failure("no route to host")
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError):
        breaker.acquire()


# ---- Sentinel ----


async def test_a_replica_that_a_sentinel_promotes_goes_on_with_the_circuits() -> None:
    """Its primary dies; what was open is open, with the generation it had."""
    with (
        RedisServer() as primary,
        RedisServer("--replicaof", "127.0.0.1", str(primary.port)) as replica,
        RedisSentinel(primary) as watching,
    ):
        sentinel = Sentinel([("127.0.0.1", watching.port)], socket_timeout=0.5)
        await _replicated(sentinel)
        async with sentinel.master_for(watching.name, socket_timeout=0.5) as client:
            store = RedisCircuitBreakerStore(client)
            breaker = CircuitBreaker("x", replace(POLICY, reset_timeout=60), store=store)
            assert await breaker.ready_async(30)
            await fail(breaker, 2)
            await until(lambda: breaker.snapshot().generation == 2)
            await until(lambda: contents(replica) == contents(primary))
            primary.kill()
            await sentinel.sentinels[0].sentinel_set(watching.name, "down-after-milliseconds", 300)
            await until(lambda: not breaker.circuit._home.up)
            with pytest.raises(CircuitOpenError):
                await breaker.acquire_async()
            await until(lambda: breaker.circuit._home.up, 60)
            found = await promoted(store)
            assert (found.state, found.generation, breaker.state) == ("open", 2, "open")
            await asyncio.to_thread(release, store)
        for watcher in sentinel.sentinels:
            await watcher.aclose()


async def promoted(store: RedisCircuitBreakerStore) -> CircuitBreakerSnapshot:
    """What it reads as soon as the Sentinel knows of a primary, and that one of its being one."""
    async with asyncio.timeout(60):
        while True:
            with suppress(redis.RedisError, TimeoutError):
                return await store.get_state("x")
            await asyncio.sleep(0.05)


def contents(server: RedisServer) -> dict[bytes, bytes]:
    """All that a server has, but for when it expires."""
    with redis.Redis(port=server.port) as client:
        return {key: client.dump(key) for key in client.scan_iter()}


async def _replicated(sentinel: Sentinel) -> None:
    async with asyncio.timeout(30):
        while True:
            with suppress(redis.RedisError, KeyError):
                found = await sentinel.sentinels[0].sentinel_master(RedisSentinel.name)
                if found["num-slaves"]:
                    return
            await asyncio.sleep(0.05)
