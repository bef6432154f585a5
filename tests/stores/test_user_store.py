"""A user's store of five coroutines in a breaker, through the real pump."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, CircuitState, Switchgear
from switchgear.breaker.state import ShadowCounts
from switchgear.stores import plain
from switchgear.stores.coordinator import Coordinator
from switchgear.stores.operations import Operation
from switchgear.stores.post import TICK
from switchgear.stores.sharing import flush
from switchgear.stores.view import View
from tests.stores.user_store import PATIENCE, UserStore, eventually


@pytest.fixture
def store() -> UserStore:
    return UserStore()


def bad() -> None:
    raise ValueError("bad")


async def bad_async() -> None:
    raise ValueError("bad")


def fail_sync(breaker: CircuitBreaker, times: int) -> int:
    """Failing calls; how many got through."""
    through = 0
    for _ in range(times):
        with suppress(CircuitOpenError):
            try:
                breaker.call(bad)
            except ValueError:
                through += 1
    return through


async def fail_async(breaker: CircuitBreaker, times: int) -> int:
    through = 0
    for _ in range(times):
        with suppress(CircuitOpenError):
            try:
                await breaker.call(bad_async)
            except ValueError:
                through += 1
    return through


Fail = Callable[[CircuitBreaker, int], int]


@pytest.fixture(params=["sync", "async"])
def fail(request: pytest.FixtureRequest) -> Fail:
    if request.param == "sync":
        return fail_sync
    return lambda breaker, times: asyncio.run(fail_async(breaker, times))


def test_the_state_goes_to_the_store(store: UserStore, fail: Fail) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=3)
    assert fail(breaker, 5) == 3
    assert breaker.state == "open", "at once, whatever the store says"
    eventually(lambda: store.circuit("x").state == "open")
    assert (store.circuit("x").failure_count, store.count("record_failure")) == (3, 3)


def test_the_state_comes_from_the_store(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store)
    assert breaker.call(lambda: 1) == 1
    asyncio.run(store.transition("x", CircuitState.OPEN))
    eventually(lambda: breaker.state == "open")
    with pytest.raises(CircuitOpenError, match="open in the store"):
        breaker.call(lambda: 1)
    asyncio.run(store.reset("x"))
    eventually(lambda: breaker.state == "closed")


def test_what_others_have_counted_counts_here_too(store: UserStore, fail: Fail) -> None:
    for _ in range(4):
        asyncio.run(store.record_failure("x"))
    breaker = CircuitBreaker("x", store=store)
    assert breaker.ready(PATIENCE)
    assert fail(breaker, 3) == 1


def test_it_opens_probes_and_closes_again(store: UserStore, fail: Fail) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=2, reset_timeout=0.05)
    fail(breaker, 2)
    eventually(lambda: store.circuit("x").state == "open")
    eventually(lambda: breaker.snapshot().retry_after == 0.0)
    assert breaker.call(lambda: 1) == 1
    assert breaker.state == "closed"
    eventually(lambda: store.circuit("x").state == "closed")
    assert store.circuit("x").failure_count == 0


def test_two_breakers_of_one_store_and_key_are_one_circuit(store: UserStore, fail: Fail) -> None:
    one, other = (CircuitBreaker("x", store=store, failure_threshold=3) for _ in range(2))
    fail(one, 2)
    fail(other, 1)
    assert (one.state, other.state) == ("open", "open")


def test_calls_to_the_store_do_not_grow_with_successes(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store)
    begin = time.monotonic()
    for _ in range(50_000):
        breaker.call(int)
    assert flush(store, PATIENCE)
    ticks = (time.monotonic() - begin) / (0.7 * TICK)  # of the shortest kind
    assert 1 <= store.count("record_success") <= min(20 + ticks, 5000)


def test_a_store_that_hangs_slows_no_call(
    store: UserStore, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "ANSWER_SECONDS", 600.0)  # who waited for the store would wait for good
    breaker = CircuitBreaker("x", store=store, failure_threshold=3)
    store.hangs = True
    assert fail(breaker, 5) == 3
    assert breaker.state == "open"
    eventually(lambda: store.calls)
    assert store.circuits == {}, "it still hangs"


def test_a_store_that_raises_is_told_once_and_used_again_when_it_is_back(
    store: UserStore,
    fail: Fail,
    caplog: pytest.LogCaptureFixture,
) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=3, reset_timeout=0.05)
    store.error = ConnectionRefusedError("no disk")
    fail(breaker, 3)
    assert breaker.state == "open"
    eventually(lambda: len(store.calls) > 3)
    told = [r.message for r in caplog.records if "no disk" in r.message and "UserStore" in r.message]
    assert len(told) == 1
    assert "ConnectionRefusedError: no disk" in told[0]
    assert "own evidence" in told[0]
    store.error = None
    eventually(lambda: store.circuit("x").state == "open")
    eventually(lambda: breaker.snapshot().retry_after == 0.0)
    assert breaker.call(lambda: 1) == 1
    eventually(lambda: store.circuit("x").state == "closed")


def test_a_store_that_blocks_its_thread_slows_no_call(store: UserStore) -> None:
    release = threading.Event()

    class Blocking(UserStore):
        async def get_state(self, key: str):
            release.wait(100)
            return await super().get_state(key)

    breaker = CircuitBreaker("x", store=Blocking())
    start = time.monotonic()
    try:
        for _ in range(1000):
            breaker.call(int)
        assert time.monotonic() - start < 50
    finally:
        release.set()


def test_nothing_is_asked_before_the_first_call(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store)
    assert breaker.state == "closed"
    breaker.snapshot()
    assert store.calls == []


def test_ready_tells_whether_the_store_has_answered(store: UserStore) -> None:
    asyncio.run(store.transition("x", CircuitState.OPEN))
    breaker = CircuitBreaker("x", store=store)
    assert breaker.ready(PATIENCE)
    assert breaker.state == "open"
    store.hangs = True
    other = CircuitBreaker("y", store=store)
    assert not other.ready(0.01)
    assert not asyncio.run(other.ready_async(0.01))


def test_what_the_store_cannot_promise_is_said(store: UserStore) -> None:
    limits = CircuitBreaker("x", store=store).snapshot().limits
    assert limits == ("leases", "fencing", "push", "dedupe", "overrides")


def test_an_override_holds_in_this_process(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store)
    breaker.force_open("deploy", author="ann")
    with pytest.raises(CircuitOpenError, match="ann: deploy"):
        breaker.call(int)
    asyncio.run(store.transition("x", CircuitState.OPEN))
    assert flush(store, PATIENCE)
    assert breaker.state == "forced-open"
    breaker.reset()
    assert breaker.state == "closed"
    eventually(lambda: store.count("reset") == 1)
    eventually(lambda: "x" not in store.circuits)


def test_a_shadow_circuit_has_a_key_of_its_own(store: UserStore, fail: Fail) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=2, mode="shadow")
    assert fail(breaker, 4) == 4
    assert breaker.state == "open"
    assert breaker.snapshot().would_have_rejected == ShadowCounts(failure=2, all_failures=4)
    eventually(lambda: store.circuit("x#shadow").state == "open")
    assert "x" not in store.circuits


def test_another_policy_for_the_same_key_is_refused(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=2)
    with pytest.raises(ValueError, match="circuit 'x' has another policy in this process"):
        CircuitBreaker("x", store=store, failure_threshold=3)
    CircuitBreaker("x", store=UserStore(), failure_threshold=3)
    CircuitBreaker("x", namespace="other", store=store, failure_threshold=3)
    CircuitBreaker("x", store=store, failure_threshold=2)
    assert breaker.policy == CircuitBreakerPolicy(failure_threshold=2)


def test_the_policy_goes_with_the_last_breaker(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=2)
    del breaker
    assert CircuitBreaker("x", store=store, failure_threshold=3).policy.failure_threshold == 3


# ---- scopes ----


def test_a_scope_binds_flushes_and_closes(store: UserStore, fail: Fail) -> None:
    gear = Switchgear(failure_threshold=100)
    breaker = gear.breaker("x")
    fail(breaker, 1)
    assert store.calls == []
    with gear.open(store):
        fail(breaker, 7)
    assert (store.circuit("x").failure_count, store.closed) == (7, 1)
    fail(breaker, 1)
    assert store.circuit("x").failure_count == 7


def test_an_async_scope_does_not_block_its_loop(store: UserStore) -> None:
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    async def main() -> None:
        gear = Switchgear()
        breaker = gear.breaker("x")
        task = asyncio.create_task(ticking())
        async with gear.open(store):
            async with breaker:
                pass
            store.hangs = True
            async with breaker as call:
                call.failure()
            before = ticks
        assert ticks > before + 5
        task.cancel()

    asyncio.run(main())
    eventually(lambda: store.closed == 1)


# ---- threads and loops ----


def test_threads_and_loops_share_one_circuit(store: UserStore) -> None:
    breaker = CircuitBreaker("x", store=store, failure_threshold=100_000)
    barrier = threading.Barrier(6)

    def in_thread() -> None:
        barrier.wait()
        for _ in range(200):
            with breaker.acquire() as call:
                call.failure("bad")

    async def calls() -> None:
        for _ in range(200):
            async with breaker as call:
                call.failure("bad")

    def in_loop() -> None:
        barrier.wait()
        asyncio.run(calls())

    threads = [threading.Thread(target=target) for target in [in_thread] * 3 + [in_loop] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert flush(store, PATIENCE)
    assert store.circuit("x").failure_count == 1200


def test_one_thread_serves_all_stores() -> None:
    stores = [UserStore() for _ in range(5)]
    breakers = [CircuitBreaker("x", store=store) for store in stores]
    for breaker in breakers:
        breaker.call(int)
    eventually(lambda: all(store.calls for store in stores))
    assert [thread.name for thread in threading.enumerate()].count("switchgear-pump") == 1


def test_a_store_that_no_breaker_uses_is_forgotten() -> None:
    calls: list[str] = []

    def use() -> weakref.ref[UserStore]:
        store = UserStore()
        store.calls = calls
        CircuitBreaker("x", store=store).call(int)
        return weakref.ref(store)

    gone = use()
    eventually(lambda: gone() is None)
    assert "record_success" in calls, "not before it was told everything"


# ---- processes ----


CHILD_SECONDS = 120


def child(code: str, **environment: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


SETUP = """
import asyncio, os, sys, sqlite3, threading, multiprocessing
from examples.sqlite_store import SQLiteStore
from switchgear import CircuitBreaker
from switchgear.stores import pump
pump.LEAVING = pump.HOLDING = 30.0  # a busy machine may need more than the second that it is meant to be
path = {path!r}
breaker = CircuitBreaker("x", store=SQLiteStore(path), failure_threshold=100)
def fail(times):
    for _ in range(times):
        breaker.acquire().failure("bad")
