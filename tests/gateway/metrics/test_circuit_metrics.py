"""Circuits and stores in `/metrics`: evidence, probes, and results that come too late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from switchgear.admin.server import AdminServer
from switchgear.gateway.config.model import Admin, GatewayConfig, LogConfig
from switchgear.gateway.metrics.attention import LINGERS, Attention
from switchgear.gateway.server import Gateway
from switchgear.stores import RedisCircuitBreakerStore
from switchgear.testing import ManualClock
from tests.admin.desk import HERE, metrics
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Peer,
    answering,
    ask,
    circuit,
    client_of,
    get,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio

STORE = "RedisCircuitBreakerStore"
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


@contextlib.asynccontextmanager
async def watched(*routes, clock=None, store=None) -> AsyncIterator[tuple[Gateway, AdminServer]]:
    config = GatewayConfig(routes, HERE, log=LogConfig(access=False), admin=Admin(HERE, hosts=("gateway",)))
    running = Gateway(config, store=store, **({"clock": clock} if clock else {}))
    await running.start()
    desk = AdminServer(running)
    await desk.adopt(config.admin)
    try:
        yield running, desk
    finally:
        await desk.close()
        await running.close()


class Stage:
    """An upstream whose answers wait for a word; requests to `/fail` fail at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = 0

    async def script(self, peer: Peer) -> None:
        while True:
            request = await peer.read_message()
            if " /fail " in request.start:
                await peer.send(BROKEN)
                continue
            self.waiting += 1
            await self.go.wait()
            await peer.send(OK)


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another coroutine's doing
            await asyncio.sleep(0.005)


def guarded(port: int, **policy):
    return route("/{path}", port, service={"circuit": circuit("c", **policy)})


async def test_what_a_window_holds():
    async with (
        answering(OK, OK, BROKEN) as up,
        watched(guarded(up.port, failure_threshold=9, window=60)) as (running, desk),
    ):
        for _ in range(4):
            await ask(running, get("/x"))
        seen = await metrics(desk)
    assert (seen["circuit_window_calls", "c"], seen["circuit_window_failures", "c"]) == (4, 2)


async def test_probes_and_results_of_before():
    clock, stage = ManualClock(), Stage()
    async with (
        scripted(stage.script) as up,
        watched(guarded(up.port, failure_threshold=2, reset_timeout=30, probe_timeout=60), clock=clock) as (
            running,
            desk,
        ),
        client_of(running) as early,
        client_of(running) as probe,
    ):
        await early.send(get("/slow"))
        await until(lambda: stage.waiting == 1)
        for _ in range(3):
            await ask(running, get("/fail"))
        clock.advance(30)
        await probe.send(get("/slow"))
        await until(lambda: stage.waiting == 2)
        assert (await ask(running, get("/x"))).status == 503  # the only place is taken
        during = await metrics(desk)
        stage.go.set()
        assert [(await client.read_message()).status for client in (early, probe)] == [200, 200]
        after = await metrics(desk)
    assert (during["circuit_probes_in_flight", "c"], after["circuit_probes_in_flight", "c"]) == (1, 0)
    leases = {key[2]: value for key, value in after.items() if key[0] == "circuit_probe_leases_total"}
    assert leases == {"granted": 1, "denied": 1, "expired": 0, "late": 0}
    assert (during["circuit_late_results_total", "c"], after["circuit_late_results_total", "c"]) == (0, 1)
    assert after["circuit_state", "c", "closed"] == 1
    assert after["circuit_calls_total", "c", "rejected"] == 2


async def test_a_probe_that_outlives_its_lease():
    clock, stage = ManualClock(), Stage()
    async with (
        scripted(stage.script) as up,
        watched(guarded(up.port, failure_threshold=1, reset_timeout=30, probe_timeout=60), clock=clock) as (
            running,
            desk,
        ),
        client_of(running) as probe,
    ):
        await ask(running, get("/fail"))
        clock.advance(30)
        await probe.send(get("/slow"))
        await until(lambda: stage.waiting == 1)
        clock.advance(60)
        overdue = await metrics(desk)
        stage.go.set()
        await probe.read_message()
        seen = await metrics(desk)
    assert overdue["circuit_probes_in_flight", "c"] == 0
    assert overdue["circuit_probe_leases_total", "c", "expired"] == 1
    assert seen["circuit_probe_leases_total", "c", "late"] == 1


async def test_slow_calls():
    clock, stage = ManualClock(), Stage()
    policy = {"slow_call_duration": 1.0, "slow_call_rate": 0.5}
    async with (
        scripted(stage.script) as up,
        watched(guarded(up.port, **policy), clock=clock) as (running, desk),
        client_of(running) as client,
    ):
        await client.send(get("/slow"))
        await until(lambda: stage.waiting == 1)
        clock.advance(2)
        stage.go.set()
        await client.read_message()
        await ask(running, get("/quick"))
        seen = await metrics(desk)
    slow = {key[2]: value for key, value in seen.items() if key[0] == "circuit_slow_calls_total"}
    assert slow == {"success": 1, "failure": 0, "inconclusive": 0}


async def test_a_closed_circuit_is_asked_nothing(monkeypatch):
    async with (
        answering(OK, BROKEN, OK) as up,
        watched(guarded(up.port, failure_threshold=1, reset_timeout=0.01)) as (running, _),
    ):
        guard = running._door.site.find(b"GET", b"/x").route.upstream.guard
        quick = guard.try_enter
        assert quick == guard.breaker.try_acquire
        for _ in range(2):
            await ask(running, get("/x"))
        assert guard.try_enter != quick
        await until(lambda: running.circuits["c"].snapshot().retry_after == 0)
        await ask(running, get("/x"))
        monkeypatch.setattr("switchgear.gateway.metrics.attention.monotonic", lambda: 1e12)
        await ask(running, get("/x"))
        assert guard.try_enter == quick
        assert not guard._attention.paid
    assert LINGERS > 0
    assert not Attention("c").paid


async def test_a_store_that_others_share(redis_server):
    begin = time.monotonic()
    store = RedisCircuitBreakerStore(redis_server.url, prefix="op-metrics:")
    async with (
        store,
        answering(OK, BROKEN) as up,
        watched(guarded(up.port, failure_threshold=2), store=store) as (running, desk),
    ):
        for _ in range(3):
            await ask(running, get("/x"))
        wanted = ("store_operations_total", STORE, "batch", "ok")
        async with asyncio.timeout(PATIENCE):
            while wanted not in (seen := await metrics(desk)):  # noqa: ASYNC110 - the pump tells nobody
                await asyncio.sleep(0.01)
    assert seen["store_up", STORE] == 1
    assert 0 <= seen["store_staleness_seconds", STORE] <= time.monotonic() - begin
    assert seen["store_queue_depth", STORE] >= 0
    assert seen["store_outcomes_dropped_total", STORE] == 0
    assert seen["store_operation_duration_seconds_count", STORE, "batch", "ok"] >= 1
