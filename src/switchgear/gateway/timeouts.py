"""Timeouts at the price of two dict operations each.

All waits of one kind last equally long, so they end in the order in which they began: a dict that keeps its
order is the whole queue, and one timer of the loop, set for the oldest wait, serves all of them. A timer per
request would cost more than routing it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

T = TypeVar("T", bound="Hashable")


class TimeoutQueue(Generic[T]):
    """Waits of `seconds` each; `expire(item)` is called for those that are not discarded before."""

    __slots__ = ("_expire", "_loop", "_time", "_timer", "seconds", "waiting")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, expire: Callable[[T], object]
    ) -> None:
        self.seconds = seconds
        self._loop = loop
        self._time = loop.time
        self._expire = expire
        self.waiting: dict[T, float] = {}
        """Who waits, the oldest first, and until when; only to be read."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: T) -> None:
        """Starts a wait. An item waits once at most: it is discarded before it is added again."""
        time = self._time
        self.waiting[item] = end = time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._sweep)

    def discard(self, item: T) -> None:
        """Ends a wait; nothing happens if there is none."""
        self.waiting.pop(item, None)

    def renew(self, item: T) -> None:
        """Starts a wait that is under way again, or one that is not."""
        self.waiting.pop(item, None)
        self.add(item)

    def pop_oldest(self) -> T | None:
        """Ends the wait that began first, and returns who waited; `None` if nobody does."""
        oldest = next(iter(self.waiting), None)
        if oldest is not None:
            del self.waiting[oldest]
        return oldest

    def pop_newest(self) -> T | None:
        """Ends the wait that began last, and returns who waited; `None` if nobody does."""
        return self.waiting.popitem()[0] if self.waiting else None

    def close(self) -> None:
        """Ends all waits."""
        self.waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        now = self._time()
        expired: list[T] = []
        for item, end in self.waiting.items():
            if end > now:
                self._timer = self._loop.call_at(end, self._sweep)
                break
            expired.append(item)
        for item in expired:
            # One that expires may end the wait of another one.
            if self.waiting.pop(item, None) is not None:
                self._expire(item)
