"""One resource for each event loop, and none that a fork has inherited."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from switchgear.stores.loops import PerLoop


class Resource:
    def __init__(self) -> None:
        self.closed_in: asyncio.AbstractEventLoop | None = None
        self.closed = threading.Event()

    async def close(self) -> None:
        self.closed_in = asyncio.get_running_loop()
        self.closed.set()


@pytest.fixture
def resources() -> PerLoop[Resource]:
    return PerLoop(Resource, Resource.close)


def test_each_loop_has_its_own_and_those_of_closed_loops_go(resources: PerLoop[Resource]) -> None:
    async def twice() -> tuple[Resource, Resource]:
        return resources.get(), resources.get()

    first, again = asyncio.run(twice())
    second, _ = asyncio.run(twice())
    assert first is again is not second
    assert len(resources._made) == 1


def test_each_is_closed_in_its_own_loop(resources: PerLoop[Resource]) -> None:
    ready, done = threading.Event(), threading.Event()
    other: list[Resource] = []

    async def elsewhere() -> asyncio.AbstractEventLoop:
        other.append(resources.get())
        ready.set()
        await asyncio.to_thread(done.wait, 10)
        return asyncio.get_running_loop()

    async def here() -> None:
        mine = resources.get()
        await resources.aclose()
        assert mine.closed_in is asyncio.get_running_loop()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: loops.append(asyncio.run(elsewhere())))
    thread.start()
    assert ready.wait(10)
    asyncio.run(here())
    assert other[0].closed.wait(10)
    done.set()
    thread.join(10)
    assert other[0].closed_in is loops[0]


def test_a_fork_makes_its_own_and_closes_none_of_its_parents(resources: PerLoop[Resource]) -> None:
    loop = asyncio.new_event_loop()

    async def get() -> Resource:
        return resources.get()

    async def get_and_close() -> Resource:
        found = resources.get()
        await resources.aclose()
        return found

    parents = loop.run_until_complete(get())
    child = os.fork()
    if child == 0:
        found = asyncio.run(get_and_close())
        os._exit(0 if found is not parents and found.closed_in and not parents.closed_in else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    loop.close()
