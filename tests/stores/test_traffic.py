"""Round trips to a store are counted by their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from switchgear import CircuitBreakerPolicy
from switchgear.stores import operations as ops
from switchgear.stores.coordinator import Coordinator
from switchgear.stores.courier import Courier
from switchgear.stores.home import Home, Letter
from switchgear.stores.leased import LeasedCircuit
from switchgear.stores.view import View
from switchgear.testing import ManualClock

pytestmark = pytest.mark.anyio


class Moody(Coordinator):
    """Answers, breaks or hangs."""

    batch_seconds = 0.01

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(lambda: 1_000_000)
        self.mood = "ok"
        self._clock = clock

    async def batch(self, operations: Sequence[tuple[str, ops.Operation]]) -> list[View]:
        self._clock.advance(0.2)
        if self.mood == "broken":
            raise ConnectionError
        if self.mood == "hanging":
            await asyncio.sleep(60)
        return await super().batch(operations)


async def test_each_end_is_counted_with_its_duration():
    clock = ManualClock()
    store = Moody(clock)
    home = Home(
        store,
        now=clock.monotonic,
        draw=lambda: 0.0,
        new_reporter=lambda: "r",
        transport=None,  # type: ignore[arg-type]  # nothing is sent
    )
    circuit = LeasedCircuit("a", "a", CircuitBreakerPolicy(), clock, home)
    courier = Courier(home)
    for mood in ("ok", "broken", "hanging"):
        store.mood = mood
        get = ops.Get()
        await courier._send([Letter(circuit, get, get)])
    counts = {place: count for place, count in home.traffic.counts() if count}
    assert counts == {("batch", "ok"): 1, ("batch", "error"): 1, ("batch", "timeout"): 1}
    assert dict(home.traffic.durations())["batch", "error"][-1] == pytest.approx(0.2)


async def test_a_decision_that_came_too_late_is_a_conflict():
    clock = ManualClock()
    store = Moody(clock)
    home = Home(
        store,
        now=clock.monotonic,
        draw=lambda: 0.0,
        new_reporter=lambda: "r",
        transport=None,  # type: ignore[arg-type]  # nothing is sent
    )
    circuit = LeasedCircuit("a", "a", CircuitBreakerPolicy(), clock, home)
    late = ops.Transition(expected=7, move=ops.Move(to="open", token="t"))
    await Courier(home)._send([Letter(circuit, late, late)])
    assert dict(home.traffic.counts())["transition", "conflict"] == 1
