"""The circuits of several homes in the memory of one process: the mechanism behind a store's interface."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from switchgear.stores.mechanism import apply
from switchgear.stores.operations import Get, Operation
from switchgear.stores.record import CLOSED, Record
from switchgear.stores.view import Changes, View

LOG: Final = 1000
"""Changes that are kept for who polls."""
ALIVE: Final = 0.5
"""Seconds between two signs of life to a subscriber."""


class Coordinator:
    """A `SharedCircuitStore` in this process, for one event loop. `now_ms`: its clock.

    At most `limit` circuits: closed ones without an override go first, those that were used least recently.
    """

    def __init__(self, now_ms: Callable[[], int], *, limit: int = 100_000) -> None:
        self.records: dict[str, Record] = {}
        self._now_ms = now_ms
        self._limit = limit
        self._log: deque[tuple[int, str]] = deque(maxlen=LOG)
        self._last = 0
        self._subscribers: list[Callable[[str, View], None]] = []

    def apply(self, key: str, operation: Operation) -> View:
        """One operation, at once. A look at an unknown circuit leaves it unknown."""
        before = self.records.pop(key, None)
        known = before or Record()
        after, view, announce = apply(known, operation, self._now_ms())
        if before is not None or after is not known:
            self._make_room()
            self.records[key] = after  # the end of the dict: used last
        if announce:
            self._announce(key, view)
        return view

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        """Apply the operations; see `SharedCircuitStore`."""
        return [self.apply(key, operation) for key, operation in operations]

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        """Report every change as it happens; see `SharedCircuitStore`."""
        self._subscribers.append(on_view)
        try:
            on_gap()
            while True:
                on_alive()
                await asyncio.sleep(ALIVE)
        finally:
            self._subscribers.remove(on_view)

    async def changes(self, since: object | None) -> Changes:
        """Everything that changed after `since`; see `SharedCircuitStore`."""
        if since is None:
            return Changes((), self._last, gap=False)
        # A point of another coordinator's, or one that has left the log: what came after it, nobody knows.
        seen = since if isinstance(since, int) and since <= self._last else -1
        keys = dict.fromkeys(key for number, key in self._log if number > seen)
        views = tuple((key, self.apply(key, Get())) for key in keys)
        return Changes(views, self._last, gap=seen < self._last - len(self._log))

    def _announce(self, key: str, view: View) -> None:
        self._last += 1
        self._log.append((self._last, key))
        for subscriber in self._subscribers:
            subscriber(key, view)

    def _make_room(self) -> None:
        if len(self.records) < self._limit:
            return
        for key, record in self.records.items():
            if record.state == CLOSED and not record.override:
                del self.records[key]
                return
