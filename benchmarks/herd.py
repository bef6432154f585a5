"""Two thousand simulated processes at one store: what it gets per second, also when all return at once."""

from __future__ import annotations

import logging

from tests.simulation.herd import herd, told

COUNT = 2000


def run() -> None:
    """Simulate and print; the figures do not depend on the machine."""
    logging.getLogger("switchgear").setLevel(logging.CRITICAL)
    print(told(COUNT, herd(COUNT)), end="")