def counted():
    return asyncio.run(SQLiteStore(path).get_state("x")).failure_count
"""


@pytest.fixture
def setup(tmp_path: Path) -> str:
    return SETUP.format(path=str(tmp_path / "circuits.db"))


def test_what_is_queued_is_sent_when_the_interpreter_ends(setup: str) -> None:
    child(setup + "fail(7)")
    assert child(setup + "print(counted())") == "7\n"


def test_a_program_that_seeds_its_random_numbers_gets_all_of_them(setup: str) -> None:
    code = "import random, time; random.seed(7); before = random.getstate(); fail(3)\n"
    until_sent = "while counted() < 3: time.sleep(0.01)\n"
    assert child(setup + code + until_sent + "print(random.getstate() == before)") == "True\n"


def test_what_other_threads_count_while_it_ends_is_sent_too(setup: str) -> None:
    child(
        setup
        + """
fail(1)
ended = threading.main_thread()
def late():
    ended.join()
    fail(3)
threading.Thread(target=late).start()
"""
    )
    assert int(child(setup + "print(counted())")) >= 1


def test_an_exception_at_the_end_does_not_keep_it_from_being_sent(setup: str) -> None:
    child(setup + "fail(3)\ntry:\n    sys.exit(0)\nfinally:\n    fail(1)")
    assert child(setup + "print(counted())") == "4\n"


def test_a_forked_child_counts_for_itself(setup: str) -> None:
    code = """
