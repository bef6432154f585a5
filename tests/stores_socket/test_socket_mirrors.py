"""Breakers over the socket, with the real pump: two owners stand for two workers."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from switchgear import CircuitOpenError, CircuitState, Switchgear
from switchgear.stores.operations import Get
from switchgear.stores.sharing import release
from switchgear.stores.socket.store import SocketCircuitStore

pytestmark = pytest.mark.anyio

PATIENCE = 30.0


@asynccontextmanager
async def worker(path, **policy):
    """A breaker as a worker has it, with a store of its own."""
    store = SocketCircuitStore(path, staleness=0.2)
    breaker = Switchgear(store=store).breaker("b", **policy)
    try:
        assert await breaker.ready_async(PATIENCE)
        yield breaker
    finally:
        await asyncio.to_thread(release, store)


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the pump's thread sets no event
            await asyncio.sleep(0.005)


async def opened(*breakers):
    """Until all have heard that the server has opened the circuit: they reject before that, as soon as they
    learn that the threshold is reached.
    """
    await until(lambda: all((b.state, b.snapshot().generation) == ("open", 2) for b in breakers))


async def admitted(breaker):
    """A probe, as soon as the server leases one in time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(CircuitOpenError):
                return await breaker.acquire_async()
            await asyncio.sleep(0.005)


async def fail(breaker):
    (await breaker.acquire_async()).failure("no")


async def test_failures_of_two_open_one_circuit_for_both(served):
    policy = {"failure_threshold": 4}
    async with (
        worker(served.path, **policy) as one,
        worker(served.path, **policy) as two,
    ):
        for breaker in (one, two, one, two):
            await fail(breaker)
        await until(lambda: one.state is two.state is CircuitState.OPEN)
        with pytest.raises(CircuitOpenError):
            one.acquire()
        with pytest.raises(CircuitOpenError):
            two.acquire()


async def test_one_probe_for_both(served):
    policy = {"failure_threshold": 1, "reset_timeout": 30}
    async with worker(served.path, **policy) as one, worker(served.path, **policy) as two:
        await fail(one)
        await opened(one, two)
        served.now_ms += 30_000
        assert await two.ready_async(PATIENCE)
        assert await one.ready_async(PATIENCE)
        probe = await admitted(one)
        with pytest.raises(CircuitOpenError):
            await two.acquire_async()
        probe.success()
        await until(lambda: one.state is two.state is CircuitState.CLOSED)


async def test_without_the_server_they_go_on_and_its_successor_is_told(served):
    policy = {"failure_threshold": 2}
    async with (
        worker(served.path, **policy) as one,
        worker(served.path, **policy) as two,
    ):
        await fail(one)
        await fail(one)
        await opened(one, two)
        await served.stop()
        assert two.state is CircuitState.OPEN
        with pytest.raises(CircuitOpenError):
            await two.acquire_async()
        await served.restart_empty()

        async def restored():
            return (await served.coordinator.batch([("b", Get())]))[0].state

        async with asyncio.timeout(PATIENCE):
            while await restored() != "open":  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        assert one.state is two.state is CircuitState.OPEN


async def test_while_the_server_is_away_own_failures_open(served):
    policy = {"failure_threshold": 2}
    async with worker(served.path, **policy) as one:
        await served.stop()
        await fail(one)
        await fail(one)
        await until(lambda: one.state is CircuitState.OPEN)
        await served.start()
