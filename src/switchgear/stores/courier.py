"""The errands of one home: sends what is due, asks for changes, listens. Runs on the pump's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, cast

from switchgear.stores.home import Home, Letter, batches
from switchgear.stores.traffic import End, RoundTrip
from switchgear.stores.view import Result, View

logger = logging.getLogger("switchgear")

T = TypeVar("T")

SENDING: Final = 1.0
"""Seconds after which a store that has not answered is taken for down."""
ROUNDS: Final = 4
"""An answer may make something urgent (a flush, then the transition that follows): sent without a pause, so
often.
"""
LAST_TRIES: Final = 8
"""At the end of a process."""
SHORTEST_RETRY: Final = 0.1
LONGEST_RETRY: Final = 30.0
"""Seconds between attempts to subscribe: a store that can't push is not to be asked all the time."""


class Courier:
    """Between one home and its store."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.wanted = asyncio.Event()
        self._since: object | None = None
        self._seconds: float = getattr(home.store, "batch_seconds", SENDING)
        # One batch at a time: a store without dedupe would count twice what is under way twice.
        self.sending = asyncio.Lock()
        """Held while anything is under way but what somebody waits for."""

    async def run(self) -> None:
        """As long as the home is used, or until cancelled. Whatever a store does, this goes on."""
        watching = asyncio.create_task(self._watch())
        try:
            while self.home.used:
                await self._wait()
                try:
                    await self._errands()
                except Exception:
                    logger.exception("switchgear's courier stumbled")
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def ask(self, letter: Letter) -> View:
        """Send one letter at once, beside all others: somebody waits for it."""
        return (await self._batch([letter], SENDING, "ask"))[0]

    async def flush(self) -> None:
        """Send all that is pending. `ConnectionError` when the store can't be reached."""
        # Nobody will send it later: a lost reply must not end it. A store that has long been away is tried
        # once.
        tries = max(1, LAST_TRIES - self.home.failures)
        while self.home.pending:
            async with self.sending:
                letters = self.home.collect(everything=True)
                sent = await self._send(letters)
            if not letters:
                return
            if not sent:
                tries -= 1
                if not tries:
                    raise ConnectionError(f"store {self.home.store_name} can't be reached")
                await asyncio.sleep(SHORTEST_RETRY * self._chance())

    async def leave(self) -> None:
        """Send all that is pending, and say goodbye."""
        await self.flush()
        async with self.sending:
            await self._send(self.home.goodbyes())

    async def close(self, aclose: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Close the store, where it lives."""
        await self._at_home(aclose)

    def _chance(self) -> float:
        return (self.home.draw() + 1) / 2

    # ---- errands ----

    async def _wait(self) -> None:
        home = self.home
        if not home.up:
            await asyncio.sleep(home.pause(self._chance()))
            return
        pause = home.tick * (0.8 + 0.2 * self._chance()) if home.pending else home.staleness
        # Not `wait_for`: until Python 3.12 that loses a cancellation which comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.wanted.wait()
        self.wanted.clear()

    async def _errands(self) -> None:
        async with self.sending:
            await self._due()

    async def _due(self) -> None:
        home = self.home
        for _ in range(ROUNDS):
            letters = home.collect()
            if not letters:
                break
            if not await self._send(letters):
                return
        if home.poll_due() and home.circuits and not await self._poll():
            return
        if home.resync_wanted and not await self._send(home.resync()):
            home.resync_wanted = True
            return
        if home.prune_due():
            await self._prune()

    async def _prune(self) -> None:
        """Remove circuits that nobody uses. What goes wrong does not matter: there will be another time."""
        prune = cast("Callable[[], Coroutine[Any, Any, object]]", getattr(self.home.store, "prune", None))
        with contextlib.suppress(Exception):
            await self._round_trip("prune", SENDING, prune)

    async def _send(self, letters: Sequence[Letter]) -> bool:
        for start, part in batches(letters):
            try:
                views = await self._batch(part, self._seconds)
            except Exception as error:
                self.home.failed(letters[start:], error)
                return False
            self.home.delivered(part, views)
        return True

    async def _poll(self) -> bool:
        home = self.home
        home.polled_at = home.now()
        try:
            changes = await self._round_trip("poll", SENDING, lambda: home.store.changes(self._since))
        except Exception as error:
            home.failed((), error)
            return False
        self._since = changes.since
        for key, view in changes.views:
            home.pushed(key, view)
        home.resync_wanted = home.resync_wanted or changes.gap
        return True

    async def _watch(self) -> None:
        """Keep a subscription; while there is none, polling is what there is."""
        home = self.home
        pause = SHORTEST_RETRY

        def alive() -> None:
            nonlocal pause
            pause = SHORTEST_RETRY
            home.pushed_at = home.now()

        def gap() -> None:
            home.resync_wanted = True
            self.wanted.set()

        while True:
            with contextlib.suppress(Exception):  # whatever it is, polling takes over and `_poll` tells
                await self._listen(gap, alive)
            home.pushed_at = float("-inf")
            await asyncio.sleep(pause * self._chance())
            pause = min(2 * pause, LONGEST_RETRY)

    # ---- the store, on its own event loop ----

    async def _batch(
        self, letters: Sequence[Letter], seconds: float, operation: RoundTrip = "batch"
    ) -> Sequence[View]:
        sent = [(letter.circuit.key, letter.sent) for letter in letters]
        views = await self._round_trip(operation, seconds, lambda: self.home.store.batch(sent))
        for view in views:
            if view.result == Result.LOST:
                self.home.traffic.conflict()
        return views

    async def _round_trip(
        self, operation: RoundTrip, seconds: float, errand: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        home = self.home
        end: End = "ok"
        started = home.now()
        try:
            async with asyncio.timeout(seconds):
                return await self._at_home(errand)
        except Exception as error:
            end = "timeout" if isinstance(error, TimeoutError) else "error"
            raise
        finally:
            home.traffic.add(operation, end, home.now() - started)

    async def _listen(self, gap: Callable[[], None], alive: Callable[[], None]) -> None:
        home = self.home
        if home.loop is None:
            await home.store.watch(home.pushed, gap, alive)
            return
        # It reports from the thread of its own event loop.
        tell = asyncio.get_running_loop().call_soon_threadsafe

        def tell_view(key: str, view: View) -> None:
            tell(home.pushed, key, view)

        def tell_gap() -> None:
            tell(gap)

        def tell_alive() -> None:
            tell(alive)

        await self._at_home(lambda: home.store.watch(tell_view, tell_gap, tell_alive))

    async def _at_home(self, errand: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Where the store's client lives: on the pump's loop, or on the one that a client of the user's is
        bound to.
        """
        loop = self.home.loop
        if loop is None:
            return await errand()
        if not loop.is_running():
            raise ConnectionError("the event loop that the store's client is bound to does not run")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(errand(), loop))
