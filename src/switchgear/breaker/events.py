"""Telling the world about transitions, without ever holding up a call.

Listeners run on a thread of their own, in the order of the transitions. The call that caused one waits a
moment for them (`GRACE`), so that a quick listener has done its work when that call returns; a slow one goes
on alone. Running them inline was rejected: one listener that posts to a chat would make the failing call, and
every call behind the same event loop, as slow as that chat.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from switchgear.breaker.forks import watch
from switchgear.breaker.rules import Rule
from switchgear.breaker.state import CircuitState

logger = logging.getLogger("switchgear")
logger.addHandler(logging.NullHandler())

GRACE: Final = 0.02  # seconds
LONGEST_QUEUE: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionEvent:
    """A change of a circuit's state, and why."""

    name: str
    from_state: CircuitState
    to_state: CircuitState
    generation: int
    rule: Rule
    reason: str
    """Rule and numbers in words."""
    last_failure: str | None
    retry_after: float | None
    """Seconds to the next possible probe."""
    at: float
    """Seconds since the epoch."""
    author: str | None = None
    """Who overrode the circuit."""
    shadow: bool = False
    own: bool = False
    """Whether this process's own evidence alone did it."""

    def __str__(self) -> str:
        text = f"{self.from_state.value} -> {self.to_state.value} ({self.reason}"
        if self.to_state is CircuitState.OPEN and self.last_failure:
            text += f"; last failure: {self.last_failure}"
        return text + ")"


Listener = Callable[[TransitionEvent], object]


def log_transition(event: TransitionEvent) -> None:
    """The log line of a transition: what opens or half-opens is a warning, what closes is information."""
    level = logging.INFO if event.to_state is CircuitState.CLOSED else logging.WARNING
    prefix = "shadow circuit" if event.shadow else "circuit"
    logger.log(
        level,
        "%s %s: %s",
        prefix,
        event.name,
        event,
        extra={
            "circuit": event.name,
            "from_state": event.from_state.value,
            "to_state": event.to_state.value,
            "rule": event.rule.value,
            "reason": event.reason,
            "last_failure": event.last_failure,
            "generation": event.generation,
        },
    )


class _Delivery:
    __slots__ = ("context", "done", "event", "listeners")

    def __init__(self, event: TransitionEvent, listeners: tuple[Listener, ...]) -> None:
        self.event = event
        self.listeners = listeners
        self.context = contextvars.copy_context()
        self.done = threading.Event()

    def run(self) -> None:
        for listener in self.listeners:
            try:
                self.context.run(listener, self.event)
            except BaseException:
                # Also a SystemExit: a listener ends neither the call nor the thread of all listeners.
                logger.exception("a transition listener raised", extra={"circuit": self.event.name})
        self.done.set()


class Dispatcher:
    """One thread and one bounded queue for all listeners of the process; started at the first event."""

    def __init__(self) -> None:
        self.after_fork()
        watch(self)

    def after_fork(self) -> None:
        # Its `put` may interrupt itself: a finaliser that settles a call may run in the middle of it.
        self._queue: queue.SimpleQueue[_Delivery] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def post(self, event: TransitionEvent, listeners: tuple[Listener, ...]) -> _Delivery | None:
        """Queue an event; callers hold their circuit's lock: events keep the order of the transitions."""
        if not listeners:
            return None
        if self._queue.qsize() >= LONGEST_QUEUE:
            logger.error("transition listeners are too slow: an event of circuit %s was dropped", event.name)
            return None
        delivery = _Delivery(event, listeners)
        self._queue.put(delivery)
        return delivery

    def give_time(self, delivery: _Delivery | None) -> None:
        """Let the listeners of `delivery` run for a moment; callers hold no lock."""
        if delivery is None or threading.current_thread() is self._thread:
            return  # a listener that causes a transition must not wait for itself
        if self._ensure_thread():
            delivery.done.wait(GRACE)
        else:
            self._drain()

    def _ensure_thread(self) -> bool:
        if self._thread is not None:
            return True
        if not self._starting.acquire(blocking=False):
            return True  # somebody is at it: another thread, or this very one below a finaliser
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="switchgear-listeners", daemon=True)
                thread.start()
                self._thread = thread
            return True
        except RuntimeError:  # the interpreter is ending, or threads are not allowed here
            return False
        finally:
            self._starting.release()

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait().run()

    def _work(self) -> None:
        while True:
            self._queue.get().run()


DISPATCHER: Final = Dispatcher()
