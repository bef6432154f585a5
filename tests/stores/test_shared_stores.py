"""What a shared store guarantees, on real servers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from random import Random

import pytest

from switchgear import CircuitBreaker
from switchgear.breaker.state import CircuitState
from switchgear.stores.operations import (
    FAILED,
    Delta,
    Flush,
    Get,
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
from switchgear.stores.view import Change, Result, View
from tests.servers.patience import PATIENCE, USUAL, allow
from tests.stores.conftest import AnyStore, Backend

pytestmark = pytest.mark.anyio

OPEN_AT_ONCE = Move(to="open", token="opened", open_ms=0)


async def one(store: AnyStore, operation: Operation, key: str = "k") -> View:
    return (await store.batch([(key, operation)]))[0]


def failure(reporter: str, number: int, generation: int = 0) -> Flush:
    return Flush(
        reporter=reporter, number=number, generation=generation, deltas=(Delta(0, 1, 1, 0),), run=FAILED
    )


# ---- as context managers ----


def count_two(store: AnyStore) -> None:
    breaker = CircuitBreaker("counted", failure_threshold=100, store=store)
    for _ in range(2):
        breaker.acquire().failure("no route to host")


async def counted(backend: Backend) -> int:
    async with backend.store() as store:
        return (await store.get_state("counted")).failure_count


def test_what_breakers_counted_is_there_when_a_block_ends(backend: Backend) -> None:
    with backend.store() as store:
        count_two(store)
    assert asyncio.run(counted(backend)) == 2


async def test_what_breakers_counted_is_there_when_an_async_block_ends(backend: Backend) -> None:
    async with backend.store() as store:
        count_two(store)
    assert await counted(backend) == 2


# ---- the five methods ----


async def test_an_unknown_circuit_is_closed_and_to_look_creates_nothing(backend: Backend) -> None:
    async with backend.store() as store:
        found = await store.get_state("never seen")
        assert (found.state, found.failure_count, found.last_state_change) == (CircuitState.CLOSED, 0, 0.0)
        assert (await one(store, Get(), "never seen")).generation == 1
        assert [key for key, _ in (await store.changes(None)).views] == []


async def test_the_five_methods(backend: Backend) -> None:
    async with backend.store() as store, backend.store() as other:
        await store.record_failure("k")
        counted = await store.record_failure("k")
        assert (counted.state, counted.failure_count) == (CircuitState.CLOSED, 2)
        assert counted.last_failure_time > 1_700_000_000
        assert (await other.get_state("k")).failure_count == 2, "another store object reads the same circuit"
        after = await other.record_success("k")
        assert (after.failure_count, after.success_count) == (0, 1)

        await store.record_failure("k")
        opened = await store.transition("k", CircuitState.OPEN)
        assert (opened.state, opened.failure_count, opened.success_count) == (CircuitState.OPEN, 1, 0)
        assert opened.last_state_change > 1_700_000_000
        late = await store.record_failure("k")
        assert (late.failure_count, late.last_failure_time >= opened.last_failure_time) == (1, True)

        half = await store.transition("k", "half-open")  # type: ignore[arg-type] - the text is allowed too
        assert (half.state, half.success_count) == (CircuitState.HALF_OPEN, 0)
        assert (await store.record_success("k")).success_count == 1

        closed = await store.transition("k", CircuitState.CLOSED)
        assert (closed.state, closed.failure_count, closed.success_count) == (CircuitState.CLOSED, 0, 0)
        await store.record_failure("k")
        await store.reset("k")
        forgotten = await store.get_state("k")
        assert (forgotten.failure_count, forgotten.last_failure_time) == (0, 0.0)
        assert forgotten.generation > closed.generation


async def test_a_window_counts_for_readers_without_a_policy(backend: Backend) -> None:
    async with backend.store() as store:
        await one(store, Hello(reporter="a", window=Window.of(30)))
        await store.record_failure("k")
        await store.record_success("k")
        assert (await store.get_state("k")).failure_count == 1, "a success ends no window"


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "}{", "x:{y}:z", "ключ", "a\nb", "%s'\";--", "\x01\x7f\u2028", "k" * 1024]
)
async def test_any_text_is_a_key(backend: Backend, key: str) -> None:
    async with backend.store() as store, backend.store() as watcher:
        seen: dict[str, View] = {}
        async with listening(watcher, seen):
            await store.record_failure(key)
            await store.transition(key, CircuitState.OPEN)
            await until(lambda: key in seen)
        assert (await store.get_state(key)).state is CircuitState.OPEN
        assert (await store.get_state(key + "x" if len(key) < 1024 else "x")).state is CircuitState.CLOSED


@pytest.mark.parametrize("key", ["a\0b", "k" * 1025, "ü" * 513, "\ud800"])
async def test_other_keys_are_refused(backend: Backend, key: str) -> None:
    async with backend.store() as store:
        for call in (store.get_state, store.record_failure, store.record_success, store.reset):
            with pytest.raises(ValueError, match="a circuit's key"):
                await call(key)


@pytest.mark.parametrize("to", ["forced-open", "disabled", "ajar", None, 1])
async def test_only_three_states_can_be_set(backend: Backend, to: object) -> None:
    async with backend.store() as store:
        with pytest.raises(ValueError, match="allowed are 'closed', 'open', 'half-open'"):
            await store.transition("k", to)  # type: ignore[arg-type]


async def test_a_transition_ends_an_override(backend: Backend) -> None:
    async with backend.store() as store:
        await one(store, Override(to="forced-open", token="o", author="ann", reason="deploy"))
        forced = await store.get_state("k")
        assert (forced.state, forced.retry_after) == (CircuitState.FORCED_OPEN, None)
        assert (await store.transition("k", CircuitState.CLOSED)).state is CircuitState.CLOSED


async def test_namespaces_do_not_meet(backend: Backend) -> None:
    async with backend.store(namespace="one") as first, backend.store(namespace="two") as second:
        seen: dict[str, View] = {}
        async with listening(second, seen):
            await first.transition("k", CircuitState.OPEN)
            await second.transition("other", CircuitState.OPEN)
            await until(lambda: "other" in seen)
        assert list(seen) == ["other"]
        assert (await second.get_state("k")).state is CircuitState.CLOSED


# ---- counting ----


async def test_every_failure_is_counted_once_also_when_flushes_are_sent_again(backend: Backend) -> None:
    """Eight processes, 500 failures each; a fifth of the flushes are sent three times."""

    async def process(number: int) -> None:
        random = Random(number)
        async with backend.store() as store:
            for flush_number in range(1, 51):
                flush = Flush(
                    reporter=f"p{number}",
                    number=flush_number,
                    generation=1,
                    deltas=(Delta(0, 10, 10, 0),),
                    window=Window.of(3600),
                )
                for _ in range(random.choice([1, 1, 1, 1, 3])):
                    await one(store, flush)

    await asyncio.gather(*(process(number) for number in range(8)))
    async with backend.store() as fresh:
        assert (await fresh.get_state("k")).failure_count == 4000


async def test_failures_of_one_store_at_once_are_all_counted(backend: Backend) -> None:
    async with backend.store() as store:
        await asyncio.gather(*(store.record_failure("k") for _ in range(200)))
        assert (await store.get_state("k")).failure_count == 200


async def test_a_repeated_flush_is_answered_like_the_first(backend: Backend) -> None:
    async with backend.store() as store:
        await one(store, failure("a", 1))
        first = await one(store, failure("b", 1))
        again = await one(store, failure("b", 1))
        assert (first.result, first.peak, first.run) == (Result.COUNTED, 2, 2)
        assert (again.result, again.peak, again.run) == (Result.DUPLICATE, 2, 2)


# ---- decisions ----


async def test_of_racing_transitions_one_wins_and_its_retry_wins_again(backend: Backend) -> None:
    async with backend.store() as store:
        moves = [
            Transition(expected=1, move=Move(to="open", token=f"t{n}", open_ms=60_000)) for n in range(8)
        ]
        views = await asyncio.gather(*(one(store, move) for move in moves))
        winners = [n for n, view in enumerate(views) if view.result == Result.WON]
        assert len(winners) == 1
        assert {view.generation for view in views} == {2}
        assert (await one(store, moves[winners[0]])).result == Result.WON
        assert (await one(store, moves[winners[0] - 1])).result == Result.LOST
        assert (await one(store, Get())).generation == 2


async def test_no_transition_against_an_override(backend: Backend) -> None:
    async with backend.store() as store:
        view = await one(store, Override(to="disabled", token="o"))
        lost = await one(store, Transition(expected=view.generation, move=OPEN_AT_ONCE))
        assert (lost.result, lost.state, lost.override) == (Result.LOST, "closed", "disabled")


async def test_leases_never_exceed_the_limit(backend: Backend) -> None:
    """Twelve probers, three leases: never four calls in flight, though probes fail while others still run."""
    store = backend.store()
    await one(store, Transition(expected=1, move=OPEN_AT_ONCE))
    flying, most, probes = 0, 0, 0

    async def prober(number: int, store: AnyStore) -> None:
        nonlocal flying, most, probes
        random = Random(number)
        for attempt in itertools.count():
            if probes >= 60 and most >= 3:  # when three are in flight together is chance
                return
            token = f"{number}-{attempt}"
            view = await one(store, Lease(token=token, limit=3, ttl_ms=60_000))
            if view.result != Result.GRANTED:
                await asyncio.sleep(0)
                continue
            flying, probes = flying + 1, probes + 1
            most = max(most, flying)
            for _ in range(random.randrange(5)):
                await one(store, Get())
            failed = random.random() < 0.5
            flying -= 1
            move = Move(to="open", token=f"s{token}", open_ms=0)
            settle = Settle(
                reporter=f"r{number}",
                token=token,
                generation=view.generation,
                outcome="failure" if failed else "success",
                then=move if failed else None,
            )
            await one(store, settle)

    async with store, asyncio.timeout(90):
        await asyncio.gather(*(prober(number, store) for number in range(12)))
    assert most == 3


async def test_a_late_outcome_of_a_probe_changes_nothing(backend: Backend) -> None:
    async with backend.store() as store:
        await one(store, Transition(expected=1, move=OPEN_AT_ONCE))
        expired = await one(store, Lease(token="a", limit=1, ttl_ms=1))
        assert expired.result == Result.GRANTED
        while (await one(store, Get())).leases:
            pass
        closing = Move(to="closed", token="c")
        late = Settle(reporter="r", token="a", generation=expired.generation, outcome="success", then=closing)
        view = await one(store, late)
        assert (view.result, view.state, view.successes) == (Result.LATE, "half-open", 0)
        assert (await one(store, Lease(token="b", limit=1, ttl_ms=60_000))).result == Result.GRANTED, (
            "the slot is free"
        )


async def test_a_store_that_knows_less_takes_it_back(backend: Backend) -> None:
    known = Known(
        generation=7, change="seven", state="open", remaining_ms=20_000, open_ms=30_000, rounds=2, why="dead"
    )
    async with backend.store() as store:
        view = await one(store, Get(known=known))
        assert (view.changed, view.generation, view.state, view.rounds) == (Change.RESTORED, 7, "open", 2)
        assert view.until - view.now == 20_000
        again = await one(store, Get(known=known))
        assert (again.changed, again.generation) == (Change.NONE, 7)


async def test_a_batch_answers_in_the_order_it_was_asked(backend: Backend) -> None:
    async with backend.store() as store:
        keys = [f"k{number % 7}" for number in range(300)]
        views = await store.batch([(key, failure(f"r{n}", 1)) for n, key in enumerate(keys)])
        assert [view.run for view in views] == [n // 7 + 1 for n in range(300)]


# ---- the feed ----


class listening:  # noqa: N801 - reads as `async with listening(...)`
    """Watches a store; `gaps` and `alive` count."""

    def __init__(self, store: AnyStore, seen: dict[str, View]) -> None:
        self.store, self.seen = store, seen
        self.gaps = self.alive = 0

    async def __aenter__(self) -> listening:
        self._start()
        await until(self._listens)
        return self

    def _start(self) -> None:
        self.task = asyncio.create_task(self.store.watch(self.seen.__setitem__, self._gap, self._alive))

    def _listens(self) -> bool:
        if self.task.done():  # the first sign of life took longer than the store's staleness
            self._start()
        return self.gaps > 0 and self.alive > 0

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    def _gap(self) -> None:
        self.gaps += 1

    def _alive(self) -> None:
        self.alive += 1


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions here come from sockets, with no event to wait for
            await asyncio.sleep(0.002)


async def pushed(backend: Backend, operations: Sequence[Operation]) -> tuple[list[View], int]:
    """What a watcher hears of these operations."""
    views: list[View] = []
    gaps = 0

    def gap() -> None:
        nonlocal gaps
        gaps += 1

    async with backend.store() as store, backend.store() as watcher:
        task = asyncio.create_task(watcher.watch(lambda _, view: views.append(view), gap, lambda: None))
        await until(lambda: gaps)
        for operation in operations:
            await one(store, operation)
        await one(store, Reset(token="the end"))
        await until(lambda: views and views[-1].changed == Change.RESET)
        task.cancel()
        await asyncio.wait({task})
    return views[:-1], gaps


async def test_every_change_is_pushed_and_no_flush_is(backend: Backend) -> None:
    transition = Transition(expected=1, move=Move(to="open", token="t", open_ms=5, why="5 failures"))
    views, gaps = await pushed(backend, [failure("a", 1), transition, Override(to="disabled", token="o")])
    assert [(view.changed, view.generation) for view in views] == [("transition", 2), ("override", 3)]
    assert gaps == 1, "only that before the subscription"


async def test_each_alarm_is_pushed_once(backend: Backend) -> None:
    flushes = [
        Flush(
            reporter="a",
            number=n,
            generation=1,
            deltas=(Delta(0, 1, 1, 0),),
            window=Window.of(60),
            alarms=(3, 5),
        )
        for n in range(1, 8)
    ]
    views, _ = await pushed(backend, flushes)
    assert [view.failures for view in views] == [3, 5]


async def test_changes_are_read_again(backend: Backend) -> None:
    async with backend.store() as store:
        start = await store.changes(None)
        assert (start.views, start.gap) == ((), False)
        await store.transition("a", CircuitState.OPEN)
        await store.transition("b", CircuitState.OPEN)
        await store.transition("a", CircuitState.CLOSED)
        found = await store.changes(start.since)
        assert {key: view.state for key, view in found.views} == {"a": "closed", "b": "open"}
        assert not found.gap
        await store.transition("b", CircuitState.CLOSED)
        assert dict((await store.changes(found.since)).views)["b"].state == "closed"


async def test_a_dead_server_is_noticed_by_who_watches(own_backend: Backend) -> None:
    async with own_backend.store(staleness=1.0) as store:
        watching = listening(store, {})
        async with watching:
            own_backend.server.kill()
            done, _ = await asyncio.wait({watching.task}, timeout=PATIENCE)
            assert done
            assert watching.task.exception() is not None
        own_backend.server.restart()
        async with listening(store, {}):
            pass


async def test_a_hanging_server_is_noticed_and_nothing_waits_longer_than_a_second(
    own_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert USUAL == 1.0
    async with own_backend.store(staleness=1.0) as store:
        await store.record_failure("k")
        watching = listening(store, {})
        async with watching:
            allow(USUAL, monkeypatch)
            own_backend.server.pause()
            try:
                async with own_backend.store() as hung, own_backend.store() as another:
                    for ask in (store.record_failure, hung.get_state, another.get_state):
                        async with asyncio.timeout(PATIENCE):  # and not until the server goes on
                            with pytest.raises(Exception, match=r"within 1 s|[Tt]imeout"):
                                await ask("k")
                done, _ = await asyncio.wait({watching.task}, timeout=PATIENCE)
                assert done
            finally:
                own_backend.server.resume()
                allow(PATIENCE, monkeypatch)
        await store.record_failure("k")
        assert (await store.get_state("k")).failure_count in {2, 3}, (
            "nobody knows whether the one in between arrived"
        )


async def test_a_restarted_server_is_used_again_and_a_gap_is_told(own_backend: Backend) -> None:
    async with own_backend.store() as store:
        await store.transition("k", CircuitState.OPEN)
        since = (await store.changes(None)).since
        own_backend.server.kill()
        with pytest.raises(Exception, match=r"."):
            await store.get_state("k")
        own_backend.server.restart()
        await store.get_state("k")
        assert (await store.changes(since)).gap


async def test_closing_twice_is_safe_and_so_is_never_opening(backend: Backend) -> None:
    store = backend.store()
    await store.aclose()
    await store.record_failure("k")
    await store.aclose()
    await store.aclose()


def test_one_store_serves_several_event_loops(backend: Backend) -> None:
    store = backend.store()

    async def use() -> int:
        count = (await store.record_failure("k")).failure_count
        await store.aclose()
        return count

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]
