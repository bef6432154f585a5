"""A server that dies under traffic, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

from tests.shared import scenes
from tests.shared.backends import Backend
from tests.shared.fleet import Fleet

from benchmarks.shared.bars import Line, at_most, exactly


def outage(fleet: Fleet, backend: Backend) -> Iterator[Line]:
    found = scenes.outage(fleet, backend)
    yield exactly("server killed: errors of the store in calls", len(found.strange), 0)
    yield at_most("slowest call", 1000 * found.slowest, 300, "ms")
    yield at_most("back: all share again after", found.together, 5, "s")
    for older, how in ((False, "empty"), (True, "older")):
        rewound = scenes.rewind(fleet, backend, older=older)
        yield exactly(f"back {how}: processes whose open circuit closed", rewound.closed_for, 0)
        yield at_most("the old generation is back after", rewound.restored, 5, "s")
