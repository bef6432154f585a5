"""Circuits that nobody uses leave a store that does not forget by itself."""

import asyncio

import pytest

from switchgear.stores.coordinator import Coordinator
from switchgear.stores.courier import Courier
from switchgear.stores.home import PRUNE_EVERY, Home
from switchgear.testing import ManualClock

pytestmark = pytest.mark.anyio


class Forgetful(Coordinator):
    def __init__(self) -> None:
        super().__init__(lambda: 1_000_000)
        self.pruned = asyncio.Event()

    async def prune(self) -> int:
        self.pruned.set()
        raise ConnectionError("and it does not matter")


def home(store: Coordinator, clock: ManualClock) -> Home:
    return Home(
        store,
        now=clock.monotonic,
        draw=lambda: 0.0,
        new_reporter=lambda: "r",
        transport=None,  # type: ignore[arg-type]  # nothing is sent
    )


async def test_the_courier_prunes_once_an_hour():
    clock, store = ManualClock(), Forgetful()
    courier = Courier(home(store, clock))
    await courier._errands()
    assert not store.pruned.is_set()
    clock.advance(PRUNE_EVERY)
    await courier._errands()
    assert store.pruned.is_set()
    store.pruned.clear()
    await courier._errands()
    assert not store.pruned.is_set()


def test_a_store_that_forgets_by_itself_is_left_alone():
    clock = ManualClock()
    quiet = home(Coordinator(lambda: 1_000_000), clock)
    clock.advance(2 * PRUNE_EVERY)
    assert not quiet.prune_due()
