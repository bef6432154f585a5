"""The pure mechanism: what an operation does to the record, told as stories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.stores.mechanism import apply
from switchgear.stores.operations import (
    CONSECUTIVE,
    FAILED,
    MAX_ORDERS,
    SUCCEEDED,
    Delta,
    Flush,
    Get,
    Goodbye,
    Hello,
    Known,
    Lease,
    Move,
    Operation,
    Override,
    Reset,
    Run,
    Settle,
    Transition,
    Window,
)
from switchgear.stores.record import Record
from switchgear.stores.view import Change, Result, View

START = 1_800_000_000_000
WINDOW = Window(1024, 10)


class Circuit:
    """A record with a clock that stands still unless told otherwise."""

    def __init__(self) -> None:
        self.record = Record()
        self.now = START
        self.announced = False
        self.numbers: dict[str, int] = {}

    def __call__(self, operation: Operation) -> View:
        self.record, view, self.announced = apply(self.record, operation, self.now)
        return view

    def flush(
        self, reporter: str, failures: int, successes: int = 0, *, age: int = 0, **more: object
    ) -> View:
        """Failures first, then successes."""
        number = self.numbers[reporter] = self.numbers.get(reporter, 0) + 1
        run = Run()
        for outcome in [FAILED] * failures + [SUCCEEDED] * successes:
            run = run.then(outcome)
        deltas = (Delta(age, failures + successes, failures, 0),)
        return self(Flush(reporter=reporter, number=number, generation=0, deltas=deltas, run=run, **more))  # type: ignore[arg-type]

    def open(self, ms: int | None = 0) -> View:
        return self(
            Transition(expected=0, move=Move(to="open", token=f"open{self.record.generation}", open_ms=ms))
        )

    def lease(self, token: str, limit: int = 1, ttl: int = 60_000, open_ms: int = 0) -> View:
        return self(Lease(token=token, limit=limit, ttl_ms=ttl, open_ms=open_ms))

    def settle(
        self, token: str, outcome: str, then: Move | None = None, generation: int | None = None
    ) -> View:
        generation = self.record.generation if generation is None else generation
        return self(Settle(reporter="r", token=token, generation=generation, outcome=outcome, then=then))


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


# ---- the run ----


@given(st.lists(st.lists(st.booleans(), max_size=8), max_size=8))
def test_a_run_cut_anywhere_is_the_same_as_one_by_one(parts: list[list[bool]]) -> None:
    merged, run, longest = Run(), 0, 0
    for part in parts:
        flush = Run()
        for failed in part:
            flush = flush.then(FAILED if failed else SUCCEEDED)
            run = run + 1 if failed else 0
            longest = max(longest, run)
        merged = merged.then(flush)
    assert (merged.tail, merged.best) == (run, longest)


def test_a_run_that_a_success_ends_in_the_same_flush_is_told_as_peak(circuit: Circuit) -> None:
    circuit.flush("a", 2)
    view = circuit.flush("b", 3, 1)
    assert (view.peak, view.run) == (5, 0)


def test_the_run_can_be_read_while_open_and_is_gone_when_closed(circuit: Circuit) -> None:
    circuit.flush("a", 5)
    assert circuit.open().run == 5
    assert circuit(Reset(token="x")).run == 0


# ---- the window ----


def test_outcomes_leave_the_window_as_time_passes(circuit: Circuit) -> None:
    circuit.flush("a", 3, 1, window=WINDOW)
    circuit.now += 9 * 1024
    view = circuit.flush("b", 1, window=WINDOW)
    assert (view.calls, view.failures) == (5, 4)
    circuit.now += 1024
    assert circuit(Get(window=WINDOW)).failures == 1


def test_old_outcomes_are_counted_where_they_belong(circuit: Circuit) -> None:
    assert circuit.flush("a", 2, age=5 * 1024, window=WINDOW).failures == 2
    circuit.now += 5 * 1024
    assert circuit(Get(window=WINDOW)).failures == 0


def test_two_geometries_live_side_by_side(circuit: Circuit) -> None:
    other = Window(2048, 15)
    circuit.flush("a", 3, window=WINDOW)
    assert circuit.flush("b", 1, window=other).failures == 1
    assert circuit(Get(window=WINDOW)).failures == 3


def test_who_has_no_policy_reads_with_the_announced_window(circuit: Circuit) -> None:
    circuit(Hello(reporter="a", window=WINDOW, policy="p"))
    circuit.flush("b", 2)
    view = circuit(Get())
    assert (view.failures, view.bucket_ms, view.buckets, view.policy) == (2, 1024, 10, "p")


def test_closing_forgets_the_window(circuit: Circuit) -> None:
    circuit.flush("a", 3, window=WINDOW)
    circuit.open()
    circuit(Transition(expected=2, move=Move(to="closed", token="c")))
    assert circuit(Get(window=WINDOW)).failures == 0
    assert circuit.flush("a", 1, window=WINDOW).failures == 1


@pytest.mark.parametrize("seconds", [0.05, 1, 10, 30, 60, 3600, 86400])
def test_a_window_has_at_least_ten_buckets_of_a_power_of_two(seconds: float) -> None:
    window = Window.of(seconds)
    assert 10 <= window.buckets <= 20
    assert window.bucket_ms & (window.bucket_ms - 1) == 0
    assert 0 <= window.span_ms - seconds * 1000 < window.bucket_ms


@pytest.mark.parametrize("geometry", [(1, 0), (0, 1), (1, 32), (-1, 5), (5, -1)])
def test_other_geometries_are_refused(geometry: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a window has 1 to 31 buckets"):
        Window(*geometry)


# ---- evidence of other generations ----


def test_outcomes_of_another_generation_are_seen_and_not_counted(circuit: Circuit) -> None:
    circuit.open()
    circuit(Reset(token="x"))
    flush = Flush(reporter="a", number=1, generation=1, deltas=(Delta(0, 1, 1, 0),), run=FAILED)
    view = circuit(flush)
    assert (view.result, view.run, view.live) == (Result.LATE, 0, 1)
    assert circuit(flush).result == Result.DUPLICATE


# ---- leases ----


def test_a_lease_makes_an_open_circuit_half_open_only_when_its_time_is_over(circuit: Circuit) -> None:
    circuit.open(1000)
    assert circuit.lease("a").result == Result.REFUSED
    circuit.now += 1000
    view = circuit.lease("a")
    assert (view.result, view.state, view.generation, view.leases) == (Result.GRANTED, "half-open", 3, 1)


def test_an_open_time_that_nobody_has_set_is_the_askers(circuit: Circuit) -> None:
    circuit.open(None)
    circuit.now += 2000
    assert circuit.lease("a", open_ms=3000).result == Result.REFUSED
    assert circuit.lease("b", open_ms=2000).result == Result.GRANTED


def test_leases_outlive_the_round_and_count_until_they_end(circuit: Circuit) -> None:
    circuit.open()
    for token in "abc":
        assert circuit.lease(token, 3).result == Result.GRANTED
    first = circuit.record.generation
    circuit.settle("a", "failure", Move(to="open", token="failed", open_ms=0))
    assert circuit.lease("d", 3).result == Result.GRANTED, "one slot is free"
    refused = circuit.lease("e", 3)
    assert (refused.result, refused.leases) == (Result.REFUSED, 3), "b and c are still in flight"
    late = circuit.settle("b", "success", Move(to="closed", token="c"), generation=first)
    assert (late.result, late.state) == (Result.LATE, "half-open")
    assert circuit.lease("e", 3).result == Result.GRANTED, (
        "an older probe's end frees its slot and nothing else"
    )


def test_a_circuit_does_not_become_half_open_for_a_lease_that_is_refused(circuit: Circuit) -> None:
    circuit.open()
    circuit.lease("a")
    circuit.open()
    view = circuit.lease("b")
    assert (view.result, view.state, view.next_lease_end) == (Result.REFUSED, "open", START + 60_000)


def test_a_lease_expires_whoever_looks(circuit: Circuit) -> None:
    circuit.open()
    circuit.lease("a", ttl=2000)
    circuit.now += 2000
    assert circuit(Get()).leases == 0
    assert circuit.lease("b").result == Result.GRANTED
    assert circuit.settle("a", "success").result == Result.LATE


def test_the_same_token_is_the_same_lease_within_its_round_only(circuit: Circuit) -> None:
    circuit.open()
    circuit.lease("a")
    again = circuit.lease("a")
    assert (again.result, again.leases) == (Result.GRANTED, 1)
    circuit.open(5000)
    stale = circuit.lease("a")
    assert (stale.result, stale.leases) == (Result.REFUSED, 0), "its process never heard of the grant"


def test_a_settle_that_decides_may_be_sent_again(circuit: Circuit) -> None:
    circuit.open()
    circuit.lease("a")
    closing, generation = Move(to="closed", token="c"), circuit.record.generation
    assert circuit.settle("a", "success", closing, generation).result == Result.SETTLED
    again = circuit.settle("a", "success", closing, generation)
    assert (again.result, again.state, again.generation) == (Result.SETTLED, "closed", 4)


def test_an_inconclusive_probe_decides_nothing(circuit: Circuit) -> None:
    circuit.open()
    circuit.lease("a")
    view = circuit.settle("a", "inconclusive")
    assert (view.result, view.successes, view.leases, view.last_failure_at) == (Result.SETTLED, 0, 0, 0)


# ---- overrides, clock, lost stores ----


def test_an_override_expires_before_the_operation_sees_it(circuit: Circuit) -> None:
    circuit(Override(to="forced-open", token="o", expires_ms=500))
    assert circuit.lease("a").result == Result.REFUSED
    circuit.now += 500
    view = circuit.lease("a")
    assert (view.result, view.state, view.override) == (Result.GRANTED, "half-open", "")


def test_a_lifted_override_probes_first_or_closes(circuit: Circuit) -> None:
    circuit(Override(to="forced-open", token="o1"))
    lifted = circuit(Override(to="", token="o2", why="lifted"))
    assert (lifted.state, lifted.until - lifted.now, lifted.why) == ("open", 0, "lifted")
    circuit(Override(to="disabled", token="o3"))
    assert circuit(Override(to="", token="o4")).state == "closed"
    before = circuit.record.generation
    assert circuit(Override(to="", token="o5")).changed == Change.NONE
    assert circuit.record.generation == before, "without an override nothing happens"


ORDERS = [
    Override(to="forced-open", token="a"),
    Override(to="", token="a"),
    Reset(token="a"),
    Transition(expected=0, move=Move(to="open", token="a")),
]


@pytest.mark.parametrize("order", ORDERS, ids=["override", "lift", "reset", "transition"])
def test_an_order_that_is_sent_again_undoes_nothing_that_came_in_between(
    circuit: Circuit, order: Operation
) -> None:
    circuit(order)
    later = circuit(Override(to="disabled", token="b"))
    again = circuit(order)
    assert (again.result, again.changed) == (Result.WON, Change.NONE)
    assert (again.generation, again.override) == (later.generation, "disabled")


def test_few_orders_are_remembered(circuit: Circuit) -> None:
    for number in range(2 * MAX_ORDERS):
        circuit(Reset(token=f"r{number}"))
    assert len(circuit.record.orders.split()) == MAX_ORDERS
    generation = circuit.record.generation
    assert circuit(Reset(token=f"r{MAX_ORDERS}")).generation == generation
    assert circuit(Reset(token="r0")).generation == generation + 1, "forgotten long ago"


def test_a_disabled_circuit_counts_and_is_not_moved(circuit: Circuit) -> None:
    generation = circuit(Override(to="disabled", token="o")).generation
    assert circuit.flush("a", 2).run == 2
    assert circuit(Transition(expected=generation, move=Move(to="open", token="t"))).result == Result.LOST


def test_a_server_clock_that_goes_back_shifts_every_deadline(circuit: Circuit) -> None:
    circuit.flush("a", 2, window=WINDOW)
    circuit.open(20_000)
    circuit.now -= 3_600_000
    view = circuit(Get(window=WINDOW))
    assert (view.until - view.now, view.live, view.failures) == (20_000, 1, 0)


def test_knowledge_of_a_newer_generation_is_taken_over_with_its_override(circuit: Circuit) -> None:
    known = Known(
        generation=9,
        change="nine",
        state="open",
        remaining_ms=700,
        override="forced-open",
        override_ms=300,
        why="w",
    )
    view = circuit(Get(known=known))
    assert (view.generation, view.change, view.override, view.changed) == (
        9,
        "nine",
        "forced-open",
        Change.RESTORED,
    )
    assert (view.until - view.now, view.override_until - view.now) == (700, 300)
    assert circuit.announced


def test_knowledge_of_an_older_or_equal_generation_changes_nothing(circuit: Circuit) -> None:
    circuit.open()
    view = circuit(Get(known=Known(generation=2, change="other", state="closed")))
    assert (view.state, view.change) == ("open", "open1")


# ---- a sick minority ----


def fleet(circuit: Circuit, processes: int, window: Window) -> None:
    for process in range(processes):
        circuit(Hello(reporter=f"p{process}", window=window))


@pytest.mark.parametrize("window", [CONSECUTIVE, WINDOW], ids=["run", "window"])
def test_the_rest_leaves_out_the_largest_eighth(circuit: Circuit, window: Window) -> None:
    fleet(circuit, 9, window)
    circuit.flush("p0", 50, window=window)
    circuit.flush("p1", 40, window=window)
    view = circuit.flush("p2", 3, window=window)
    assert (view.live, view.rest_failures, view.rest_calls) == (9, 3, 3), "two of nine are left out"


def test_one_sick_process_of_three_leaves_nothing(circuit: Circuit) -> None:
    fleet(circuit, 3, CONSECUTIVE)
    view = circuit.flush("p0", 7)
    assert (view.run, view.live, view.rest_failures) == (7, 3, 0)


def test_a_success_anywhere_begins_a_new_run_for_all(circuit: Circuit) -> None:
    fleet(circuit, 3, CONSECUTIVE)
    circuit.flush("p0", 4)
    circuit.flush("p1", 3)
    view = circuit.flush("p2", 0, 1)
    assert view.rest_failures == 0
    circuit.flush("p0", 2)
    assert circuit.flush("p1", 2).rest_failures == 2


def test_counts_of_a_process_fade_over_two_windows(circuit: Circuit) -> None:
    circuit.now = START // WINDOW.span_ms * WINDOW.span_ms
    fleet(circuit, 2, WINDOW)
    circuit.flush("p0", 100, window=WINDOW)
    circuit.flush("p1", 10, window=WINDOW)
    seen: list[int] = []
    for _ in range(5):
        seen.append(circuit(Get(window=WINDOW)).rest_failures)
        circuit.now += WINDOW.span_ms // 2
    assert seen == [10, 10, 10, 5, 0]


def test_live_means_hello_or_a_call_in_the_last_minute_and_no_goodbye(circuit: Circuit) -> None:
    fleet(circuit, 3, CONSECUTIVE)
    circuit(Goodbye(reporter="p0"))
    assert circuit(Get()).live == 2
    circuit.now += 60_000
    circuit.flush("p1", 1)
    circuit.now += 1
    assert circuit(Get()).live == 1
    assert circuit.flush("p0", 1).live == 2, "it goes on after its goodbye"


def test_overlays_are_counted_until_the_circuit_moves(circuit: Circuit) -> None:
    fleet(circuit, 3, CONSECUTIVE)
    circuit.flush("p0", 5, overlay=True)
    assert circuit.flush("p1", 5, overlay=True).overlays == 2
    assert circuit.flush("p1", 0, 1).overlays == 1
    circuit.open()
    circuit(Reset(token="x"))
    assert circuit(Get()).overlays == 0


def test_reporters_are_bounded_and_the_silent_go_first(circuit: Circuit) -> None:
    for process in range(300):
        circuit.now += 1
        circuit(Hello(reporter=f"p{process}"))
    assert len(circuit.record.reporters) == 256
    assert "p43" not in circuit.record.reporters
    circuit.now += 300_001
    circuit(Hello(reporter="new"))
    assert list(circuit.record.reporters) == ["new"]


def test_leases_slots_and_reporters_of_the_past_are_dropped(circuit: Circuit) -> None:
    circuit.flush("a", 1, window=WINDOW)
    circuit.now += 32 * 1024
    circuit.flush("b", 1, window=WINDOW)
    assert len(circuit.record.slots) == 1


# ---- purity ----


def test_the_record_passed_in_stays_as_it_is() -> None:
    record = Record()
    before = record.copy()
    applied = apply(record, Hello(reporter="a"), START)
    assert record == before != applied.record


def test_looking_changes_nothing() -> None:
    record = Record()
    applied = apply(record, Get(), START)
    assert applied.record is record
    assert not applied.announce
