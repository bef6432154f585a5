"""The short way of errors that tell of nothing but a failure, against judging every one with care."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, CircuitState
from switchgear.breaker.circuit import Grant
from switchgear.breaker.local import LocalCircuit
from switchgear.breaker.outcome import is_bare
from switchgear.breaker.permit import settle_error, settle_judged
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller


class Marked(Boom):
    """Its class has what may be a status."""

    status: object = None


class Computed(Boom):
    """Its status depends on itself, and on no attribute of that name."""

    @property
    def status_code(self) -> int:
        return int(str(self))


class Dynamic(Boom):
    def __getattr__(self, name: str) -> object:
        if name == "status" and self.args[0].isdigit():
            return int(self.args[0])
        raise AttributeError(name)


class Guarding(Boom):
    def __getattribute__(self, name: str) -> Any:
        if name == "status":
            return int(super().__getattribute__("args")[0])
        return super().__getattribute__(name)


class Broken(Boom):
    @property
    def response(self) -> object:
        raise RuntimeError("not read yet")


class Mute(Boom):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class MuteArgument:
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Answer:
    def __init__(self, status_code: object) -> None:
        self.status_code = status_code


def with_attributes(error: Exception, **attributes: object) -> Exception:
    """As some clients do, to any exception."""
    vars(error).update(attributes)
    return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "one text": lambda: Boom("down"),
    "built in": lambda: ValueError("down"),
    "no text": Boom,
    "two arguments": lambda: Boom("down", 3),
    "an object": lambda: Boom({"code": 3}),
    "an object that cannot be printed": lambda: Boom(MuteArgument()),
    "mute": lambda: Mute("down"),
    "of the system": lambda: FileNotFoundError(2, "no such file", "a.txt"),
    "its own __str__": lambda: KeyError("name"),
    "at the limit": lambda: Boom("x" * 400),
    "long": lambda: Boom("see http://user:secret@host " * 20),
    "marked by nothing": lambda: with_attributes(Boom("down"), response=None, status_code=None, status=None),
    "other attributes": lambda: with_attributes(Boom("down"), request=object()),
    "answered": lambda: with_attributes(Boom("gone"), response=Answer(404)),
    "answered, with a status": lambda: with_attributes(ValueError("gone"), status=404),
    "refused": lambda: with_attributes(Boom("no"), status_code=503),
    "no status": lambda: with_attributes(Boom("no"), status="404"),
    "noted": lambda: with_attributes(Boom("down"), __notes__=["status 404"]),
    "class attribute": lambda: Marked("down"),
    "class attribute, set": lambda: with_attributes(Marked("gone"), status=404),
    "computed": lambda: Computed("404"),
    "computed, refused": lambda: Computed("503"),
    "computed from no number": lambda: Computed("down"),
    "dynamic": lambda: Dynamic("404"),
    "dynamic, none": lambda: Dynamic("down"),
    "guarding": lambda: Guarding("404"),
    "a property that raises": lambda: Broken("down"),
    "a rejection": lambda: CircuitOpenError("other", CircuitState.OPEN, 1.0),
    "a cancellation": asyncio.CancelledError,
    "an exit": SystemExit,
    "an interruption": KeyboardInterrupt,
}

POLICIES: dict[str, dict[str, Any]] = {
    "default": {"failure_threshold": 6},
    "window": {"failure_threshold": 6, "failure_rate": 0.9, "window": 60},
    "slow": {"slow_call_rate": 0.9, "slow_call_duration": 2},
    "shadow": {"failure_threshold": 3, "mode": "shadow"},
    "types": {"failure_on": (Boom, OSError), "ignore": Marked},
    "predicate": {"failure_on": lambda error: bool(str(error))},
    "every status": {"failure_statuses": None},
    "asked": {"retry_after_from": lambda error: 5},
}


@pytest.mark.parametrize("fields", POLICIES.values(), ids=POLICIES)
@settings(max_examples=60)
@given(names=st.lists(st.sampled_from(list(ERRORS)), max_size=30))
def test_the_short_way_leaves_behind_what_care_does(fields: dict[str, Any], names: list[str]) -> None:
    clock, policy = ManualClock(), CircuitBreakerPolicy(**fields)
    quick, careful = (LocalCircuit("payments", policy, clock) for _ in range(2))
    for name in names:
        clock.advance(1)
        grants = quick.era, careful.era
        if grants[0] is None or grants[1] is None:
            return
        report(settle_error, quick, grants[0], ERRORS[name]())
        report(settle_judged, careful, grants[1], ERRORS[name]())
        assert left_behind(quick) == left_behind(careful), name


def report(settle: Callable[..., None], circuit: LocalCircuit, grant: Grant, error: BaseException) -> None:
    with suppress(RuntimeError):  # of a predicate that can't print it
        settle(circuit, grant, circuit.now(), error)


def left_behind(circuit: LocalCircuit) -> tuple[Any, ...]:
    failure = circuit._last_failure, circuit._last_failure_at
    return failure, circuit.snapshot(), circuit._cancelled, circuit.calm is circuit.era


@pytest.mark.parametrize(
    "mark",
    [{"status": 404}, {"status_code": 404}, {"response": Answer(404)}],
    ids=lambda mark: next(iter(mark)),
)
def test_an_error_of_a_familiar_type_may_still_carry_a_status(
    make: Callable[..., CircuitBreaker], caller: SyncCaller, mark: dict[str, object]
) -> None:
    breaker = make()
    caller.fail(breaker, 2)
    assert breaker.circuit.familiar is Boom
    with pytest.raises(Boom):
        caller.call(breaker, error=with_attributes(Boom("gone"), **mark))
    assert breaker.snapshot().failure_count == 0
    caller.fail(breaker)
    assert breaker.snapshot().failure_count == 1


@pytest.mark.parametrize("kind", [Marked, Computed, Dynamic, Guarding, Broken])
def test_no_type_is_familiar_that_may_give_its_errors_a_status(
    make: Callable[..., CircuitBreaker], kind: type[Boom]
) -> None:
    breaker = make()
    assert not is_bare(kind)
    breaker.acquire().raised(kind("503"))
    assert breaker.circuit.familiar is None
    assert breaker.snapshot().failure_count == 1


def test_a_policy_that_looks_closer_does_so_at_errors_of_a_familiar_type(
    make: Callable[..., CircuitBreaker], caller: SyncCaller
) -> None:
    breaker = make()
    caller.fail(breaker, 2)
    breaker.adopt(CircuitBreakerPolicy(ignore=Boom))
    caller.fail(breaker)
    assert breaker.snapshot().failure_count == 2
    breaker.adopt(CircuitBreakerPolicy(failure_on=OSError))
    caller.fail(breaker)
    assert breaker.snapshot().failure_count == 0


def test_what_an_error_says_is_kept_as_it_was_then(make: Callable[..., CircuitBreaker]) -> None:
    breaker, words = make(), ["down"]
    error = Boom(words)
    for _ in range(2):  # the second time, the type is familiar
        breaker.acquire().raised(error)
        words[0] = error.args[0][0] = "up"
        assert breaker.snapshot().last_failure == "Boom: ['down']"
        words[0] = "down"


def test_neither_an_error_nor_its_frames_outlive_the_call(
    make: Callable[..., CircuitBreaker], caller: SyncCaller
) -> None:
    breaker = make()
    for _ in range(2):
        error = Boom("down")
        gone = weakref.ref(error)
        with pytest.raises(Boom):
            caller.call(breaker, error=error)
        del error
        gc.collect()
        assert gone() is None


class Quiet:
    """Wants to know, and does nothing with it."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def test_what_is_observed_goes_the_same_ways(make: Callable[..., CircuitBreaker], caller: SyncCaller) -> None:
    breaker = make()
    breaker.observe(Quiet())
    caller.fail(breaker, 2)
    assert (breaker.circuit.familiar, breaker.snapshot().failure_count) == (Boom, 2)
    with pytest.raises(Boom):
        caller.call(breaker, error=with_attributes(Boom("gone"), status=404))
    assert breaker.snapshot().failure_count == 0
    breaker.adopt(CircuitBreakerPolicy(ignore=Boom))
    caller.fail(breaker)
    assert breaker.snapshot().failure_count == 0
