"""The record of a circuit by itself; what operations make of it stands in `test_mechanism.py`."""

from __future__ import annotations

import pytest

from switchgear.stores.operations import MAX_REPORTERS, Known, Move, Window
from switchgear.stores.record import RING, Held, Record, Slot
from switchgear.stores.reporters import Counts, Reporter

NOW = 1_800_000_000_000
WINDOW = Window(1024, 10)


def test_a_copy_shares_nothing_that_changes() -> None:
    record = Record(
        generation=7,
        slots={(1024, 3): Slot(0, 3, Counts(1, 1, 1))},
        leases={"a": Held(NOW, 7)},
        reporters={"r": Reporter(number=2)},
    )
    copy = record.copy()
    assert copy == record
    for name in ("slots", "leases", "reporters"):
        assert getattr(copy, name) is not getattr(record, name)


def test_leases_are_alive_until_their_end() -> None:
    record = Record(leases={"a": Held(NOW, 1), "b": Held(NOW + 1, 1), "c": Held(NOW + 5, 2)})
    assert record.alive(NOW) == [NOW + 1, NOW + 5]


# ---- counting ----


def bucket(now: int) -> int:
    return now // WINDOW.bucket_ms


def test_a_window_counts_its_newest_buckets_and_no_others() -> None:
    record, newest = Record(), bucket(NOW)
    for age in (-1, 0, 5, 9, 10):
        record.add(WINDOW.bucket_ms, newest - age, Counts(1, 1, 1))
    record.add(2048, newest, Counts(50, 50, 50))  # another width of buckets
    assert record.counted(WINDOW, NOW) == Counts(3, 3, 3)
    assert record.counted(Window(0, 0), NOW) == Counts()


def test_what_another_era_counted_does_not_count_and_gives_way() -> None:
    record = Record()
    record.add(1024, bucket(NOW), Counts(5, 5, 5))
    record.era += 1
    assert record.counted(WINDOW, NOW) == Counts()
    record.add(1024, bucket(NOW), Counts(1, 0, 0))
    record.add(1024, bucket(NOW), Counts(1, 1, 0))
    assert record.counted(WINDOW, NOW) == Counts(2, 1, 0)


def test_of_two_buckets_in_one_slot_the_newer_stays() -> None:
    record, newest = Record(), bucket(NOW)
    record.add(1024, newest - RING, Counts(9, 9, 9))
    record.add(1024, newest, Counts(1, 0, 0))
    record.add(1024, newest - RING, Counts(9, 9, 9))
    assert list(record.slots.values()) == [Slot(0, newest, Counts(1, 0, 0))]


def test_a_failure_is_kept_with_its_moment_and_a_process_with_its_last_one() -> None:
    record = Record(reporters={"r": Reporter(number=4)})
    record.fail("ValueError: bad", NOW)
    assert (record.last_failure, record.last_failure_at) == ("ValueError: bad", NOW)
    for name, number in (("r", 4), ("new", 0)):
        record.report(name, NOW)
        assert (record.reporters[name].number, record.reporters[name].active) == (number, NOW)


# ---- moving ----


def test_moving_to_open_keeps_the_evidence_that_opened_it() -> None:
    record = Record(generation=3, run=5, successes=2, until=1, rounds=1, era=4)
    record.move(Move(to="open", token="t", why="5 failed", open_ms=700, rounds=2), NOW)
    assert (record.generation, record.change, record.state, record.why) == (4, "t", "open", "5 failed")
    assert (record.since, record.until, record.open_ms, record.rounds) == (NOW, NOW + 700, 700, 2)
    assert (record.run, record.successes, record.era) == (5, 0, 4)


def test_moving_to_closed_forgets_it_and_keeps_what_the_next_opening_needs() -> None:
    record = Record(run=5, until=1, open_ms=700, rounds=2, era=4)
    record.move(Move(to="closed", token="t"), NOW)
    assert (record.run, record.era, record.until, record.open_ms, record.rounds) == (0, 5, 0, 700, 2)


def test_an_open_time_ends_at_a_moment_only_while_open() -> None:
    record = Record()
    record.move(Move(to="half-open", token="t", open_ms=700, rounds=0), NOW)
    assert (record.until, record.open_ms, record.era) == (0, 700, 0)


def test_an_override_and_its_end() -> None:
    record = Record()
    record.put_override("disabled", NOW, 500, "ann", "migration")
    assert (record.override, record.override_author, record.override_reason) == (
        "disabled",
        "ann",
        "migration",
    )
    assert record.override_until == NOW + 500
    record.put_override("forced-open", NOW)
    assert (record.override, record.override_author, record.override_reason) == ("forced-open", "", "")
    assert record.override_until == 0


