"""What is particular about Redis: scripts, expiry, clusters, clients of the user's own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio

from switchgear.breaker.state import CircuitState
from switchgear.stores.operations import (
    FAILED,
    Delta,
    Flush,
    Get,
    Lease,
    Move,
    Override,
    Transition,
    Window,
)
from switchgear.stores.redis.layout import Layout
from switchgear.stores.redis.store import RedisCircuitBreakerStore
from switchgear.stores.view import PushUnavailableError, Result
from tests.servers.cluster import RedisCluster
from tests.servers.patience import PATIENCE
from tests.servers.redis import RedisServer
from tests.stores.test_shared_stores import listening, one, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
async def store(
    redis_server: RedisServer, request: pytest.FixtureRequest
) -> AsyncIterator[RedisCircuitBreakerStore]:
    prefix = f"{request.node.name}:"
    async with RedisCircuitBreakerStore(redis_server.url, prefix=prefix, staleness=PATIENCE) as store:
        yield store


def name_of(store: RedisCircuitBreakerStore, key: str = "k") -> str:
    return store._layout.names(key)[0]


async def test_a_server_that_has_lost_its_scripts_gets_them_again(
    store: RedisCircuitBreakerStore, client: Any
) -> None:
    await store.record_failure("k")
    await client.script_flush()
    assert (await store.record_failure("k")).failure_count == 2


async def test_a_flush_costs_five_commands() -> None:
    # A server of its own: another's breakers may still have something to say.
    with RedisServer() as server:
        async with (
            RedisCircuitBreakerStore(server.url) as store,
            redis.asyncio.Redis(port=server.port) as client,
        ):
            await _costs_five_commands(store, client)


async def _costs_five_commands(store: RedisCircuitBreakerStore, client: Any) -> None:
    def flush(number: int) -> Flush:
        deltas = (Delta(0, 1, 1, 0),)
        return Flush(
            reporter="a", number=number, generation=1, deltas=deltas, run=FAILED, window=Window.of(30)
        )

    await one(store, flush(1))
    await client.config_resetstat()
    await one(store, flush(2))
    commands = {name: stat["calls"] for name, stat in (await client.info("commandstats")).items()}
    commands = {name: calls for name, calls in commands.items() if not name.startswith("cmdstat_config")}
    names = ("evalsha", "time", "hgetall", "hset", "pexpire")
    assert commands == {f"cmdstat_{name}": 1 for name in names}


# ---- expiry ----

SLOWEST_MS = 20_000
"""From a write to a look at what is left of its time."""


async def test_a_closed_circuit_expires_when_idle(redis_server: RedisServer, client: Any) -> None:
    async with RedisCircuitBreakerStore(redis_server.url, prefix="expiry:", idle_ttl=50) as store:
        await store.record_failure("k")
        assert 50_000 - SLOWEST_MS < await client.pttl(name_of(store)) <= 50_000
        await one(
            store,
            Flush(reporter="a", number=1, generation=0, deltas=(Delta(0, 1, 1, 0),), window=Window.of(60)),
        )
        left = await client.pttl(name_of(store))
        assert left > 120_000 - SLOWEST_MS, "never before its window has passed"


async def test_an_open_circuit_expires_only_long_after_its_open_time(
    redis_server: RedisServer, client: Any
) -> None:
    async with RedisCircuitBreakerStore(redis_server.url, prefix="expiry:", idle_ttl=50) as store:
        await one(store, Transition(expected=0, move=Move(to="open", token="o", open_ms=1_000_000)), "open")
        assert 1_050_000 - SLOWEST_MS < await client.pttl(name_of(store, "open")) <= 1_050_000
        await store.transition("unknown time", CircuitState.OPEN)
        assert await client.pttl(name_of(store, "unknown time")) == -1
        await one(store, Override(to="disabled", token="o"), "override")
        assert await client.pttl(name_of(store, "override")) == -1


async def test_reading_an_unknown_circuit_writes_nothing(
    store: RedisCircuitBreakerStore, client: Any
) -> None:
    await store.get_state("k")
    assert [key async for key in client.scan_iter(f"{store._layout._root}*")] == []


# ---- the feed ----


async def test_a_missed_push_is_a_gap(store: RedisCircuitBreakerStore, client: Any) -> None:
    seen: dict[str, Any] = {}
    watching = listening(store, seen)
    async with watching:
        await store.transition("k", CircuitState.OPEN)
        await until(lambda: "k" in seen)
        gaps = watching.gaps
        # An entry of the log whose message never arrived: written by hand.
        await client.xadd(store._layout.names("k")[1], {"key": name_of(store), "view": '{"now": 1}'})
        await store.transition("k", CircuitState.CLOSED)
        await until(lambda: seen["k"].state == "closed")
        assert watching.gaps == gaps + 1


async def test_a_trimmed_log_is_a_gap(store: RedisCircuitBreakerStore, client: Any) -> None:
    await store.transition("k", CircuitState.OPEN)
    since = (await store.changes(None)).since
    assert not (await store.changes(since)).gap
    await store.transition("k", CircuitState.CLOSED)
    await client.xtrim(store._layout.names("k")[1], maxlen=1, approximate=False)
    assert (await store.changes(since)).gap


async def test_without_listen_there_is_no_push(redis_server: RedisServer) -> None:
    async with RedisCircuitBreakerStore(redis_server.url, listen=False) as store:
        with pytest.raises(PushUnavailableError, match="listen=False"):
            await store.watch(lambda _key, _view: None, lambda: None, lambda: None)


# ---- clients ----


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_an_own_client_is_used_and_stays_open(
    redis_server: RedisServer, decode: bool, protocol: int
) -> None:
    async with redis.asyncio.Redis.from_url(
        redis_server.url, decode_responses=decode, protocol=protocol
    ) as client:
        prefix = f"own {decode} {protocol}:"
        store = RedisCircuitBreakerStore(client, prefix=prefix, staleness=PATIENCE)
        seen: dict[str, Any] = {}
        async with listening(store, seen):
            since = (await store.changes(None)).since
            await store.transition("k", CircuitState.OPEN)
            await until(lambda: "k" in seen)
        assert [key for key, _ in (await store.changes(since)).views] == ["k"]
        await store.aclose()
        assert await client.ping()


def test_what_is_no_client_is_refused(redis_server: RedisServer) -> None:
    with (
        redis.Redis.from_url(redis_server.url) as client,
        pytest.raises(TypeError, match=r"a client of redis.asyncio .* got redis.client.Redis"),
    ):
        RedisCircuitBreakerStore(client)
    with pytest.raises(ValueError, match="scheme 'http': allowed are redis, rediss, redis"):
        RedisCircuitBreakerStore("http://localhost")


@pytest.mark.parametrize("prefix", ["a{b", "a}b", "\0"])
def test_a_prefix_that_would_choose_the_slot_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix must not contain braces"):
        Layout(prefix, "")


@pytest.mark.parametrize(
    "option",
    [
        {"staleness": 0},
        {"lease_timeout": -1},
        {"idle_ttl": float("nan")},
        {"idle_ttl": None},
        {"staleness": "1"},
    ],
)
def test_what_is_no_duration_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be a positive duration"):
        RedisCircuitBreakerStore("redis://localhost", **option)


def test_without_redis_py_the_error_names_the_extra() -> None:
    code = """
