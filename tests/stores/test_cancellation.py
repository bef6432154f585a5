"""A cancellation that comes together with an answer is not lost."""

from __future__ import annotations

import asyncio

import pytest

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.stores.courier import Courier
from tests.stores.processes import World

pytestmark = pytest.mark.anyio
TURNS = pytest.mark.parametrize("turns", range(5))
"""Of the event loop, between the answer and the cancellation."""


@TURNS
async def test_a_courier_that_is_woken_and_cancelled_at_once_ends(turns: int) -> None:
    (process,) = World().processes_of(1, CircuitBreakerPolicy())
    courier = Courier(process.home)
    running = asyncio.create_task(courier.run())
    await asyncio.sleep(0.01)
    courier.wanted.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    _, pending = await asyncio.wait({running}, timeout=30)
    assert not pending


@TURNS
async def test_a_call_that_is_cancelled_when_its_lease_comes_ends_and_gives_it_back(turns: int) -> None:
    world = World()
    policy = CircuitBreakerPolicy(failure_threshold=1, reset_timeout=1)
    (process,) = world.processes_of(1, policy)
    process.fail(1)
    world.settle()
    world.pass_time(1.1)
    process.home.lease_timeout, process.slow_leases = 5.0, True
    asking = asyncio.create_task(process.circuit.admit_async())
    await asyncio.sleep(0.01)
    process.take_late_answers()
    for _ in range(turns):
        await asyncio.sleep(0)
    granted = asking.done()
    asking.cancel()
    await asyncio.wait({asking})
    world.settle()
    assert asking.cancelled() or granted
    assert world.view().leases == (1 if granted else 0)
