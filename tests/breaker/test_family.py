"""Breakers by key, and the owner that makes them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from switchgear import BreakerFamily, CircuitBreakerPolicy, CircuitOpenError, Switchgear, TransitionEvent
from switchgear.testing import ManualClock
from tests.breaker.conftest import SyncCaller
from tests.breaker.test_events import Recorder

CALLER = SyncCaller()


@pytest.fixture
def sg(clock: ManualClock) -> Switchgear:
    return Switchgear(clock=clock)


@pytest.fixture
def hosts(sg: Switchgear) -> BreakerFamily:
    return sg.breakers("host:{}", limit=2, failure_threshold=1, reset_timeout=30, reset_timeout_max=300)


def names(family: BreakerFamily) -> list[str]:
    return [breaker.name for breaker in family]


def test_a_breaker_for_each_key(hosts: BreakerFamily) -> None:
    assert hosts["a"] is hosts["a"]
    assert hosts["a"] is not hosts["b"]
    assert (hosts["a"].name, len(hosts)) == ("host:a", 2)


def test_the_least_recently_used_closed_circuit_goes_first(hosts: BreakerFamily) -> None:
    for key in ("a", "b", "a", "c"):
        CALLER.call(hosts[key])
    assert names(hosts) == ["host:a", "host:c"]


def test_the_limit_counts_closed_circuits_and_open_ones_stay(hosts: BreakerFamily) -> None:
    for key in ("a", "b"):
        CALLER.open(hosts[key])
    for key in ("c", "d", "e"):
        CALLER.call(hosts[key])
    assert names(hosts) == ["host:a", "host:b", "host:d", "host:e"]


def test_beyond_twice_the_limit_new_keys_share_one_that_never_opens(
    hosts: BreakerFamily, caplog: pytest.LogCaptureFixture
) -> None:
    for key in "abcd":
        CALLER.open(hosts[key])
    with caplog.at_level(logging.WARNING, "switchgear"):
        caplog.clear()
        shared = hosts["e"]
        assert hosts["f"] is shared
    assert [(r.getMessage(), r.circuit) for r in caplog.records] == [  # type: ignore[attr-defined]
        ("family host:{} is full (4 circuits): new keys share host:_other, which never opens", "host:_other")
    ]
    assert (shared.name, hosts.overflowed, len(hosts)) == ("host:_other", 2, 4)
    CALLER.fail(shared, 100)
    assert (shared.state, shared.snapshot().failure_count) == ("closed", 100)
    with pytest.raises(CircuitOpenError):
        CALLER.call(hosts["a"])


def test_the_shared_one_has_no_rule_but_a_count_within_a_second_that_nobody_reaches(
    sg: Switchgear, clock: ManualClock
) -> None:
    rates = {"failure_rate": 0.5, "slow_call_rate": 0.5, "slow_call_duration": 1, "minimum_calls": 1}
    hosts = sg.breakers("host:{}", limit=1, **rates)
    for key in "ab":
        hosts[key].acquire().failure()
    shared = hosts["c"]
    for _ in range(10):
        permit = shared.acquire()
        clock.advance(2)
        permit.failure()
    assert (shared.name, shared.state, shared.snapshot().failure_count) == ("host:_other", "closed", 1)
    clock.advance(1)
    assert shared.snapshot().failure_count == 0


def test_circuits_that_an_operator_disabled_stay(hosts: BreakerFamily) -> None:
    for key in "ab":
        hosts[key].disable()
    hosts["c"]
    assert names(hosts) == ["host:a", "host:b", "host:c"]


def test_below_twice_the_limit_no_open_circuit_has_to_go(hosts: BreakerFamily, clock: ManualClock) -> None:
    for key in "abc":
        CALLER.open(hosts[key])
    clock.advance(1000)
    hosts["d"]
    assert names(hosts) == ["host:a", "host:b", "host:c", "host:d"]


def test_a_real_key_of_that_name_is_another_circuit(hosts: BreakerFamily) -> None:
    real = hosts["_other"]
    for key in "abc":
        CALLER.open(hosts[key])
    CALLER.open(real)
    assert hosts["z"] is not real
    assert hosts["z"].state == "closed"


def test_an_open_circuit_goes_once_its_open_time_has_been_over_for_the_maximum(
    hosts: BreakerFamily, clock: ManualClock
) -> None:
    for key in "abcd":
        CALLER.open(hosts[key])
    clock.advance(330)
    assert hosts["e"].name == "host:_other"
    clock.advance(0.001)
    assert hosts["e"].name == "host:e"
    assert names(hosts) == ["host:b", "host:c", "host:d", "host:e"]


@pytest.mark.parametrize("template", ["host", "{}-{}", "host:{name}"])
def test_a_template_has_one_place_for_the_key(sg: Switchgear, template: str) -> None:
    with pytest.raises(ValueError, match=r"a family's template has exactly one \{\} for the key, got "):
        sg.breakers(template)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "9"])
def test_a_limit_is_a_count(sg: Switchgear, limit: Any) -> None:
    with pytest.raises(ValueError, match="limit must be an integer of at least 1, got"):
        sg.breakers("x:{}", limit=limit)


def test_keys_are_text(hosts: BreakerFamily) -> None:
    with pytest.raises(TypeError, match="a family's keys are text, got 5"):
        hosts[5]  # type: ignore[index]
    with pytest.raises(ValueError, match="at most 1024 bytes"):
        hosts["x" * 2000]


def test_the_same_name_gives_the_same_breaker(sg: Switchgear) -> None:
    breaker = sg.breaker("payments", failure_threshold=3)
    assert sg.breaker("payments", failure_threshold=3) is breaker
    assert sg.breaker("payments") is breaker
    assert sg["payments"] is breaker
    assert "payments" in sg
    assert "other" not in sg
    with pytest.raises(
        ValueError, match=r"circuit 'payments' exists with another policy: .*failure_threshold=3"
    ):
        sg.breaker("payments", failure_threshold=4)
    with pytest.raises(KeyError):
        sg["other"]


def test_a_family_of_1024_unless_said_otherwise_and_by_a_whole_policy(sg: Switchgear) -> None:
    policy = CircuitBreakerPolicy(failure_threshold=3)
    family = sg.breakers("x:{}", policy=policy)
    assert (family.limit, family["a"].policy) == (1024, policy)


def test_the_same_template_gives_the_same_family(sg: Switchgear, hosts: BreakerFamily) -> None:
    same = {"failure_threshold": 1, "reset_timeout": 30, "reset_timeout_max": 300}
    assert sg.breakers("host:{}", limit=2, **same) is hosts
    for limit, fields in ((3, same), (2, {"failure_threshold": 9})):
        with pytest.raises(ValueError, match=r"family 'host:\{\}' exists with another policy or limit"):
            sg.breakers("host:{}", limit=limit, **fields)


def test_defaults_are_where_every_breaker_starts_from(clock: ManualClock) -> None:
    sg = Switchgear("shop", clock=clock, failure_threshold=2, reset_timeout=7)
    assert sg.breaker("a").policy == CircuitBreakerPolicy(failure_threshold=2, reset_timeout=7)
    assert sg.breaker("b", reset_timeout=9).policy == CircuitBreakerPolicy(
        failure_threshold=2, reset_timeout=9
    )
    assert sg.breakers("f:{}")["x"].policy.failure_threshold == 2
    assert (sg.breaker("a").name, sg.breaker("a").key) == ("a", "shop/a")


def test_mistakes_in_defaults_show_at_once() -> None:
    with pytest.raises(ValueError, match="jitter must be a number in"):
        Switchgear(jitter=3)
    with pytest.raises(TypeError, match=r"'jiter' is no field of a policy; did you mean jitter?"):
        Switchgear(jiter=0.1)
    with pytest.raises(
        TypeError, match=r"give either policy= or its fields, not both \(got jitter, window\)"
    ):
        Switchgear().breaker("x", CircuitBreakerPolicy(), window=3, jitter=0.1)


def test_listeners_hear_every_breaker_present_and_future(sg: Switchgear, hosts: BreakerFamily) -> None:
    seen: list[TransitionEvent] = []
    recorder = Recorder()
    hosts["a"]
    sg.on_transition(recorder)
    sg.on_transition(seen.append)
    for breaker in (hosts["a"], hosts["b"], sg.breaker("x", failure_threshold=1)):
        breaker.acquire().failure()
    recorder.states(3)
    assert [event.name for event in recorder.events] == ["host:a", "host:b", "x"]


def test_all_breakers_can_be_listed(sg: Switchgear, hosts: BreakerFamily) -> None:
    hosts["a"]
    sg.breaker("x")
    assert sorted(breaker.name for breaker in sg) == ["host:a", "x"]
    assert repr(sg.breaker("x")) == "<CircuitBreaker 'x' closed>"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (5, TypeError, "a circuit's key is text, got int"),
        ("x" * 1025, ValueError, "a circuit's key has at most 1024 bytes of UTF-8, got 1025"),
        ("é" * 513, ValueError, "got 1026"),
        ("a\0b", ValueError, "a circuit's key has no NUL, got 'a\\x00b'"),
        ("\ud800", ValueError, "a circuit's key is text that UTF-8 can encode"),
    ],
)
def test_names_that_cannot_be_keys(sg: Switchgear, name: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        sg.breaker(name)
    assert text in str(caught.value)
