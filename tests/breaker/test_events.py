"""Listeners: order, context, and that nothing they do reaches a call."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitState, Switchgear, TransitionEvent
from switchgear.breaker.events import LONGEST_QUEUE, Dispatcher
from switchgear.breaker.rules import Rule
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
    breaker.rebind(None)  # a new circuit: those who stay come along
    caller.open(breaker)
    assert stays.states(1) == ["open"]
    assert gone.events == []


def test_what_cannot_listen_is_named_at_once(make: Make) -> None:
    async def later(event: TransitionEvent) -> None: ...

    wrong: list[tuple[Any, str]] = [
        (5, "a listener is a function of an event, got 5"),
        (None, "a listener is a function of an event, got None"),
        (later, "a listener must be a plain function, .*later.* is none"),
    ]
    for listener, text in wrong:
        for owner in (make(), Switchgear()):
            with pytest.raises(TypeError, match=text):
                owner.on_transition(listener)


def test_a_listener_may_use_the_breaker(make: Make) -> None:
    breaker, seen = make(failure_threshold=1), Recorder()

    def again(event: TransitionEvent) -> None:
        if event.to_state == "open":
            breaker.reset()

    breaker.on_transition(again)
    breaker.on_transition(seen)
    breaker.acquire().failure()
    assert seen.states(2) == ["open", "closed"]


def test_a_listener_that_raises_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: TransitionEvent) -> None:
        raise LookupError("no such channel")

    breaker, seen = make(failure_threshold=1), Recorder()
    breaker.on_transition(broken)
    breaker.on_transition(seen)
    breaker.acquire().failure()
    seen.states(1)
    told = [record for record in caplog.records if record.exc_info]
    assert [(r.getMessage(), r.circuit) for r in told] == [("a transition listener raised", "payments")]  # type: ignore[attr-defined]
    assert "no such channel" in caplog.text


# ---- the thread of the listeners, on a dispatcher of one's own ----


EVENT = TransitionEvent(
    name="payments",
    from_state=CircuitState.CLOSED,
    to_state=CircuitState.OPEN,
    generation=2,
    rule=Rule.CONSECUTIVE,
    reason="",
    last_failure=None,
    retry_after=30.0,
    at=0.0,
)


class Threads:
    """A listener that tells which threads it was called on, and lasts until it may go."""

    def __init__(self) -> None:
        self.seen: list[threading.Thread] = []
        self.came = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, _: TransitionEvent) -> None:
        self.seen.append(threading.current_thread())
        self.came.release()
        assert self.go_on.wait(30)


def test_all_listeners_run_on_one_thread_that_holds_up_neither_the_caller_nor_the_end_of_the_process() -> (
    None
):
    dispatcher, listener = Dispatcher(), Threads()
    for delivery in [dispatcher.post(EVENT, (listener,)) for _ in range(3)]:
        dispatcher.give_time(delivery)  # the first one is still busy
    listener.go_on.set()
    for _ in range(3):
        assert listener.came.acquire(timeout=30)
    assert set(listener.seen) == {dispatcher._thread}
    assert (listener.seen[0].name, listener.seen[0].daemon) == ("switchgear-listeners", True)


def test_who_comes_while_the_thread_is_being_started_does_not_wait_for_that() -> None:
    # It may be the very thread that starts it: a finaliser that settles a call may run in the middle.
    dispatcher, listener = Dispatcher(), Threads()
    listener.go_on.set()
    delivery = dispatcher.post(EVENT, (listener,))
    with dispatcher._starting:
        caller = threading.Thread(target=dispatcher.give_time, args=(delivery,), daemon=True)
        caller.start()
        caller.join(5)
        assert not caller.is_alive()
        assert listener.seen == []
    dispatcher.give_time(delivery)
    assert listener.came.acquire(timeout=30)


def test_where_no_thread_can_be_started_the_caller_runs_the_listeners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    dispatcher, listener = Dispatcher(), Threads()
    listener.go_on.set()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    dispatcher.give_time(dispatcher.post(EVENT, (listener, listener)))
    assert listener.seen == [threading.current_thread()] * 2


def test_the_queue_is_bounded_and_what_is_dropped_is_told(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher, listener = Dispatcher(), Threads()
    posted = [dispatcher.post(EVENT, (listener,)) for _ in range(LONGEST_QUEUE + 1)]
    assert [n for n, delivery in enumerate(posted) if delivery is None] == [LONGEST_QUEUE]
    assert caplog.messages == ["transition listeners are too slow: an event of circuit payments was dropped"]
    dispatcher.give_time(None)  # nothing was queued: nothing to wait for
    assert listener.seen == []


def test_a_listener_that_exits_does_not_end_the_others(make: Make) -> None:
    breaker, seen = make(failure_threshold=1), Recorder()

    def leave(_: TransitionEvent) -> None:
        raise SystemExit(3)

    breaker.on_transition(leave)
    breaker.on_transition(seen)
    breaker.acquire().failure()
    breaker.reset()
    assert seen.states(2) == ["open", "closed"]
