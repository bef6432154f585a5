"""What a rejected caller is told."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState, SwitchgearError
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom


def rejected() -> CircuitOpenError:
    clock = ManualClock()
    breaker = CircuitBreaker("payments", failure_threshold=1, clock=clock)
    breaker.acquire().failure(Boom("redis://me:secret@cache is down"))
    clock.advance(10)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    return caught.value


def test_the_fields() -> None:
    error = rejected()
    assert (error.name, error.state, error.retry_after) == ("payments", CircuitState.OPEN, 20.0)
    assert isinstance(error.retry_after, float)
    assert error.reason == "1 consecutive failures (threshold 1)"
    assert error.last_failure == "Boom: redis://***@cache is down"
    assert isinstance(error, SwitchgearError)


def test_the_message_says_all_of_it() -> None:
    assert str(rejected()) == (
        "circuit 'payments' is open; 1 consecutive failures (threshold 1); "
        "last failure: Boom: redis://***@cache is down; next probe in 20 s"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (("a", CircuitState.OPEN, 0.0, "", None), "circuit 'a' is open; a probe is due"),
        (("a", CircuitState.OPEN, 1234.5678, "r", None), "circuit 'a' is open; r; next probe in 1234.57 s"),
        (("a", "half-open", 0.25, "", None), "circuit 'a' is half-open; next probe in 0.25 s"),
        (
            ("a", CircuitState.FORCED_OPEN, None, "by hand", "E: x"),
            "circuit 'a' is forced-open; by hand; last failure: E: x; no time is set for the next probe",
        ),
    ],
)
def test_messages(fields: tuple[Any, ...], text: str) -> None:
    assert str(CircuitOpenError(*fields)) == text


def test_made_by_hand_its_fields_have_the_same_types() -> None:
    error = CircuitOpenError("a", "half-open", 3)
    assert error.state is CircuitState.HALF_OPEN
    assert (error.retry_after, type(error.retry_after)) == (3.0, float)
    with pytest.raises(ValueError, match="ajar"):
        CircuitOpenError("a", "ajar")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_copies_and_pickles(again: Any) -> None:
    error = rejected()
    twin = again(error)
    assert type(twin) is CircuitOpenError
    assert (twin.args, str(twin)) == (error.args, str(error))


def test_it_can_be_made_by_name() -> None:
    error = CircuitOpenError(
        name="a", state=CircuitState.OPEN, retry_after=1.0, reason="r", last_failure=None
    )
    assert (error.name, error.retry_after) == ("a", 1.0)
