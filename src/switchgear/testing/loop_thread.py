"""An event loop in a thread of its own, with a time that can be moved on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from switchgear.testing.clock import ManualClock
from switchgear.testing.idle_loop import IdleLoop

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds of real time after which a test is stuck."""
_SETTLING: Final = 50
"""Turns of the loop in which everything that can go on without time passing does."""
_STEP: Final = 0.1
"""Seconds by which time goes when there is nothing to do but wait."""


class LoopClock(ManualClock):
    """The time of the circuits. Moved on, it takes the loop's along: its timers that are due by then run."""

    def __init__(self) -> None:
        super().__init__()
        self._start = self.monotonic()
        self.wake: Callable[[], object] = lambda: None

    @property
    def ahead(self) -> float:
        """Seconds by which it was moved on."""
        return self.monotonic() - self._start

    def advance(self, seconds: float) -> float:
        now = super().advance(seconds)
        self.wake()
        return now


class _Loop(IdleLoop):
    # Waits are real beside: what takes a while by itself (a back-off, a user's policy) does not get stuck.
    def __init__(self, clock: LoopClock) -> None:
        self._moved = clock
        super().__init__()

    def time(self) -> float:
        return super().time() + self._moved.ahead


class LoopThread:
    """Runs a context manager and, while it is open, coroutines, all in one thread beside that of the test."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self._ready: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread: threading.Thread

    def start(self, scene: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        """Opens `scene`, and raises what that raises."""
        self._thread = threading.Thread(target=self._run, args=(scene,), name="gateway_test", daemon=True)
        self._thread.start()
        self._ready.result(PATIENCE)

    def stop(self) -> None:
        """Closes the scene, and waits for that; `TimeoutError` when it is stuck."""
        self._clock.wake = lambda: None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise TimeoutError("the gateway under test does not end")

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there, and waits for it; `TimeoutError` when it is stuck."""
        future = self.submit(work)
        try:
            return future.result(PATIENCE)
        finally:
            future.cancel()  # changes nothing once it is done

    def _run(self, scene: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        with asyncio.Runner(loop_factory=lambda: _Loop(self._clock)) as runner:
            runner.run(self._live(scene))

    async def _live(self, scene: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with scene():
                # A timer that the new time makes due is only looked at when the loop turns.
                self._clock.wake = lambda: loop.call_soon_threadsafe(lambda: None)
                self._ready.set_result(None)
                await self._stop.wait()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)


async def pass_time(clock: ManualClock, seconds: float, over: Callable[[], bool]) -> None:
    """Lets simulated time pass until `over`, or until that many seconds went by.

    In steps, between which all others do what they can: an answer that is on its way at the same time is not
    late because of it.
    """
    end = clock.monotonic() + seconds
    while (left := end - clock.monotonic()) > 0 and not over():
        for _ in range(_SETTLING):
            await asyncio.sleep(0)
        if not over():
            clock.advance(min(_STEP, left))
    await asyncio.sleep(0)