import sys
sys.modules["redis"] = None
from switchgear.stores.redis.store import RedisCircuitBreakerStore
try:
    RedisCircuitBreakerStore("redis://localhost")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "switchgear[redis]" in done.stdout


def test_making_a_store_opens_no_connection() -> None:
    RedisCircuitBreakerStore("redis://192.0.2.1:1")


# ---- cluster ----


async def test_a_cluster_of_three() -> None:
    with RedisCluster() as cluster:
        async with RedisCircuitBreakerStore(cluster.url, staleness=PATIENCE) as store:
            keys = [f"circuit {number}" for number in range(60)]
            deltas = (Delta(0, 2, 2, 0),)
            flushes = [
                (key, Flush(reporter="a", number=1, generation=1, deltas=deltas, run=FAILED)) for key in keys
            ]
            assert [view.result for view in await store.batch(flushes)] == [Result.COUNTED] * 60
            seen: dict[str, Any] = {}
            since = (await store.changes(None)).since
            async with listening(store, seen):
                await store.batch(
                    [
                        (key, Transition(expected=1, move=Move(to="open", token=key, open_ms=0)))
                        for key in keys
                    ]
                )
                await until(lambda: set(seen) == set(keys))
            assert {key for key, _ in (await store.changes(since)).views} == set(keys)
            granted = await asyncio.gather(
                *(one(store, Lease(token=f"{n}", limit=2, ttl_ms=60_000)) for n in range(5)),
                *(one(store, Get()) for _ in range(5)),
            )
            assert [view.result for view in granted[:5]] == [Result.PASS] * 5
            leases = await store.batch(
                [("circuit 7", Lease(token=f"{n}", limit=2, ttl_ms=60_000)) for n in range(5)]
            )
            assert [view.result for view in leases].count(Result.GRANTED) == 2


# ---- releases side by side ----


async def test_fields_of_a_later_release_stay(store: RedisCircuitBreakerStore, client: Any) -> None:
    await store.record_failure("k")
    await client.hset(name_of(store), mapping={"of a later release": "1", "x:later": "[2]"})
    await store.record_failure("k")
    await store.transition("k", CircuitState.OPEN)
    await store.reset("k")
    kept = await client.hmget(name_of(store), "of a later release", "x:later")
    assert kept == [b"1", b"[2]"]
