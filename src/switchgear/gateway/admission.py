"""How many requests are under way at once: a bound, and a bounded queue before it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from switchgear.gateway.answers import problem
from switchgear.gateway.timeouts import TimeoutQueue

if TYPE_CHECKING:
    import asyncio

    from switchgear.gateway.config.model import Limits
    from switchgear.gateway.proxy import Exchange

SOON: Final = (b"retry-after", b"1")
"""Nobody knows when there is room; a request takes much less than a second."""


class Admission:
    """Starts at most `limits.in_flight` exchanges at once. `limits.queue` more wait, first come first served.

    Who waits longer than for the first byte of an answer, or finds the queue full, gets a 503; no circuit
    hears of it, since no service was asked.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._queue: TimeoutQueue[Exchange] = TimeoutQueue(loop, limits.first_byte, _refuse)
        self._running: set[Exchange] = set()
        self.resize(limits)

    def resize(self, limits: Limits) -> None:
        """Other limits from now on; who waits and has a place by them starts."""
        self._limit = math.inf if limits.in_flight is None else limits.in_flight
        self._size = limits.queue
        self._queue.seconds = limits.first_byte
        while len(self._running) < self._limit and self._start_oldest():
            pass

    def enter(self, exchange: Exchange) -> None:
        """Starts an exchange now or later, or refuses it."""
        if len(self._running) < self._limit:
            self._start(exchange)
        elif len(self._queue.waiting) < self._size:
            self._queue.add(exchange)
        else:
            _refuse(exchange)

    def leave(self, exchange: Exchange) -> None:
        """An exchange is over: the next one starts."""
        if exchange in self._running:
            self._running.discard(exchange)
            if len(self._running) < self._limit:
                self._start_oldest()
        else:
            self._queue.discard(exchange)

    def _start_oldest(self) -> bool:
        """Whether there was one."""
        oldest = self._queue.pop_oldest()
        if oldest is not None:
            self._start(oldest)
        return oldest is not None

    def _start(self, exchange: Exchange) -> None:
        self._running.add(exchange)
        exchange.descend(0)


def _refuse(exchange: Exchange) -> None:
    exchange.send_answer(problem(503, "Too many requests are under way.", headers=(SOON,)))
