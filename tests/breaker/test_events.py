"""Listeners: order, context, and that nothing they do reaches a call."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

from switchgear import CircuitBreaker, TransitionEvent
from switchgear.testing import ManualClock
from tests.breaker.conftest import SyncCaller

Make = Callable[..., CircuitBreaker]


class Recorder:
    """A listener that can be waited for."""

    def __init__(self) -> None:
        self.events: list[TransitionEvent] = []
        self._came = threading.Condition()

    def __call__(self, event: TransitionEvent) -> None:
        with self._came:
            self.events.append(event)
            self._came.notify_all()

    def states(self, count: int) -> list[str]:
        """The states of the first `count` events, waited for."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.events) >= count, 30)
        return [event.to_state.value for event in self.events]


def test_events_come_in_the_order_of_the_transitions(
    make: Make, clock: ManualClock, caller: SyncCaller
) -> None:
    breaker, seen = make(failure_threshold=1), Recorder()
    breaker.on_transition(seen)
    for _ in range(20):
        caller.open(breaker)
        clock.advance(30)
        caller.call(breaker)
    assert seen.states(60) == ["open", "half-open", "closed"] * 20
    assert [event.generation for event in seen.events] == list(range(2, 62))


def test_an_event_says_all(make: Make, caller: SyncCaller) -> None:
    breaker, seen = make(failure_threshold=2), Recorder()
    breaker.on_transition(seen)
    caller.open(breaker)
    seen.states(1)
    event = seen.events[0]
    assert (event.name, event.from_state, event.to_state, event.rule) == (
        "payments",
        "closed",
        "open",
        "consecutive",
    )
    assert (event.reason, event.last_failure) == ("2 consecutive failures (threshold 2)", "Boom: down")
    assert (event.retry_after, event.at, event.author, event.shadow, event.own) == (
        30.0,
        1000.0,
        None,
        False,
        False,
    )


def test_a_listener_sees_the_context_of_the_call(make: Make) -> None:
    request = contextvars.ContextVar("request", default="none")
    breaker, seen, came = make(failure_threshold=1), [], threading.Event()
    breaker.on_transition(lambda _: (seen.append(request.get()), came.set()))
    request.set("r-42")
    breaker.acquire().failure()
    assert came.wait(30)
    assert seen == ["r-42"]


def test_a_listener_may_leave(make: Make, caller: SyncCaller) -> None:
    breaker, gone, stays = make(failure_threshold=1), Recorder(), Recorder()
    leave = breaker.on_transition(gone)
    breaker.on_transition(stays)
    leave()
    leave()
    caller.open(breaker)
    assert stays.states(1) == ["open"]
    assert gone.events == []


def test_a_listener_may_use_the_breaker(make: Make) -> None:
    breaker, seen = make(failure_threshold=1), Recorder()

    def again(event: TransitionEvent) -> None:
        if event.to_state == "open":
            breaker.reset()

    breaker.on_transition(again)
    breaker.on_transition(seen)
    breaker.acquire().failure()
    assert seen.states(2) == ["open", "closed"]


def test_a_listener_that_exits_does_not_end_the_others(make: Make) -> None:
    breaker, seen = make(failure_threshold=1), Recorder()

    def leave(_: TransitionEvent) -> None:
        raise SystemExit(3)

    breaker.on_transition(leave)
    breaker.on_transition(seen)
    breaker.acquire().failure()
    breaker.reset()
    assert seen.states(2) == ["open", "closed"]
