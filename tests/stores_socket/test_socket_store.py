"""The store at the other end of a Unix socket: the same answers as without one, whatever happens to the
connection."""

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from switchgear import CircuitState
from switchgear.stores.operations import (
    FAILED,
    Delta,
    Flush,
    Get,
    Hello,
    Lease,
    Move,
    Reset,
    Transition,
    Window,
)
from switchgear.stores.socket import line as line_module
from switchgear.stores.socket import server as server_module
from switchgear.stores.socket import store as store_module
from switchgear.stores.socket.frames import pack, pack_message, read_message
from switchgear.stores.socket.store import SocketCircuitStore
from switchgear.stores.view import Changes, Result

pytestmark = pytest.mark.anyio

PATIENCE = 30.0
OPEN = Transition(expected=1, move=Move(to="open", token="t1", why="tripped", open_ms=5000, rounds=0))
FAILURE = Flush(
    reporter="r", number=1, generation=1, deltas=(Delta(0, 1, 1, 0),), run=FAILED, window=Window.of(10)
)


class Heard:
    """What a subscription reports."""

    def __init__(self) -> None:
        self.views = []
        self.gaps = 0
        self.beats = 0
        self._news = asyncio.Event()

    def view(self, key, view):
        self.views.append((key, view.state))
        self._news.set()

    def gap(self):
        self.gaps += 1
        self._news.set()

    def alive(self):
        self.beats += 1
        self._news.set()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                self._news.clear()
                await self._news.wait()


def watching(store: SocketCircuitStore) -> tuple[Heard, asyncio.Task[None]]:
    heard = Heard()
    return heard, asyncio.create_task(store.watch(heard.view, heard.gap, heard.alive))


