"""The event loop of `gateway_test` and of the gateway's own tests: time passes while nothing is to do."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from switchgear.testing import idle_loop
from switchgear.testing.idle_loop import IdleLoop


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def test_what_can_be_done_comes_before_a_timer_though_the_process_stood_still():
    async def work() -> list[str]:
        loop, told, both = asyncio.get_running_loop(), [], asyncio.Event()

        def tell(what: str) -> None:
            told.append(what)
            if len(told) == 2:
                both.set()

        with pipe() as (out, into):
            loop.add_reader(out, lambda: (os.read(out, 1), tell("answered")))
            loop.call_later(0.05, tell, "late")
            time.sleep(0.2)  # noqa: ASYNC251 - so it looks when the system runs something else
            # In steps: an answer takes several turns of the loop.
            loop.call_soon(loop.call_soon, os.write, into, b"x")
            await both.wait()
            loop.remove_reader(out)
        return told

    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        assert runner.run(work()) == ["answered", "late"]


@pytest.mark.parametrize(("timeout", "counted"), [(0.006, 0.003), (60.0, 0.01), (None, 0.01), (0, 0)])
def test_a_wait_that_something_ended_counts_little_however_late_it_is_told(monkeypatch, timeout, counted):
    with contextlib.closing(IdleLoop()) as loop, pipe() as (out, into):
        loop.add_reader(out, lambda: None)
        os.write(into, b"x")
        begin = loop.time()
        times = iter([0.0, 100.0])
        monkeypatch.setattr(idle_loop, "time", SimpleNamespace(monotonic=lambda: next(times)))
        assert loop._waits.select(timeout)
        assert loop.time() - begin == pytest.approx(counted)
        loop.remove_reader(out)


def test_a_wait_in_which_nothing_happens_takes_its_time():
    async def wait() -> float:
        begin = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05)
        return asyncio.get_running_loop().time() - begin

    begin = time.monotonic()
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        waited = runner.run(wait())
    assert waited == pytest.approx(0.05, abs=0.001)
    assert time.monotonic() - begin >= 0.05
