"""What a store must do with which processes share probes and evidence: the second protocol.

Subclass it with a fixture `store`, as `CircuitBreakerStoreContract`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from switchgear.stores.operations import (
    FAILED,
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
    Settle,
    Transition,
    Window,
)
from switchgear.stores.view import Change, Result, SharedCircuitStore, View
from switchgear.testing.promises import Contract, promise

MINUTE = 60_000


async def one(store: SharedCircuitStore, operation: Operation, key: str = "k") -> View:
    """The view after one operation."""
    return (await store.batch([(key, operation)]))[0]


def failure(reporter: str, number: int, **more: Any) -> Flush:
    """One failed call, in the first generation."""
    fields: dict[str, Any] = {"generation": 1, "deltas": (Delta(0, 1, 1, 0),), "run": FAILED, **more}
    return Flush(reporter=reporter, number=number, **fields)


def opening(expected: int, token: str = "opened", open_ms: int = 0) -> Transition:
    """Open it; a probe is due after `open_ms`."""
    return Transition(expected=expected, move=Move(to="open", token=token, open_ms=open_ms))


class SharedStoreContract(Contract):
    """`batch`, `watch`, `changes`. Promises: `evidence`, `decisions`, `probes`, `overrides`, `restore`,
    `feed`, `push`.
    """

    # ---- evidence ----

    @promise("evidence")
    async def test_failures_of_all_processes_add_up(self, store: SharedCircuitStore) -> None:
        window = Window.of(3600)
        flushes = [failure(reporter, number, window=window) for number in (1, 2) for reporter in "abc"]
        view = (await store.batch([("k", flush) for flush in flushes]))[-1]
        assert (view.failures, view.calls, view.run, view.live) == (6, 6, 6, 3)

    @promise("evidence")
    async def test_a_flush_counts_once_however_often_it_comes(self, store: SharedCircuitStore) -> None:
        first = await one(store, failure("a", 1))
        again = await one(store, failure("a", 1))
        assert (first.result, again.result) == (Result.COUNTED, Result.DUPLICATE)
        assert (again.run, again.peak) == (first.run, first.peak)

    @promise("evidence")
    async def test_a_success_ends_the_run_and_the_peak_is_told(self, store: SharedCircuitStore) -> None:
        await one(store, failure("a", 1))
        run = FAILED.then(FAILED).then(SUCCEEDED)
        view = await one(store, failure("b", 1, deltas=(Delta(0, 3, 2, 0),), run=run))
        assert (view.run, view.peak) == (0, 3)

    @promise("evidence")
    async def test_outcomes_of_another_generation_are_not_counted(self, store: SharedCircuitStore) -> None:
        await one(store, opening(1))
        await one(store, Reset(token="r"))
        late = await one(store, failure("a", 1))
        assert (late.result, late.run) == (Result.LATE, 0)

    @promise("evidence")
    async def test_the_rest_leaves_out_the_worst_eighth(self, store: SharedCircuitStore) -> None:
        window = Window.of(3600)
        for n in range(8):
            await one(store, Hello(reporter=f"r{n}", window=window))
        for number in range(1, 10):
            await one(store, failure("r0", number, window=window))
        view = await one(store, failure("r1", 1, window=window, overlay=True))
        assert (view.failures, view.rest_failures, view.live, view.overlays) == (10, 1, 8, 1)

    @promise("evidence")
    async def test_goodbye_ends_being_live(self, store: SharedCircuitStore) -> None:
        await one(store, Hello(reporter="a", policy="p"))
        assert (await one(store, Hello(reporter="b", policy="q"))).live == 2
        view = await one(store, Goodbye(reporter="a"))
        assert (view.live, view.policy) == (1, "q")

    @promise("evidence")
    async def test_a_look_creates_nothing(self, store: SharedCircuitStore) -> None:
        view = await one(store, Get())
        assert (view.generation, view.state, view.since) == (1, "closed", 0)

    # ---- decisions ----

    @promise("decisions")
    async def test_of_racing_changes_one_wins_and_wins_again_when_repeated(
        self, store: SharedCircuitStore
    ) -> None:
        moves = [opening(1, f"t{n}", MINUTE) for n in range(8)]
        views = await asyncio.gather(*(one(store, move) for move in moves))
        winners = [move for move, view in zip(moves, views, strict=True) if view.result == Result.WON]
        assert len(winners) == 1
        losers = [move for move in moves if move is not winners[0]]
        assert (await one(store, winners[0])).result == Result.WON
        assert (await one(store, losers[0])).result == Result.LOST
        assert (await one(store, Get())).generation == 2

    @promise("decisions")
    async def test_a_batch_is_answered_in_its_order(self, store: SharedCircuitStore) -> None:
        keys = [f"k{n % 3}" for n in range(60)]
        views = await store.batch([(key, failure(f"r{n}", 1)) for n, key in enumerate(keys)])
        assert [view.run for view in views] == [n // 3 + 1 for n in range(60)]

    # ---- probes ----

    @promise("probes")
    async def test_no_more_leases_than_the_limit(self, store: SharedCircuitStore) -> None:
        await one(store, opening(1))
        leases = [Lease(token=f"t{n}", limit=3, ttl_ms=MINUTE) for n in range(8)]
        views = await asyncio.gather(*(one(store, lease) for lease in leases))
        assert [view.result for view in views].count(Result.GRANTED) == 3
        granted = next(n for n, view in enumerate(views) if view.result == Result.GRANTED)
        assert (await one(store, leases[granted])).result == Result.GRANTED, "its own again"
        assert (await one(store, Get())).leases == 3

    @promise("probes")
    async def test_none_before_the_open_time_is_over_and_none_needed_when_closed(
        self, store: SharedCircuitStore
    ) -> None:
        assert (await one(store, Lease(token="t", limit=1, ttl_ms=MINUTE))).result == Result.PASS
        await one(store, opening(1, open_ms=MINUTE))
        assert (await one(store, Lease(token="t", limit=1, ttl_ms=MINUTE))).result == Result.REFUSED

    @promise("probes")
    async def test_a_successful_probe_closes(self, store: SharedCircuitStore) -> None:
        await one(store, opening(1))
        granted = await one(store, Lease(token="t", limit=1, ttl_ms=MINUTE))
        assert (granted.result, granted.state, granted.generation) == (Result.GRANTED, "half-open", 3)
        settle = self._settle("t", granted, Move(to="closed", token="c"))
        for _ in range(2):
            view = await one(store, settle)
            assert (view.result, view.state, view.generation, view.leases) == (Result.SETTLED, "closed", 4, 0)

    @promise("probes")
    async def test_a_late_result_changes_nothing_and_the_slot_is_free(
        self, store: SharedCircuitStore
    ) -> None:
        await one(store, opening(1))
        granted = await one(store, Lease(token="t", limit=1, ttl_ms=1))
        while (await one(store, Get())).leases:
            pass
        late = await one(store, self._settle("t", granted, Move(to="closed", token="c")))
        assert (late.result, late.state, late.successes) == (Result.LATE, "half-open", 0)
        assert (await one(store, Lease(token="u", limit=1, ttl_ms=MINUTE))).result == Result.GRANTED

    @promise("probes")
    async def test_leases_outlive_the_round(self, store: SharedCircuitStore) -> None:
        await one(store, opening(1))
        first = await one(store, Lease(token="t", limit=2, ttl_ms=MINUTE))
        await one(store, Lease(token="u", limit=2, ttl_ms=MINUTE))
        await one(store, self._settle("t", first, Move(to="open", token="again", open_ms=0), "failure"))
        view = await one(store, Lease(token="v", limit=2, ttl_ms=MINUTE))
        assert (view.result, view.leases) == (Result.GRANTED, 2)
        assert (await one(store, Lease(token="w", limit=2, ttl_ms=MINUTE))).result == Result.REFUSED

    # ---- overrides ----

    @promise("overrides")
    async def test_an_override_holds_against_decisions(self, store: SharedCircuitStore) -> None:
        view = await one(store, Override(to="disabled", token="o", author="ann", reason="why"))
        assert (view.override, view.override_author, view.override_reason) == ("disabled", "ann", "why")
        assert (await one(store, opening(view.generation))).result == Result.LOST
        lifted = await one(store, Override(to="", token="p"))
        assert (lifted.override, lifted.state) == ("", "closed")

    @promise("overrides")
    async def test_an_override_expires(self, store: SharedCircuitStore) -> None:
        await one(store, Override(to="forced-open", token="o", expires_ms=1))
        while (await one(store, Get())).override:
            pass
        assert (await one(store, Lease(token="t", limit=1, ttl_ms=MINUTE))).result == Result.GRANTED

    @promise("overrides")
    async def test_an_order_that_is_sent_again_undoes_nothing_that_came_in_between(
        self, store: SharedCircuitStore
    ) -> None:
        for order in (Override(to="forced-open", token="a"), Override(to="", token="b"), Reset(token="c")):
            await one(store, order)
            later = await one(store, Override(to="disabled", token=f"after-{order.token}"))
            again = await one(store, order)
            assert (again.generation, again.override) == (later.generation, "disabled"), order

    # ---- restore ----

    @promise("restore")
    async def test_a_store_that_knows_less_takes_it_back(self, store: SharedCircuitStore) -> None:
        known = Known(generation=7, change="seven", state="open", remaining_ms=MINUTE, rounds=2, why="dead")
        view = await one(store, Get(known=known))
        assert (view.changed, view.generation, view.state, view.rounds) == (Change.RESTORED, 7, "open", 2)
        assert view.until - view.now == MINUTE
        again = await one(store, Get(known=known))
        assert (again.changed, again.generation) == (Change.NONE, 7)

    # ---- the feed ----

    @promise("feed")
    async def test_changes_can_be_read_later(self, store: SharedCircuitStore) -> None:
        start = (await store.changes(None)).since
        await one(store, opening(1), "a")
        await one(store, opening(1), "b")
        found = await store.changes(start)
        assert {key: view.state for key, view in found.views} == {"a": "open", "b": "open"}
        assert not found.gap
        await one(store, Reset(token="r"), "b")
        assert dict((await store.changes(found.since)).views)["b"].state == "closed"

    @promise("push")
    async def test_changes_are_pushed_and_a_gap_is_told_first(self, store: SharedCircuitStore) -> None:
        seen: asyncio.Queue[tuple[str, View] | None] = asyncio.Queue()
        ready = asyncio.Event()
        watching = asyncio.create_task(
            store.watch(lambda key, view: seen.put_nowait((key, view)), ready.set, lambda: None)
        )
        try:
            await ready.wait()
            await one(store, failure("a", 1))
            await one(store, opening(1))
            pushed = await seen.get()
            assert pushed is not None
            assert (pushed[0], pushed[1].state, pushed[1].changed) == ("k", "open", Change.TRANSITION)
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    @staticmethod
    def _settle(token: str, granted: View, then: Move, outcome: str = "success") -> Settle:
        return Settle(reporter="r", token=token, generation=granted.generation, outcome=outcome, then=then)