@pytest.mark.parametrize(("override", "state"), [("forced-open", "open"), ("disabled", "closed")])
def test_lifting_an_override_begins_with_no_failed_rounds(override: str, state: str) -> None:
    record = Record(generation=2, rounds=3, open_ms=700)
    record.put_override(override, NOW, 500, "ann", "why")
    record.lift("t", "lifted", NOW)
    assert (record.state, record.change, record.why, record.generation) == (state, "t", "lifted", 3)
    assert (record.rounds, record.open_ms, record.since) == (0, 0, NOW)
    assert record.until == (NOW if state == "open" else 0)
    assert (record.override, record.override_until, record.override_author) == ("", 0, "")


def test_what_a_process_knows_of_a_newer_generation_is_taken_over_whole() -> None:
    record = Record(generation=2, run=3)
    known = Known(
        generation=9,
        change="nine",
        state="open",
        remaining_ms=300,
        open_ms=700,
        rounds=2,
        why="many failed",
        override="disabled",
        override_ms=50,
        override_author="ann",
        override_reason="migration",
    )
    record.restore(known, NOW)
    assert (record.generation, record.change, record.state, record.why) == (9, "nine", "open", "many failed")
    assert (record.until, record.open_ms, record.rounds) == (NOW + 300, 700, 2)
    assert (record.override, record.override_until) == ("disabled", NOW + 50)
    assert (record.override_author, record.override_reason) == ("ann", "migration")


def test_of_a_circuit_that_is_not_open_no_remaining_time_is_taken_over() -> None:
    record = Record()
    record.restore(Known(generation=9, change="c", state="half-open", remaining_ms=300, open_ms=700), NOW)
    assert (record.state, record.until, record.open_ms) == ("half-open", 0, 700)


# ---- the clock, and what nobody needs any more ----


def test_a_clock_that_goes_back_takes_every_deadline_along() -> None:
    record = Record(
        since=NOW - 10,
        until=NOW + 10,
        override_until=NOW + 20,
        last_failure_at=NOW - 20,
        written=NOW,
        era=4,
        leases={"a": Held(NOW + 30, 7)},
        reporters={"r": Reporter(number=2, active=NOW - 30)},
    )
    record.repair_clock(NOW - 5000)
    assert (record.since, record.until) == (NOW - 5010, NOW - 4990)
    assert (record.override_until, record.last_failure_at) == (NOW - 4980, NOW - 5020)
    assert record.leases == {"a": Held(NOW - 4970, 7)}
    assert record.reporters == {"r": Reporter(number=2, active=NOW - 5030)}
    assert record.era == 5


def test_moments_that_never_were_stay_never() -> None:
    record = Record(written=NOW)
    record.repair_clock(NOW - 5000)
    assert (record.since, record.until, record.override_until, record.last_failure_at) == (0, 0, 0, 0)
    assert record.era == 1


@pytest.mark.parametrize(("written", "now"), [(0, -5000), (NOW, NOW - 1000), (NOW, NOW + 5000)])
def test_a_clock_that_is_within_a_second_is_left_alone(written: int, now: int) -> None:
    record = Record(since=NOW, written=written)
    record.repair_clock(now)
    assert (record.since, record.era) == (NOW, 0)


def test_about_once_a_second_what_is_past_is_dropped() -> None:
    def record(written: int) -> Record:
        oldest = bucket(NOW) - RING
        return Record(
            written=written,
            leases={"over": Held(NOW, 1), "alive": Held(NOW + 1, 1)},
            slots={(1024, 1): Slot(0, oldest, Counts()), (1024, 2): Slot(0, oldest + 1, Counts())},
            reporters={"gone": Reporter(active=NOW - 10**9), "there": Reporter(active=NOW)},
        )

    tidied, young = record(NOW - 1000), record(NOW)
    tidied.tidy(WINDOW, NOW)
    assert (list(tidied.leases), list(tidied.slots), list(tidied.reporters)) == (
        ["alive"],
        [(1024, 2)],
        ["there"],
    )
    young.tidy(WINDOW, NOW)
    assert (len(young.leases), len(young.slots), len(young.reporters)) == (2, 2, 2)
    assert tidied.written == young.written == NOW


def test_the_second_that_counts_is_the_servers() -> None:
    for written, dropped in ((NOW - 1, True), (NOW + 999, False)):  # NOW is the first moment of a second
        record = Record(written=written, leases={"over": Held(NOW - 9, 1)})
        record.tidy(WINDOW, NOW if written < NOW else NOW + 999)
        assert (not record.leases) is dropped


def test_too_many_processes_are_not_kept_for_even_a_second() -> None:
    for count, kept in ((MAX_REPORTERS, MAX_REPORTERS), (MAX_REPORTERS + 1, MAX_REPORTERS)):
        reporters = {f"p{n}": Reporter(active=NOW + n) for n in range(count)}
        record = Record(written=NOW, reporters=reporters, leases={"over": Held(NOW, 1)})
        record.tidy(WINDOW, NOW)
        assert (len(record.reporters), len(record.leases)) == (kept, count == MAX_REPORTERS)
