"""Health and readiness: they tell of the process, and of nothing that it needs."""

import asyncio

import pytest

from tests.admin.desk import operated
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


async def test_a_dead_upstream_and_an_open_circuit_make_nobody_unready():
    guard = circuit("c", failure_threshold=1)
    async with operated(route("/", 9, service={"circuit": guard}), hosts=("gateway",)) as (running, desk):
        assert [(await ask(running, get("/"))).status for _ in range(2)] == [502, 503]
        for path in ("/healthz", "/readyz"):
            assert (await ask(desk, get(path))).status == 200


async def test_while_it_drains_it_is_healthy_and_not_ready():
    asked, answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        asked.set()
        await answer.wait()
        await peer.send(OK)

    async with (
        scripted(script) as up,
        operated(route("/", up.port), hosts=("gateway",)) as (running, desk),
        client_of(running) as client,
    ):
        await client.send(get("/"))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        drain = asyncio.create_task(running.drain())
        await asyncio.sleep(0)
        assert (await ask(desk, get("/healthz"))).status == 200
        leaving = await ask(desk, get("/readyz"))
        assert (leaving.status, leaving.get("cache-control")) == (503, "no-store")
        answer.set()
        assert (await client.read_message()).body == b"ok"
        client.close()
        await asyncio.wait_for(drain, PATIENCE)


async def test_the_public_listener_tells_too_if_asked_to_and_routes_win():
    async with answering(OK) as up:
        async with operated(route("/readyz", up.port, method="POST"), health=True) as (running, _):
            assert (await ask(running, get("/healthz"))).body == b"ok\n"
            assert (await ask(running, get("/readyz"))).status == 405
            assert (await ask(running, get("/metrics"))).status == 404
        async with operated(route("/{any}", up.port), health=True) as (running, _):
            assert (await ask(running, get("/healthz"))).body == b"ok"
        async with operated(route("/x", up.port)) as (running, _):
            assert (await ask(running, get("/healthz"))).status == 404