from switchgear.stores.sharing import flush
fail(2)
flush(breaker.circuit._home.store._store, 30)
fail(10)
pid = os.fork()
fail(5)
flush(breaker.circuit._home.store._store, 30)
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
print(counted())
"""
    assert child(setup + code) == "22\n"


def test_a_forked_child_complains_of_nothing_that_it_has_inherited(setup: str) -> None:
    code = """
import gc, logging, time
fail(1)
while counted() < 1: time.sleep(0.01)
complaints = []
class Ear(logging.Handler):
    def emit(self, record): complaints.append(record.getMessage())
logging.getLogger("asyncio").addHandler(Ear())
pid = os.fork()
if pid == 0:
    fail(1)
    gc.collect()
    os._exit(len(complaints))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert child(setup + code) == "0\n"


LOCKING = """
import asyncio, os, sys, threading, time
from switchgear import CircuitBreaker
from switchgear.stores import InMemoryCircuitBreakerStore, pump
LOCK = threading.Lock()  # as a library has one inside
def locked():
    with LOCK:
        time.sleep(0.005)
class Store:
    def __init__(self): self.memory = InMemoryCircuitBreakerStore()
    async def do(self, method, *args):
        await asyncio.to_thread(locked)
        return await getattr(self.memory, method)(*args)
    async def get_state(self, key): return await self.do("get_state", key)
    async def record_success(self, key): return await self.do("record_success", key)
    async def record_failure(self, key): return await self.do("record_failure", key)
    async def transition(self, key, to): return await self.do("transition", key, to)
    async def reset(self, key): return await self.do("reset", key)
breaker = CircuitBreaker("x", store=Store(), failure_threshold=10**6)
"""


