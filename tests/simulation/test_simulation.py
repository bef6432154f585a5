"""Two thousand schedules; more by `python -m tests.simulation --count N`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.world import play

CHUNK = 50


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The circuits of all schedules have much to tell."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("start", range(0, 2000, CHUNK))
def test_every_invariant_holds(start: int) -> None:
    for seed in range(start, start + CHUNK):
        try:
            play(seed)
        except BaseException as error:
            error.add_note(f"replay it: python -m tests.simulation {seed}")
            raise


def test_the_same_seed_plays_the_same() -> None:
    from tests.simulation.loop import run
    from tests.simulation.world import Schedule

    first, second = Schedule(6), Schedule(6)
    run(first.play())
    run(second.play())
    assert [(p.name, p.asked, p.served, p.failed) for p in first.processes] == [
        (p.name, p.asked, p.served, p.failed) for p in second.processes
    ]
