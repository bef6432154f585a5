"""An event loop whose time is simulated: it jumps to the next timer when nothing else is to be done."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

ENDLESS = 3600.0
"""Simulated seconds after which something runs that should have ended."""


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # whichever the system has
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        if self.now > ENDLESS:
            raise RuntimeError("the simulation does not end")
        if timeout > 0:
            self.now += timeout
        return []  # nothing here has a socket: to ask the system would be a fifth of a schedule's time


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs production code as it is; `await asyncio.sleep(3600)` takes no time."""

    def __init__(self) -> None:
        self.jumping = _Jumping()
        super().__init__(self.jumping)
        self.slow_callback_duration = float("inf")

    def time(self) -> float:
        return self.jumping.now

    def _write_to_self(self) -> None:
        """There is one thread: nobody has to be woken."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main)
