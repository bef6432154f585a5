"""Eight processes that use one circuit, two of them by asyncio, and what tells them what to do.

A job is a coroutine function, sent by name; what it returns comes back. Written once it runs in both kinds of
processes: in a sync one its coroutine never waits, since `Member` then blocks instead.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Barrier, Event
from types import TracebackType
from typing import Any, Self

from switchgear import CircuitBreaker, CircuitBreakerPolicy, Permit, Switchgear
from switchgear.stores.sharing import flush

SIZE = 8
ASYNC = 2
PATIENCE = 60.0
READY = 30.0

Job = Callable[..., Awaitable[Any]]


class Member:
    """One process of the fleet, as its jobs see it. The first ones are the async ones."""

    def __init__(
        self, number: int, asynchronous: bool, barrier: Barrier, stop: Event, pipe: Connection
    ) -> None:
        self.number = number
        self.asynchronous = asynchronous
        self._barrier = barrier
        self._stop = stop
        self._pipe = pipe

    @contextmanager
    def breaker(self, url: str, key: str, policy: CircuitBreakerPolicy) -> Iterator[CircuitBreaker]:
        """A breaker of all members, which know the circuit's state and each other before the first call."""
        gear = Switchgear()
        with gear.open(url) as store:
            breaker = gear.breaker(key, policy)
            self._get_ready(breaker)
            self.meet()
            yield breaker
            flush(
                store, READY
            )  # to leave takes five seconds at most, which is little where all leave at once
            self.meet()  # a member that leaves early would no longer be counted among the live ones

    def _get_ready(self, breaker: CircuitBreaker) -> None:
        end = time.monotonic() + READY
        while not breaker.ready(1.0):
            if time.monotonic() > end:
                raise TimeoutError(f"member {self.number}: the store does not answer")

    async def acquire(self, breaker: CircuitBreaker) -> Permit:
        return await breaker.acquire_async() if self.asynchronous else breaker.acquire()

    async def pause(self, seconds: float) -> None:
        if self.asynchronous:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251  # a sync process has nothing else to do

    def meet(self) -> None:
        """Wait for all others; also the async ones just block, for the pump has a thread of its own."""
        with suppress(threading.BrokenBarrierError):  # one was killed, or has failed and will say so
            self._barrier.wait(PATIENCE)

    def tell(self, news: Any) -> None:
        """Say something in the middle of a job."""
        self._pipe.send((True, news))

    @property
    def stopped(self) -> bool:
        """Whether the fleet has been told to stop."""
        return self._stop.is_set()

    def run(self, job: Job, arguments: dict[str, Any]) -> Any:
        coroutine: Any = job(self, **arguments)
        if self.asynchronous:
            return asyncio.run(coroutine)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise RuntimeError("a sync process can't wait")

    def serve(self) -> None:
        """Do what is sent, until there is no more."""
        while (task := self._pipe.recv()) is not None:
            try:
                self.tell(self.run(*task))
            except Exception as error:
                logging.getLogger("fleet").exception("member %d", self.number)
                self._barrier.abort()
                self._pipe.send((False, f"{type(error).__name__}: {error}"))


class Fleet:
    """The processes, as seen by who sends the jobs."""

    def __init__(self, size: int = SIZE, asynchronous: int = ASYNC) -> None:
        # Spawned: a fork would inherit threads and servers of the test run.
        context = multiprocessing.get_context("spawn")
        self._alive = list(range(size))
        self._barrier = context.Barrier(size)
        self._stop = context.Event()
        pipes = [context.Pipe() for _ in range(size)]
        self._pipes = [ours for ours, _ in pipes]
        self.processes = [
            context.Process(
                target=_live,
                args=(number, number < asynchronous, self._barrier, self._stop, theirs),
                daemon=True,
            )
            for number, (_, theirs) in enumerate(pipes)
        ]
        for process in self.processes:
            process.start()
        for _, theirs in pipes:
            theirs.close()

    def begin(self, job: Job, **arguments: Any) -> None:
        """Have every member do a job."""
        self._barrier.reset()
        self._stop.clear()
        for number in self._alive:
            self._pipes[number].send((job, arguments))

    def stop(self) -> None:
        """Tell the members that their job is over."""
        self._stop.set()

    def end(self) -> list[Any]:
        """What the living members return, in their order."""
        deadline = time.monotonic() + PATIENCE
        return [self._result(number, deadline) for number in self._alive]

    def each(self, job: Job, **arguments: Any) -> list[Any]:
        """Have every member do a job, and return what they return."""
        self.begin(job, **arguments)
        return self.end()

    def news(self, number: int, patience: float = PATIENCE) -> Any:
        """What a member tells in the middle of a job."""
        return self._result(number, time.monotonic() + patience)

    def first_news(self) -> tuple[int, Any]:
        """Which member tells something first, and what."""
        ready = wait(self._pipes, PATIENCE)
        if not ready:
            raise TimeoutError("no member has anything to tell")
        number = self._pipes.index(ready[0])  # type: ignore[arg-type]  # these are our pipes
        return number, self.news(number)

    def kill(self, number: int) -> None:
        """SIGKILL; the others do not wait for it."""
        self.processes[number].kill()
        self.processes[number].join(PATIENCE)
        self._alive.remove(number)
        self._barrier.abort()

    def _result(self, number: int, deadline: float) -> Any:
        pipe = self._pipes[number]
        if not pipe.poll(max(0.0, deadline - time.monotonic())):
            raise TimeoutError(f"member {number} does not answer")
        fine, answer = pipe.recv()
        if not fine:
            raise RuntimeError(f"member {number}: {answer}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        for pipe, process in zip(self._pipes, self.processes, strict=True):
            if process.is_alive():
                pipe.send(None)
        for pipe, process in zip(self._pipes, self.processes, strict=True):
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join(10)
            process.close()
            pipe.close()


def _live(number: int, asynchronous: bool, barrier: Barrier, stop: Event, pipe: Connection) -> None:
    logging.getLogger("switchgear").setLevel(logging.CRITICAL)  # circuits open and stores die on purpose
    Member(number, asynchronous, barrier, stop, pipe).serve()