@pytest.mark.timeout(CHILD_SECONDS + 50)
def test_a_fork_waits_until_nobody_is_inside_of_the_store() -> None:
    code = """
pump.HOLDING = 30.0
for _ in range(20):
    for _ in range(20):
        breaker.acquire().failure()
    time.sleep(0.02)
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(0 if LOCK.acquire(timeout=1) else 1)
    assert time.monotonic() - begin < pump.HOLDING, "the store could not go on meanwhile"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    child(LOCKING + code)


def test_a_store_that_hangs_does_not_hold_up_a_fork() -> None:
    code = """
LOCK.acquire()
breaker.acquire().failure()
time.sleep(0.2)
begin = time.monotonic()
child = os.fork()
if child == 0:
    os._exit(0)
assert time.monotonic() - begin < 30
os.waitpid(child, 0)
LOCK.release()
"""
    child(LOCKING + code)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_send_what_they_have(setup: str, method: str, tmp_path: Path) -> None:
    module = tmp_path / "work_of_a_child.py"
    module.write_text(setup + "def work():\n    fail(5)\n")
    code = f"""
import multiprocessing
from work_of_a_child import work, fail, counted
if __name__ == "__main__":
    fail(1)
    process = multiprocessing.get_context({method!r}).Process(target=work)
    process.start()
    process.join(30)
    assert process.exitcode == 0
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    paths = os.pathsep.join([str(tmp_path), os.getcwd()])  # noqa: PTH109
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert child(setup + "print(counted())") == "6\n"


def test_two_processes_share_a_circuit(setup: str) -> None:
    code = """
small = CircuitBreaker("shared", store=breaker.circuit._home.store._store, failure_threshold=4)
while not small.ready(30): pass
for _ in range(2):
    small.acquire().failure("bad")
"""
    child(setup + code)
    assert child(setup + code + "print(small.state)") == "open\n"
    assert child(setup + code.split("for", maxsplit=1)[0] + "print(small.state)") == "open\n"


def test_a_hanging_store_does_not_hold_up_the_end() -> None:
    code = """
import asyncio
from switchgear import CircuitBreaker
from tests.stores.user_store import UserStore
import logging
logging.disable()
store = UserStore()
store.hangs = True
CircuitBreaker("x", store=store).acquire().failure("bad")
"""
    start = time.monotonic()
    child(code)
    assert time.monotonic() - start < 45


def test_switched_off_nothing_starts_and_nothing_is_written() -> None:
    code = """
import threading
from switchgear import CircuitBreaker
from tests.stores.user_store import UserStore
import logging
logging.disable()
store = UserStore()
breaker = CircuitBreaker("x", store=store, failure_threshold=1)
for _ in range(3):
    breaker.acquire().failure("bad")
print(breaker.state, store.calls, threading.active_count())
"""
    assert child(code, SWITCHGEAR_OFF="1") == "disabled [] 1\n"


# ---- a client that is bound to an event loop ----


class BoundStore(UserStore):
    """A store whose client works on one event loop only, and which leases probes."""

    staleness = 0.2
    lease_timeout = 5.0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.coordinator = Coordinator(lambda: round(time.time() * 1000))
        self.watch, self.changes = self.coordinator.watch, self.coordinator.changes

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        assert asyncio.get_running_loop() is self.loop
        return await self.coordinator.batch(operations)


def test_a_sync_call_on_the_loop_that_the_store_needs_is_refused_at_once() -> None:
    async def main() -> None:
        breaker = CircuitBreaker("x", store=BoundStore(asyncio.get_running_loop()))
        for sync in (breaker.acquire, breaker.__enter__, breaker.ready, lambda: breaker.call(int)):
            with pytest.raises(
                RuntimeError, match=r"circuit 'x': BoundStore .* use `await acquire_async\(\)`"
            ):
                sync()
        async with breaker:
            pass

    asyncio.run(main())


def test_a_store_on_the_users_loop_is_asked_there() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = BoundStore(loop)
        breaker = CircuitBreaker("x", store=store, failure_threshold=2, reset_timeout=0.01)
        states: list[str] = []
        store.coordinator._subscribers.append(lambda _, view: view.changed and states.append(view.state))
        await fail_async(breaker, 2)
        await asyncio.to_thread(eventually, lambda: states and states[-1] == "open")
        await asyncio.to_thread(eventually, lambda: breaker.snapshot().generation == 2)
        await asyncio.to_thread(eventually, lambda: breaker.snapshot().retry_after == 0.0)
        assert await breaker.call(good_async) == 1
        await asyncio.to_thread(eventually, lambda: breaker.state == "closed")
        assert states == ["open", "half-open", "closed"]
        assert await asyncio.to_thread(breaker.call, int) == 0

    asyncio.run(asyncio.wait_for(main(), 100))


async def good_async() -> int:
    return 1
