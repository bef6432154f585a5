"""The store and the way to it, with everything that can go wrong there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from switchgear.stores.coordinator import Coordinator
from switchgear.stores.operations import Lease, Operation
from switchgear.stores.view import Changes, View

EPOCH_MS = 1_800_000_000_000


class StoreServer:
    """The one store of a simulation. It may go away, come back empty or older, and its clock may step."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.shift_ms = 0
        self.up = True
        self.read_only = False
        self.paused: asyncio.Event = asyncio.Event()
        self.paused.set()
        self.coordinator = self._start()
        self._backup = dict(self.coordinator.records)
        self.history = 0
        """Grows when the store loses something: what held before need not hold any more."""

    def now_ms(self) -> int:
        return EPOCH_MS + self.shift_ms + round(self._now() * 1000)

    def restart(self, *, older: bool) -> None:
        """Come back empty, or as it was at the last `backup`."""
        records = dict(self._backup) if older else {}
        self.coordinator = self._start()
        self.coordinator.records.update(records)
        self.history += 1

    def backup(self) -> None:
        """A replica is this far."""
        self._backup = dict(self.coordinator.records)

    def trim(self) -> None:
        """Forget the log of changes."""
        self.coordinator._log.clear()

    def _start(self) -> Coordinator:
        return Coordinator(self.now_ms)


class Line:
    """One process's way to the store: delays, lost requests and replies, duplicates, batches cut short."""

    staleness = 1.0
    lease_timeout = 0.25

    def __init__(self, server: StoreServer, random: Random, faults: float) -> None:
        self._server = server
        self._random = random
        self.faults = faults
        """Share of the messages that something happens to."""
        self.cut = False

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        await self._way()
        await self._arrive()
        coordinator = self._server.coordinator
        short = len(operations) > 1 and self._happens()
        done = operations[: self._random.randrange(len(operations))] if short else operations
        views = [coordinator.apply(key, operation) for key, operation in done]
        if self._happens():  # a duplicate that arrives later
            asyncio.get_running_loop().call_later(self._random.random(), self._again, done)
        await self._way()
        if short:
            raise ConnectionError("the store died in the middle of a batch")
        return views

    async def changes(self, since: object | None) -> Changes:
        await self._way()
        await self._server.paused.wait()
        coordinator = self._server.coordinator
        token, point = since if isinstance(since, tuple) else (coordinator, None)
        found = await coordinator.changes(point if token is coordinator else None)
        await self._way()
        return Changes(found.views, (coordinator, found.since), found.gap or token is not coordinator)

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        await self._way()
        coordinator = self._server.coordinator
        loop = asyncio.get_running_loop()

        def pushed(key: str, view: View) -> None:
            if not self.cut and not self._happens():
                loop.call_later(self._delay(), on_view, key, view)

        coordinator._subscribers.append(pushed)
        try:
            on_gap()
            while self._server.coordinator is coordinator and self._server.up and not self.cut:
                on_alive()
                await asyncio.sleep(0.5)
        finally:
            coordinator._subscribers.remove(pushed)
        raise ConnectionError("the subscription is lost")

    def _again(self, operations: Sequence[tuple[str, Operation]]) -> None:
        # A lease is asked for once: its process takes silence for a refusal and gives it back.
        repeated = [(key, operation) for key, operation in operations if not isinstance(operation, Lease)]
        for key, operation in repeated if self._server.up and not self._server.read_only else ():
            self._server.coordinator.apply(key, operation)

    async def _arrive(self) -> None:
        await self._server.paused.wait()
        if self._server.read_only:
            raise ConnectionError("You can't write against a read only replica")

    async def _way(self) -> None:
        await asyncio.sleep(self._delay())
        if self.cut or not self._server.up or self._happens():
            raise ConnectionError("lost on the way")

    def _delay(self) -> float:
        slow = self._random.random() < self.faults
        return self._random.random() * (2.0 if slow else 0.01)

    def _happens(self) -> bool:
        return self._random.random() < self.faults