@asynccontextmanager
async def connected(served, **options):
    """A connection by hand; it is closed, and not only about to be, when the block ends."""
    reader, writer = await asyncio.open_unix_connection(served.path, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def end(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ---- questions ----


async def test_operations_give_the_views_that_the_coordinator_gives(served, store):
    operations = [
        ("a", Hello(reporter="r")),
        ("a", FAILURE),
        ("b\n}{ü", Get()),
        ("a", FAILURE),
        ("a", OPEN),
        ("a", OPEN),
    ]
    views = await store.batch(operations)
    assert [view.result for view in views] == ["", "counted", "", "duplicate", "won", "won"]
    (here,) = await served.coordinator.batch([("a", Get())])
    (there,) = await store.batch([("a", Get())])
    assert there == replace(here, now=there.now)
    served.now_ms += 5000
    lease = Lease(token="l", limit=1, ttl_ms=100)
    assert (await store.batch([("a", lease)]))[0].result == Result.GRANTED


async def test_the_five_methods(store):
    assert (await store.get_state("k")).state is CircuitState.CLOSED
    assert (await store.record_failure("k")).failure_count == 1
    assert (await store.record_failure("k")).failure_count == 2
    assert (await store.record_success("k")).failure_count == 0
    assert (await store.transition("k", CircuitState.OPEN)).state is CircuitState.OPEN
    await store.reset("k")
    assert (await store.get_state("k")).state is CircuitState.CLOSED
    with pytest.raises(ValueError, match="NUL"):
        await store.get_state("a\0")


async def test_questions_at_once_get_their_own_answers(store):
    for number in range(20):
        await store.batch([(f"k{number}", Hello(reporter="r", policy=f"p{number}"))])
    views = await asyncio.gather(*(store.batch([(f"k{n}", Get())]) for n in range(20)))
    assert [view.policy for (view,) in views] == [f"p{n}" for n in range(20)]


async def test_who_stops_waiting_does_not_disturb_the_others(store):
    await store.batch([("b", Hello(reporter="r", policy="mine"))])
    given_up = asyncio.create_task(store.batch([("a", Get())]))
    await asyncio.sleep(0)
    given_up.cancel()
    assert (await store.batch([("b", Get())]))[0].policy == "mine"


async def test_changes_tell_what_happened_since(store):
    since = (await store.changes(None)).since
    await store.batch([("a", OPEN)])
    found = await store.changes(since)
    assert [(key, view.state) for key, view in found.views] == [("a", "open")]
    assert not found.gap


async def test_two_event_loops_use_one_store(store):
    await store.record_failure("k")
    counts = []

    def other() -> None:
        counts.append(asyncio.run(store.record_failure("k")).failure_count)

    thread = threading.Thread(target=other)
    thread.start()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert counts == [2]
    assert (await store.record_failure("k")).failure_count == 3


async def test_what_cant_be_understood_is_an_error_and_the_connection_goes_on(served):
    async with connected(served) as (reader, writer):
        for question in ({"do": "dance"}, {"do": "batch", "operations": [["k", {"op": "dance"}]]}, {}):
            writer.write(pack_message(question))
            assert "error" in await asyncio.wait_for(read_message(reader), PATIENCE)
        writer.write(pack_message({"do": "batch", "operations": [["k", {"op": "get"}]]}))
        assert (await asyncio.wait_for(read_message(reader), PATIENCE))["views"][0]["now"] == served.now_ms


async def test_an_error_of_the_coordinator_is_one_of_the_connection_to_the_user(served, store):
    async def broken(_):
        raise MemoryError("full")

    served.coordinator.batch = broken
    with pytest.raises(ConnectionError, match="the supervisor: MemoryError: full"):
        await store.get_state("k")


async def test_one_that_speaks_nonsense_is_dropped(served, store):
    async with connected(served) as (reader, writer):
        writer.write(pack(b"nonsense"))
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    assert (await store.get_state("k")).state is CircuitState.CLOSED


# ---- the connection ----


async def test_no_server_is_an_error_at_once(path):
    async with SocketCircuitStore(path) as store:
        with pytest.raises(OSError, match="No such file"):
            await store.get_state("k")
        with pytest.raises(OSError, match="No such file"):
            await store.watch(lambda *_: None, lambda: None, lambda: None)


async def test_it_connects_again_when_the_server_is_back(served, store):
    await store.record_failure("k")
    await served.stop()
    with pytest.raises(OSError, match="No such file"):
        await store.get_state("k")
    await served.restart_empty()
    assert (await store.get_state("k")).failure_count == 0


async def test_a_server_that_was_started_anew_is_not_noticed(served, store):
    await store.record_failure("k")
    await served.restart_empty()
    assert (await store.record_failure("k")).failure_count == 1


async def test_a_feed_of_another_server_is_a_gap(served, store):
    await store.batch([("a", OPEN)])
    since = (await store.changes(None)).since
    await served.restart_empty()
    await store.batch([("a", OPEN)])
    found: Changes = await store.changes(since)
    assert found.gap
    assert not (await store.changes(found.since)).gap


async def test_a_server_that_hangs_is_given_up_and_asked_again_later(served, store, monkeypatch):
    monkeypatch.setattr(line_module, "ANSWER_SECONDS", 0.05)
    batch, hanging = served.coordinator.batch, asyncio.Event()

    async def hang(operations):
        hanging.set()
        await asyncio.Event().wait()
        return await batch(operations)

    served.coordinator.batch = hang
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.05 s"):
        await store.get_state("k")
    assert hanging.is_set()
    served.coordinator.batch = batch
    monkeypatch.setattr(line_module, "ANSWER_SECONDS", PATIENCE)
    assert (await store.get_state("k")).state is CircuitState.CLOSED


async def test_the_line_is_bounded(store, monkeypatch):
    await store.get_state("k")
    monkeypatch.setattr(line_module, "MOST_WAITING", 2)
    answers = await asyncio.gather(*(store.batch([("k", Get())]) for _ in range(3)), return_exceptions=True)
    assert [isinstance(answer, ConnectionError) for answer in answers] == [False, False, True]


async def test_closing_twice_and_using_it_again(store):
    await store.get_state("k")
    await store.aclose()
    await store.aclose()
    assert (await store.get_state("k")).state is CircuitState.CLOSED


# ---- changes as they happen ----


async def test_changes_are_pushed_to_all_and_the_start_is_a_gap(served, store):
    async with SocketCircuitStore(served.path) as other:
        subscriptions = [watching(store), watching(other)]
        for heard, _ in subscriptions:
            await heard.until(lambda h: h.gaps == 1 and h.beats)
        await store.batch([("a", FAILURE), ("a", OPEN), ("a", Reset(token="t2"))])
        for heard, task in subscriptions:
            await heard.until(lambda h: len(h.views) == 2)
            assert heard.views == [("a", "open"), ("a", "closed")]
            await end(task)


async def test_signs_of_life_come_while_nothing_happens(store):
    heard, task = watching(store)
    await heard.until(lambda h: h.beats >= 3)
    assert heard.views == []
    await end(task)


async def test_the_end_of_the_server_ends_the_subscription(served, store):
    heard, task = watching(store)
    await heard.until(lambda h: h.beats)
    await served.stop()
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(task, PATIENCE)


async def test_silence_ends_the_subscription(path, monkeypatch):
    monkeypatch.setattr(store_module, "SILENCE", 0.05)
    ended = asyncio.Event()

    async def silent(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_unix_server(silent, path)
    async with SocketCircuitStore(path) as store:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.watch(lambda *_: None, lambda: None, lambda: None), PATIENCE)
    await asyncio.wait_for(ended.wait(), PATIENCE)
    server.close()


async def test_a_subscriber_that_falls_behind_is_dropped_and_the_others_hear_all(served, store, monkeypatch):
    monkeypatch.setattr(server_module, "BACKLOG", 10_000)
    async with connected(served, limit=16) as (reader, writer):
        reader._transport.pause_reading()
        writer.write(pack_message({"do": "watch"}))
        heard, task = watching(store)
        await heard.until(lambda h: h.beats)
        for number in range(3000):
            await store.batch([("a", Reset(token=f"t{number}", why="x" * 150))])
        await heard.until(lambda h: len(h.views) == 3000)
        reader._transport.resume_reading()
        received = len(await asyncio.wait_for(reader.read(), PATIENCE))  # up to its end: it was dropped
        assert 0 < received < 3000 * 150
        await end(task)
