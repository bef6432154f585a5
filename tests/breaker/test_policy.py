"""Fields, defaults, ranges, and the text of every mistake."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from datetime import timedelta
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy, PolicyError

DEFAULTS: dict[str, Any] = {
    "failure_threshold": 5,
    "window": None,
    "failure_rate": None,
    "slow_call_rate": None,
    "minimum_calls": 20,
    "slow_call_duration": None,
    "reset_timeout": 30.0,
    "reset_timeout_factor": 1.0,
    "reset_timeout_max": 300.0,
    "jitter": 0.0,
    "retry_after_from": None,
    "half_open_max": 1,
    "success_threshold": 1,
    "probe_timeout": 60.0,
    "failure_on": Exception,
    "ignore": (),
    "failure_if": None,
    "failure_statuses": frozenset({500, 502, 503, 504}),
    "mode": "enforce",
}

COUNT = "an integer of at least 1"
DURATION = "a duration over 0 (seconds or timedelta)"
SHARE = "a number in (0, 1]"
STATUSES = "a collection of statuses in 100-599"
TYPES = "an exception type, a tuple of them or a predicate"

OUT_OF_RANGE: list[tuple[tuple[str, ...], str, tuple[Any, ...]]] = [
    (("minimum_calls", "half_open_max", "success_threshold"), COUNT, (0, -1, 1.5, True, "3", None)),
    (("failure_threshold",), f"{COUNT}, or None", (0, 2.0, False, 10**10)),
    (
        ("reset_timeout", "reset_timeout_max", "probe_timeout"),
        DURATION,
        (0, -1, math.nan, math.inf, 10**400, "30s", True, None, timedelta(0), 10**9),
    ),
    (("window", "slow_call_duration"), f"{DURATION}, or None", (0, -0.5, math.nan, "1m")),
    (("failure_rate", "slow_call_rate"), f"{SHARE}, or None", (0, 1.01, -0.1, math.nan, True, "50%")),
    (("reset_timeout_factor",), "a number of at least 1", (0.5, math.inf, True, None)),
    (("jitter",), "a number in [0, 1)", (1, -0.1, None, "0.1")),
    (("retry_after_from", "failure_if"), "a callable, or None", (5, "len")),
    (("failure_on", "ignore"), TYPES, (5, int, (int,), "ValueError")),
    (("failure_statuses",), f"{STATUSES}, or None", ({99}, {600}, {True}, "500", [500.0], 500, iter([500]))),
    (("mode",), "'enforce' or 'shadow'", ("Shadow", None, 1)),
]
WRONG = [
    (field, value, allowed)
    for fields, allowed, values in OUT_OF_RANGE
    for field in fields
    for value in values
]


def test_every_default() -> None:
    policy = CircuitBreakerPolicy()
    assert {name: getattr(policy, name) for name in policy.__dataclass_fields__} == DEFAULTS


@pytest.mark.parametrize("rate", [{"failure_rate": 0.5}, {"slow_call_rate": 0.5, "slow_call_duration": 2}])
def test_a_rate_brings_a_window_and_turns_the_count_off(rate: dict[str, Any]) -> None:
    policy = CircuitBreakerPolicy(**rate)
    assert policy.window == 30.0
    assert policy.failure_threshold is None
    assert CircuitBreakerPolicy(**rate, failure_threshold=7).failure_threshold == 7
    assert CircuitBreakerPolicy(**rate, window=5).window == 5.0


@pytest.mark.parametrize(("field", "value", "allowed"), WRONG)
def test_what_is_out_of_range_is_named_with_rule_and_value(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(PolicyError) as caught:
        CircuitBreakerPolicy(**{field: value})
    assert str(caught.value) == f"{field} must be {allowed}, got {value!r}"


@pytest.mark.parametrize(
    "fields",
    [
        {"minimum_calls": 1, "half_open_max": 10**9},
        {"reset_timeout": 0.001, "reset_timeout_max": 366 * 86400, "window": timedelta(days=366)},
        {"failure_rate": 1, "slow_call_rate": 0.001, "slow_call_duration": 1},
        {"reset_timeout_factor": 1, "jitter": 0},
        {"reset_timeout": 60, "reset_timeout_factor": 2, "reset_timeout_max": 60},
        {"failure_on": {OSError, KeyError}, "ignore": [ValueError]},
        {"failure_on": callable, "ignore": callable},
        {"failure_statuses": [100, 599]},
        {"failure_statuses": None},
    ],
)
def test_the_bounds_themselves_are_allowed(fields: dict[str, Any]) -> None:
    policy = CircuitBreakerPolicy(**fields)
    for name in ("failure_on", "ignore"):
        wanted = fields.get(name)
        if isinstance(wanted, list | set):
            assert getattr(policy, name) == tuple(wanted)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ValueError) as caught:  # the whole text is compared below  # noqa: PT011  # the whole text is compared below
        CircuitBreakerPolicy(failure_threshold=0, jitter=2, mode="dry")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "failure_threshold must be an integer of at least 1, or None, got 0; "
        "jitter must be a number in [0, 1), got 2; "
        "mode must be 'enforce' or 'shadow', got 'dry'"
    )
    assert isinstance(caught.value, PolicyError)
    assert [problem.field for problem in caught.value.problems] == ["failure_threshold", "jitter", "mode"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"failure_threshold": None},
            (
                "failure_threshold must be a number, or else failure_rate or slow_call_rate: "
                "no rule is left, got None"
            ),
        ),
        (
            {"failure_rate": 0.5, "window": None},
            "window must be a duration: a rate is counted in a window, got None",
        ),
        (
            {"slow_call_rate": 0.5},
            "slow_call_duration must be a duration: slow_call_rate needs it, got None",
        ),
        (
            {"reset_timeout": 60, "reset_timeout_factor": 2, "reset_timeout_max": 59},
            (
                "reset_timeout_max must be at least reset_timeout (60 s) when reset_timeout_factor is over "
                "1, got 59.0"
            ),
        ),
    ],
)
def test_fields_that_contradict_each_other(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        CircuitBreakerPolicy(**fields)
    assert str(caught.value) == text


def test_a_maximum_below_the_reset_timeout_is_fine_without_a_factor() -> None:
    assert CircuitBreakerPolicy(reset_timeout=60, reset_timeout_max=10).open_time(0) == 60


def test_durations_are_kept_as_seconds() -> None:
    policy = CircuitBreakerPolicy(window=timedelta(minutes=1), reset_timeout=timedelta(seconds=2.5))
    assert (policy.window, policy.reset_timeout) == (60.0, 2.5)
    assert policy == CircuitBreakerPolicy(window=60, reset_timeout=2.5)


def test_the_open_time_grows_with_each_round_up_to_the_maximum() -> None:
    policy = CircuitBreakerPolicy(reset_timeout=10, reset_timeout_factor=2, reset_timeout_max=60)
    assert [policy.open_time(n) for n in (0, 1, 2)] == pytest.approx([10, 20, 40])
    assert [policy.open_time(n) for n in (3, 4, 100_000)] == [60, 60, 60]


def test_jitter_scales_the_draw() -> None:
    policy = CircuitBreakerPolicy(reset_timeout=10, jitter=0.2)
    assert [policy.open_time(0, spread) for spread in (-1, 0, 1)] == pytest.approx([8, 10, 12])
    assert policy.open_time(0) == 10


def test_policies_compare_hash_copy_and_pickle() -> None:
    policy = CircuitBreakerPolicy(failure_rate=0.5, failure_statuses=[500], ignore=[KeyError])  # type: ignore[arg-type]
    assert policy.ignore == (KeyError,)
    assert pickle.loads(pickle.dumps(policy)) == copy.deepcopy(policy) == policy
    assert len({policy, copy.copy(policy), CircuitBreakerPolicy()}) == 2
    assert policy != CircuitBreakerPolicy(failure_rate=0.5)


def test_a_default_that_depends_on_others_is_shown_as_one() -> None:
    assert "window: 'Seconds | None' = <default>" in str(inspect.signature(CircuitBreakerPolicy))


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    with pytest.raises(
        TypeError, match=r"'failure_treshold' is no field of a policy; did you mean failure_threshold?"
    ):
        CircuitBreaker("x", failure_treshold=3)
    with pytest.raises(
        TypeError, match="'zzz' is no field of a policy; fields are failure_threshold, window"
    ):
        CircuitBreaker("x", zzz=3)
    with pytest.raises(TypeError) as caught:
        CircuitBreaker("x", jiter=3, windo=3)
    assert str(caught.value) == (
        "'jiter' is no field of a policy; did you mean jitter?; "
        "'windo' is no field of a policy; did you mean window?"
    )


def test_a_policy_or_its_fields() -> None:
    with pytest.raises(
        TypeError, match=r"give either policy= or its fields, not both \(got jitter, window\)"
    ):
        CircuitBreaker("x", CircuitBreakerPolicy(), window=3, jitter=0.5)
