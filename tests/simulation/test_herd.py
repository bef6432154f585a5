"""Many processes at one store; two thousand of them by `python -m tests.simulation --herd 2000`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.herd import BACK, SLOT, herd

COUNT = 100


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_what_the_store_gets_grows_with_processes_alone_and_none_come_as_a_herd() -> None:
    found = herd(COUNT)
    assert found.healthy.batches <= 1.2 * COUNT
    assert found.healthy.operations <= 1.2 * COUNT
    assert found.away.batches + found.away.polls <= 1.2 * COUNT, "a store that is away is asked no more often"
    # Evenly spread, a slot would have 2 % of what comes in five seconds.
    assert found.back.busiest <= 4 * SLOT / BACK
    assert found.all_back <= 2.5
