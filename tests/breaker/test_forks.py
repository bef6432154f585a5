"""What is made anew in a forked child, without a fork: `test_process.py` has that."""

from __future__ import annotations

import threading
import weakref

import pytest

from switchgear.breaker import forks
from switchgear.breaker.forks import ForkableLock, watch


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of this process go on: nothing of theirs is to be made anew."""
    monkeypatch.setattr(forks, "_KNOWN", weakref.WeakSet())


def test_whatever_is_watched_and_still_there_is_told() -> None:
    told: list[str] = []

    class Thing:
        def __init__(self, name: str) -> None:
            self.name = name

        def after_fork(self) -> None:
            told.append(self.name)

    stays, goes = Thing("stays"), Thing("goes")
    for thing in (stays, goes):
        watch(thing)
    del goes, thing
    forks._after_fork()
    assert told == ["stays"]


def test_a_lock_that_another_thread_held_is_free() -> None:
    lock, held, leave = ForkableLock(), threading.Event(), threading.Event()
    before = lock._lock

    def hold() -> None:
        with before:
            held.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    assert not lock._lock.acquire(blocking=False)
    forks._after_fork()
    with lock, lock:  # reentrant
        pass
    leave.set()
    holder.join(30)
