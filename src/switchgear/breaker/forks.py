"""What has to be made anew in a forked child.

Only the thread that forked lives on there. A lock that another one held would be held for ever.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final, Protocol


class Forkable(Protocol):
    """Something that a forked child must put right before it is used."""

    def after_fork(self) -> None:
        """Called in the child, where no other thread runs yet."""
        ...


_KNOWN: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()


def watch(thing: Forkable) -> None:
    """Call `thing.after_fork()` in every child, as long as `thing` lives."""
    _KNOWN.add(thing)


class ForkableLock:
    """A reentrant lock that is free in a forked child, whoever held it at the moment of the fork."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self.after_fork()
        watch(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()


def _after_fork() -> None:
    for thing in list(_KNOWN):
        thing.after_fork()


os.register_at_fork(after_in_child=_after_fork)
