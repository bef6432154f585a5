"""The one background thread of a process that talks to stores, for sync and async callers alike.

Why a thread with an event loop of its own: a task on the user's loop ends with that loop, stops when it is
blocked, and does not exist in sync programs; sync clients in threads would take two threads a store. The
thread starts at the first call of a breaker with a store, never at import, and again in a forked child.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from multiprocessing import util as multiprocessing_util
from typing import Any, Final
from weakref import WeakSet

from switchgear.stores.courier import Courier
from switchgear.stores.home import Home, Letter
from switchgear.stores.view import View

logger = logging.getLogger("switchgear")

HOLDING: Final = 0.25
"""Seconds that a fork waits at most for what is under way."""
LEAVING: Final = 1.0
"""Seconds that a process waits at its end for what is still to be sent."""
STARTING: Final = 5.0

Errand = Callable[[Courier], Coroutine[Any, Any, Any]]


class Pump:
    """Carries letters between homes and stores."""

    def __init__(self) -> None:
        self._inherited: list[object] = []
        self._homes: WeakSet[Home] = WeakSet()
        self._fresh()

    def _fresh(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._couriers: dict[Home, tuple[Courier, asyncio.Task[None]]] = {}
        self._impossible = False
        self._held: Future[None] | None = None

    # ---- called from any thread ----

    def adopt(self, home: Home) -> None:
        """Serve a home from now on; nothing starts before it has something to send."""
        self._homes.add(home)

    def wake(self, home: Home) -> None:
        """A home has something to send."""
        loop = self._running()
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending and the loop is closed
                loop.call_soon_threadsafe(self._wake, home)

    def ask(self, home: Home, letter: Letter) -> Future[View]:
        """Send one letter at once; the future fails when the store does."""
        return self._submit(home, lambda courier: courier.ask(letter))

    def flush(self, home: Home, timeout: float) -> bool:
        """Send all that is pending; returns whether that was done in time."""
        return self._loop is None or _in_time(self._submit(home, Courier.flush), timeout)

    def dismiss(
        self, home: Home, close: Callable[[], Coroutine[Any, Any, None]] | None, timeout: float
    ) -> bool:
        """Flush a home, say goodbye for it, close its store if told to, and serve it no longer."""
        self._homes.discard(home)
        if self._loop is None and close is None:
            return True  # never started: nothing was ever pending
        return _in_time(self._submit(home, lambda courier: self._dismiss(courier, close)), timeout)

    # ---- the thread ----

    def _submit(self, home: Home, errand: Errand) -> Future[Any]:
        loop = self._running()
        if loop is None:
            failed: Future[Any] = Future()
            failed.set_exception(RuntimeError("no thread can run here"))
            return failed

        async def work() -> Any:
            return await errand(self._courier(home))

        return asyncio.run_coroutine_threadsafe(work(), loop)

    def _running(self) -> asyncio.AbstractEventLoop | None:
        if self._loop is None and not self._impossible:
            with self._lock:
                if self._thread is None:
                    self._start()
        return self._loop

    def _start(self) -> None:
        ready = threading.Event()
        thread = threading.Thread(target=self._run, args=(ready,), name="switchgear-pump", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._impossible = True
            logger.warning(
                "no thread can run here (%s): breakers go on by this process's own evidence", error
            )
            return
        self._thread = thread
        if _greenlets():
            # It works, by the waits that gevent has patched; but nobody interrupts a greenlet for it.
            logger.warning(
                "threads are greenlets here (gevent): circuits are shared whenever a greenlet gives way, "
                "until then breakers go on by this process's own evidence"
            )
        ready.wait(STARTING)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            self._loop = loop
            loop.call_soon(ready.set)
            loop.run_forever()

    def _courier(self, home: Home) -> Courier:
        """The home's courier, at work from now on; on the pump's loop."""
        if home not in self._couriers:
            courier = Courier(home)
            task = asyncio.get_running_loop().create_task(courier.run())
            self._couriers[home] = courier, task
            task.add_done_callback(lambda _: self._ended(home))
        return self._couriers[home][0]

    def _wake(self, home: Home) -> None:
        self._courier(home).wanted.set()

    def _ended(self, home: Home) -> None:
        del self._couriers[home]
        if home.used and home in self._homes:  # again: it was woken when its courier had just decided to go
            self._courier(home)

    async def _dismiss(self, courier: Courier, close: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        try:
            await courier.leave()
        finally:
            _, task = self._couriers.get(courier.home, (courier, None))
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
            if close is not None:
                await courier.close(close)

    # ---- the end, and forks ----

    def leave(self, *, goodbye: bool = True) -> None:
        """Send what is pending, within a bound; nobody waits for what can't be sent."""
        if self._loop is None:
            return
        errand: Errand = Courier.leave if goodbye else Courier.flush
        end = time.monotonic() + LEAVING
        leaving = [self._submit(home, errand) for home in list(self._homes)]
        for future in leaving:
            _in_time(future, max(0.0, end - time.monotonic()))

    def hold(self) -> None:
        """Before a fork: what is under way ends, and nothing begins.

        A lock inside of a library (SQLite's) that is held at that moment would be held in the child for ever.
        A store that hangs does not hold up the fork for long: then the child takes the risk.
        """
        loop = self._loop
        if loop is None or loop.is_closed() or threading.current_thread() is self._thread:
            return
        still = threading.Event()
        self._held = asyncio.run_coroutine_threadsafe(self._stand_still(still), loop)
        still.wait(HOLDING)

    async def _stand_still(self, still: threading.Event) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for home, (courier, _) in list(self._couriers.items()):
                if home.loop is None:  # otherwise it may wait for the loop of the very thread that forks
                    await stack.enter_async_context(courier.sending)
            still.set()
            await asyncio.Event().wait()

    def go_on(self) -> None:
        """In the parent, after a fork."""
        held, self._held = self._held, None
        if held is not None:
            held.cancel()

    def forked(self) -> None:
        """This is a child process now: the thread is the parent's."""
        # Kept, never closed: closing would say goodbye on the parent's sockets and take them out of its epoll
        # set. `_held` holds the task that stood still, whose end asyncio would complain of.
        self._inherited.append((self._thread, self._loop, self._couriers, self._held))
        self._fresh()
        for home in list(self._homes):
            home.forked()


def _greenlets() -> bool:
    """Whether gevent has put greenlets in place of threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _in_time(future: Future[Any], timeout: float) -> bool:
    try:
        future.result(timeout)
    except Exception as error:
        future.cancel()
        logger.warning("a store could not be flushed within %g s: %s", timeout, type(error).__name__)
        return False
    return True


PUMP: Final = Pump()


def _at_exit() -> None:
    # Twice: `atexit` runs after other threads have ended, with their last outcomes, but also after all
    # executors, which a user's store may need: these end in the order opposite to their registration.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with contextlib.suppress(RuntimeError):  # imported while the interpreter is ending
            register(lambda: PUMP.leave(goodbye=False))
    atexit.register(PUMP.leave)


def _in_child(pump: Pump) -> None:
    # The children of multiprocessing end without atexit.
    multiprocessing_util.Finalize(None, pump.leave, exitpriority=100)


# First, since all that is registered here runs in the opposite order: from its own step before a fork on,
# nothing is handed to an executor, and what stood still after it would wait for a store that can't go on.
importlib.import_module("concurrent.futures.thread")
os.register_at_fork(before=PUMP.hold, after_in_parent=PUMP.go_on, after_in_child=PUMP.forked)
multiprocessing_util.register_after_fork(PUMP, _in_child)
_at_exit()
