"""What an observer is told of each call, word for word; what it makes of it stands in `tests/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitOpenError, Switchgear, TransitionEvent
from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS, Leased, Outcome
from switchgear.breaker.observed import ObservedCircuit, observed
from switchgear.breaker.off import OffCircuit
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller
from tests.breaker.test_events import Recorder

Make = Callable[..., CircuitBreaker]


class Diary:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.calls: list[tuple[Outcome, float, bool, bool]] = []
        self.others: list[tuple[Any, ...]] = []
        self.probes: dict[str, Callable[[], bool]] = {}

    def ended(self, outcome: Outcome, seconds: float, slow: bool, late: bool) -> None:
        self.calls.append((outcome, seconds, slow, late))

    def rejected(self, error: CircuitOpenError) -> None:
        self.others.append(("rejected", error))

    def shed(self, outcome: Outcome) -> None:
        self.others.append(("shed", outcome))

    def probe_granted(self, token: str, expired: Callable[[], bool]) -> None:
        self.probes[token] = expired

    def probe_settled(self, token: str) -> None:
        self.others.append(("settled", token))

    def moved(self, event: TransitionEvent) -> None:
        """Of no interest here."""


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def breaker(make: Make, diary: Diary) -> CircuitBreaker:
    made = make(failure_threshold=1, slow_call_duration=1)
    made.observe(diary)
    return made


def test_how_each_call_ended_and_how_long_it_took(
    breaker: CircuitBreaker, diary: Diary, clock: ManualClock
) -> None:
    for took, report in (
        (0.5, lambda permit: permit.success()),
        (1.0, lambda permit: permit.success()),
        (1.5, lambda permit: permit.success()),
        (1.0, lambda permit: permit.cancel()),
        (1.0, lambda permit: permit.failure("by hand")),
    ):
        permit = breaker.acquire()
        clock.advance(took)
        report(permit)
    assert diary.calls == [
        (SUCCESS, 0.5, False, False),
        (SUCCESS, 1.0, False, False),
        (SUCCESS, 1.5, True, False),
        (INCONCLUSIVE, 1.0, False, False),
        (FAILURE, 1.0, False, False),
    ]
    assert breaker.snapshot().last_failure == "by hand"


def test_a_call_of_a_generation_that_is_over_is_late(breaker: CircuitBreaker, diary: Diary) -> None:
    late = [breaker.acquire() for _ in range(4)]
    breaker.acquire().failure()
    late[0].success()
    late[1].failure()
    late[2].cancel()
    late[3].raised(Boom())
    assert [call[3] for call in diary.calls] == [False, True, True, True, True]
    assert [call[0] for call in diary.calls] == [FAILURE, SUCCESS, FAILURE, INCONCLUSIVE, FAILURE]


def test_a_failure_keeps_what_it_says(make: Make, diary: Diary) -> None:
    made = make(failure_threshold=2)
    made.observe(diary)
    with pytest.raises(Boom):
        SyncCaller().call(made, error=Boom("down"))
    assert made.snapshot().last_failure == "Boom: down"
    made.acquire().failure(Boom("busy"), retry_after=7.0)
    assert (made.snapshot().last_failure, made.snapshot().retry_after) == ("Boom: busy", 7.0)


def test_a_call_that_began_unobserved_took_no_time(make: Make, diary: Diary, clock: ManualClock) -> None:
    made = make()
    permits = [made.acquire(), made.acquire()]
    circuit = made.circuit
    made.observe(diary)
    clock.advance(5)
    made.circuit.succeed(permits[0]._grant, float("inf"))
    made.circuit.settle(permits[1]._grant, FAILURE, float("inf"))
    assert [call[:3] for call in diary.calls] == [(SUCCESS, 0.0, False), (FAILURE, 0.0, False)]
    assert circuit is made.circuit.inner  # type: ignore[attr-defined]
    for permit in permits:
        permit._pending.clear()


def test_rejections_are_told_whichever_way_was_taken(
    breaker: CircuitBreaker, diary: Diary, clock: ManualClock
) -> None:
    breaker.acquire().failure()
    errors = []
    for ask in (breaker.acquire, breaker.try_acquire, lambda: asyncio.run(breaker.acquire_async())):
        with pytest.raises(CircuitOpenError) as caught:
            ask()
        errors.append(caught.value)
    assert diary.others == [("rejected", error) for error in errors]


@pytest.mark.parametrize("way", ["acquire", "try_acquire", "acquire_async"])
@pytest.mark.parametrize("end", ["success", "failure", "cancel"])
def test_a_probe_is_told_from_its_lease_to_its_end(
    breaker: CircuitBreaker, diary: Diary, clock: ManualClock, way: str, end: str
) -> None:
    breaker.acquire().failure()
    clock.advance(30)
    permit = getattr(breaker, way)()
    if way == "acquire_async":
        permit = asyncio.run(permit)
    assert isinstance(permit._grant, Leased)
    ((token, expired),) = diary.probes.items()
    assert token == permit._grant.token
    clock.advance(59.5)
    assert not expired()
    getattr(permit, end)()
    assert diary.others == [("settled", token)]
    clock.advance(0.5)
    assert expired()


def test_an_observer_that_raises_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture, diary: Diary
) -> None:
    made = make()

    class Broken(Diary):
        def ended(self, *_: object) -> None:
            raise LookupError("no such meter")

    made.observe(Broken())
    made.acquire().success()
    told = [(record.getMessage(), record.circuit) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [("circuit payments: an observer raised", "payments")]
    assert "no such meter" in caplog.text


def test_an_observed_breaker_is_operated_like_any_other(breaker: CircuitBreaker, clock: ManualClock) -> None:
    breaker.disable("migration", "ann", 5)
    assert (breaker.state, breaker.snapshot().reason) == ("disabled", "disabled by ann: migration")
    clock.advance(5)
    assert breaker.state == "closed"
    breaker.force_open()
    assert breaker.state == "forced-open"
    assert breaker.ready()
    assert asyncio.run(breaker.ready_async())


def test_whether_a_call_is_outdated_is_the_inner_circuits_to_say(make: Make, diary: Diary) -> None:
    made = make(failure_threshold=1)
    made.observe(diary)
    second = Diary()
    made.observe(second)  # an observed circuit, observed
    late = made.acquire()
    made.acquire().failure()
    late.success()
    assert diary.calls == second.calls
    assert diary.calls[-1][3]
    made.unobserve(diary)
    made.reset()
    made.acquire().success()
    assert (len(diary.calls), len(second.calls)) == (2, 3)


def test_who_is_told_no_more_takes_nobody_along(breaker: CircuitBreaker, diary: Diary) -> None:
    seen, gone = Recorder(), Recorder()
    breaker.on_transition(seen)
    diary.moved = gone  # type: ignore[method-assign]
    breaker.unobserve(diary)
    breaker.observe(diary)
    breaker.unobserve(diary)
    breaker.acquire().failure()
    assert seen.states(1) == ["open"]
    assert gone.events == []


def test_an_owner_shows_what_keys_beyond_the_limit_share_too(clock: ManualClock) -> None:
    sg = Switchgear(clock=clock)
    hosts = sg.breakers("host:{}", limit=1, failure_threshold=1)
    for key in "ab":
        hosts[key].acquire().failure()
    shared = hosts["c"]
    seen: list[tuple[str, str | None]] = []
    sg.observe(lambda breaker, template: seen.append((breaker.name, template)))  # type: ignore[func-returns-value]
    assert seen == [("host:a", "host:{}"), ("host:b", "host:{}"), (shared.name, "host:{}")]


def test_a_breaker_that_is_switched_off_is_not_observed(make: Make, diary: Diary, clock: ManualClock) -> None:
    off = OffCircuit("x", make().policy, clock)
    assert observed(off, (diary,)) is off
    assert observed(observed(make().circuit, (diary,)), ()).__class__ is not ObservedCircuit
