"""Keeps workers running until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.model import Address
from switchgear.gateway.reload import with_fixed
from switchgear.gateway.supervisor.backoff import Backoff
from switchgear.gateway.supervisor.census import Census
from switchgear.gateway.supervisor.child import Child
from switchgear.gateway.supervisor.circuits import shared_circuits
from switchgear.gateway.supervisor.job import Job
from switchgear.gateway.supervisor.listening import listening
from switchgear.gateway.supervisor.output import Output

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from switchgear.gateway.config.model import GatewayConfig
    from switchgear.gateway.metrics.families import Sample

logger = logging.getLogger("switchgear")

STOP_MARGIN: Final = 3.0
"""Seconds after the drain in which a worker says goodbye to its store; then it is killed."""
GIVE_UP: Final = 5
"""Failed starts in a row of every worker after which nothing is tried any more; before the first success,
one."""


@dataclass(slots=True)
class _Place:
    """What one worker after another fills."""

    backoff: Backoff = field(default_factory=Backoff)
    child: Child | None = None
    serving: bool = False
    failed_starts: int = 0

    @property
    def tried(self) -> bool:
        return self.serving or self.failed_starts > 0


class Supervisor:
    """`workers` processes that serve `config`, which was read from `file`, at sockets that it closes at the
    end."""

    def __init__(
        self, config: GatewayConfig, file: Path, workers: int, listeners: list[socket.socket]
    ) -> None:
        self.config = config
        self._file = file
        self._listeners = listeners
        self._job = Job.of(config, file, listeners, None)
        self._places = [_Place() for _ in range(workers)]
        self._changed = asyncio.Event()
        self._stopping = False
        self._leaving: set[asyncio.Task[None]] = set()
        self._census = Census()
        self._output = Output(sys.stdout.fileno())

    async def run(
        self,
        stop: asyncio.Event,
        announce: Callable[[Address], None],
        around: AbstractAsyncContextManager[object] | None = None,
    ) -> bool:
        """Until `stop` is set; then all have drained. False when no worker can serve.

        `announce` is called once, with the address, when all workers have started or failed to. `around` is
        entered for all that time.
        """
        async with AsyncExitStack() as stack:
            circuits = await stack.enter_async_context(shared_circuits(self.config.state))
            self._job = Job.of(self.config, self._file, self._listeners, circuits)
            if around is not None:
                await stack.enter_async_context(around)
            tasks = [asyncio.create_task(self._keep(place)) for place in self._places]
            tasks.append(asyncio.create_task(self._watch(announce)))
            tasks.append(asyncio.create_task(_until(stop)))
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                await self._stop()
        for result in results:
            if isinstance(result, Exception):
                raise result
        return stop.is_set()

    # ---- for the operator ----

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self._serving and not self._stopping

    async def pictures(self) -> list[list[Sample]]:
        """The samples of all workers."""
        serving = {
            number: place.child if place.serving else None for number, place in enumerate(self._places)
        }
        return await self._census.take(serving)

    def reopen_log(self) -> None:
        """All workers open their access log anew."""
        for child in self._children:
            self._leave_to(child.reopen_log())

    async def adopt(self, config: GatewayConfig) -> None:
        """Has all workers serve another configuration; raises `ValueError` or `OSError` when they can't.

        Another address takes other workers: sockets are handed over at a start alone.
        """
        config = with_fixed(config, self.config)
        if config.listen == self.config.listen:
            await self._adopt(config, self._job_of(config, self._listeners))
        else:
            await self._move(config)

    async def _adopt(self, config: GatewayConfig, job: Job) -> None:
        for child in [place.child for place in self._places if place.serving]:
            try:
                why = None if child is None else await child.adopt(job)
            except ConnectionError:
                continue  # who takes its place starts with what holds then
            if child is not None and why is not None:
                if self._job is not job:
                    raise ValueError(why)
                logger.error("worker %d can't follow: %s; another one takes its place", child.pid, why)
                child.stop()
            # From the first one on, whoever starts now starts with this.
            self.config, self._job = config, job
        self.config, self._job = config, job

    async def _move(self, config: GatewayConfig) -> None:
        with ExitStack() as undo:
            listeners = undo.enter_context(listening(config.listen))
            job = self._job_of(config, listeners)
            children = [await Child.start(job, self._output) for _ in self._places]
            for child in children:
                undo.callback(child.kill)
            reasons = [why for child in children if (why := await child.ready()) is not None]
            if reasons:
                raise ValueError(reasons[0])
            undo.pop_all()
        self.config, self._job = config, job
        former, self._listeners = self._listeners, listeners
        for place, child in zip(self._places, children, strict=True):
            last, place.child = place.child, child
            if last is not None:
                last.stop()
                self._leave_to(_ended(last, self.config.limits.drain + STOP_MARGIN))
        for listener in former:
            listener.close()

    def _job_of(self, config: GatewayConfig, listeners: list[socket.socket]) -> Job:
        return replace(Job.of(config, self._file, listeners, None), circuits=self._job.circuits)

    def _leave_to(self, work: Coroutine[None, None, None]) -> None:
        """Have something done beside everything else; at the end it is waited for."""
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # ---- workers ----

    async def _keep(self, place: _Place) -> None:
        """Fill a place, again and again."""
        while True:
            started = await self._fill(place)
            lived = 0.0
            if started is not None:
                child, how = await _last_of(place)
                lived = time.monotonic() - started
                logger.error("worker %d ended (%s): another one takes its place", child.pid, how)
            self._tell(place, serving=False)
            await asyncio.sleep(place.backoff.pause(lived))

    async def _fill(self, place: _Place) -> float | None:
        """Start a worker; when it began to serve, or `None`."""
        job = self._job
        try:
            place.child = child = await Child.start(job, self._output)
            why = await child.ready()
            while why is None and job is not self._job:  # meanwhile there was a reload
                job = self._job
                why = await child.adopt(job)
        except ConnectionError:
            why = "it ended while it took over another configuration"
        except OSError as error:
            why = f"no process can be started: {error}"
        if why is None:
            place.failed_starts = 0
            self._tell(place, serving=True)
            return time.monotonic()
        logger.error("a worker can't serve: %s", why)
        place.failed_starts += 1
        return None

    def _tell(self, place: _Place, *, serving: bool) -> None:
        place.serving = serving
        self._changed.set()

    async def _watch(self, announce: Callable[[Address], None]) -> None:
        """Announce the address when all have tried to start; return when none can."""
        limit = 1
        while self._serving or not all(place.failed_starts >= limit for place in self._places):
            await self._changed.wait()
            self._changed.clear()
            if limit == 1 and self._serving and all(place.tried for place in self._places):
                limit = GIVE_UP
                announce(Address(*self._listeners[0].getsockname()[:2]))

    @property
    def _serving(self) -> bool:
        return any(place.serving for place in self._places)

    @property
    def _children(self) -> list[Child]:
        return [place.child for place in self._places if place.child is not None]

    async def _stop(self) -> None:
        """Let all drain, and kill who does not come to an end."""
        self._stopping = True
        # Or clients would wait in the queue of a socket that nobody accepts from.
        for listener in self._listeners:
            listener.close()
        for child in self._children:
            child.stop()
            self._leave_to(_ended(child, self.config.limits.drain + STOP_MARGIN))
        while self._leaving:
            await asyncio.wait(self._leaving)


async def _last_of(place: _Place) -> tuple[Child, str]:
    """Waits for the end of a place's worker, and of those that were put into its place on purpose."""
    while True:
        child = place.child
        assert child is not None, "a place is filled before it is watched"
        how = await child.ended()
        if place.child is child:
            return child, how


async def _ended(child: Child, patience: float) -> None:
    """Waits for the end of a worker that drains, and kills one that does not come to it."""
    ending = asyncio.create_task(child.ended())
    _, late = await asyncio.wait({ending}, timeout=patience)
    if late:
        child.kill()
    await ending


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
