"""What all clients share, in simulated time: origins, `Retry-After`, long probes."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from switchgear import BreakerFamily, CircuitBreaker
from switchgear.integrations.guarding import Guard, Host, origin
from switchgear.integrations.reading import Reading, decided_by_head
from switchgear.integrations.retry_after import retry_after
from switchgear.testing import ManualClock

Make = Callable[..., BreakerFamily]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("https", "API.example.com", None), "https://api.example.com:443"),
        (("HTTP", "example.com", None), "http://example.com:80"),
        (("http", "example.com", 8080), "http://example.com:8080"),
        (("https", "::1", None), "https://[::1]:443"),
        (("https", "[::1]", 8443), "https://[::1]:8443"),
        (("ftp", "example.com", None), "ftp://example.com"),
    ],
)
def test_a_server_has_one_spelling(parts: tuple[str, str, int | None], expected: str) -> None:
    assert origin(*parts) == expected


# ---- Retry-After


def answer(**fields: str) -> Any:
    return SimpleNamespace(headers={name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": " 7.5 "}, 7.5),
        ({"retry_after_ms": "1500", "retry_after": "7"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7.0),
        ({"retry_after": "Sun, 01 Nov 2026 10:00:09 GMT", "date": "Sun, 01 Nov 2026 10:00:00 GMT"}, 9.0),
        ({"retry_after": "Sun, 01 Nov 2026 10:00:00 GMT", "date": "Sun, 01 Nov 2026 10:00:00 GMT"}, None),
        ({"retry_after": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"retry_after": "0"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "9" * 400}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_from_responses(fields: dict[str, str], expected: float | None) -> None:
    assert retry_after(answer(**fields)) == expected


def test_retry_after_is_read_from_what_carries_a_response() -> None:
    error = ConnectionError()
    error.response = answer(retry_after="7")  # type: ignore[attr-defined]
    assert retry_after(error) == 7.0


@pytest.mark.parametrize("nothing", [None, "status 503", ConnectionError(), SimpleNamespace(headers=None)])
def test_what_has_no_fields_asks_for_nothing(nothing: object) -> None:
    assert retry_after(nothing) is None


def test_a_date_without_a_date_to_compare_with_is_compared_with_this_clock() -> None:
    import time

    wait = retry_after(answer(retry_after=formatdate(time.time() + 3600, usegmt=True)))
    assert wait is not None
    assert 3500 < wait <= 3600


# ---- bodies


class BrokenError(Exception):
    """What the library raises."""


GUARD = Guard(Host(key=str, rejection=lambda error, _: error, response=None, failures=(BrokenError,)),
              CircuitBreaker("unused"), None, "raise")  # fmt: skip


@pytest.fixture
def probed(make: Make, clock: ManualClock) -> CircuitBreaker:
    """A breaker of which a probe is due."""
    breaker = make()["x"]
    for _ in range(2):
        breaker.acquire().failure()
    clock.advance(30)
    return breaker


def test_a_stream_that_outlives_a_probes_lease_closes_the_circuit(
    probed: CircuitBreaker, clock: ManualClock
) -> None:
    reading = Reading(GUARD, probed, probed.acquire(), clock.monotonic)
    for state in ("half-open", "half-open", "closed", "closed"):
        with reading:
            clock.advance(12)
        assert probed.state == state


def test_such_a_stream_that_breaks_afterwards_is_one_more_failure(
    probed: CircuitBreaker, clock: ManualClock
) -> None:
    reading = Reading(GUARD, probed, probed.acquire(), clock.monotonic)
    with reading:
        clock.advance(40)
    for _ in range(2):
        with pytest.raises(BrokenError), reading:
            raise BrokenError("halfway")
    assert probed.snapshot().failure_count == 1
    assert probed.state == "closed"


def test_such_a_stream_that_breaks_while_open_adds_nothing(
    probed: CircuitBreaker, clock: ManualClock
) -> None:
    reading = Reading(GUARD, probed, probed.acquire(), clock.monotonic)
    with reading:
        clock.advance(40)
    probed.force_open()
    with pytest.raises(BrokenError), reading:
        raise BrokenError("halfway")
    assert probed.state == "forced-open"


def test_time_before_the_first_piece_is_wanted_is_the_readers(make: Make, clock: ManualClock) -> None:
    breaker = make(slow_call_rate=1.0, minimum_calls=1, slow_call_duration=2)["x"]
    reading = Reading(GUARD, breaker, breaker.acquire(), clock.monotonic)
    clock.advance(60)
    reading.ended()
    assert breaker.state == "closed"


def test_errors_that_are_not_the_services_are_no_evidence(make: Make, clock: ManualClock) -> None:
    breaker = make(failure_threshold=1)["x"]
    reading = Reading(GUARD, breaker, breaker.acquire(), clock.monotonic)
    with pytest.raises(ValueError, match="mine"), reading:
        raise ValueError("mine")
    assert breaker.snapshot().failure_count == 0


def test_a_change_of_protocol_ends_with_its_head(probed: CircuitBreaker) -> None:
    assert decided_by_head(probed.acquire(), probed.policy, object(), 101)
    assert probed.state == "closed"


def test_without_statuses_no_answer_is_a_failure(make: Make) -> None:
    breaker = make(failure_threshold=1, failure_statuses=None)["x"]
    permit = breaker.acquire()
    assert not decided_by_head(permit, breaker.policy, object(), 503)
    permit.success()
