"""Keeps workers running until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.model import Address
from switchgear.gateway.supervisor.backoff import Backoff
from switchgear.gateway.supervisor.child import Child
from switchgear.gateway.supervisor.circuits import shared_circuits
from switchgear.gateway.supervisor.job import Job
from switchgear.gateway.supervisor.output import Output

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from switchgear.gateway.config.model import GatewayConfig

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
        self._config = config
        self._file = file
        self._listeners = listeners
        self._places = [_Place() for _ in range(workers)]
        self._changed = asyncio.Event()
        self._output = Output(sys.stdout.fileno())

    async def run(self, stop: asyncio.Event, announce: Callable[[Address], None]) -> bool:
        """Until `stop` is set; then all have drained. False when no worker can serve.

        `announce` is called once, with the address, when all workers have started or failed to.
        """
        async with shared_circuits(self._config.state) as circuits:
            job = Job.of(self._config, self._file, self._listeners, circuits)
            tasks = [asyncio.create_task(self._keep(place, job)) for place in self._places]
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

    # ---- workers ----

    async def _keep(self, place: _Place, job: Job) -> None:
        """Fill a place, again and again."""
        while True:
            started = await self._fill(place, job)
            lived = 0.0
            if started is not None and place.child is not None:
                how = await place.child.ended()
                lived = time.monotonic() - started
                logger.error("worker %d ended (%s): another one takes its place", place.child.pid, how)
            self._tell(place, serving=False)
            await asyncio.sleep(place.backoff.pause(lived))

    async def _fill(self, place: _Place, job: Job) -> float | None:
        """Start a worker; when it began to serve, or `None`."""
        try:
            place.child = await Child.start(job, self._output)
            why = await place.child.ready()
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

    async def _stop(self) -> None:
        """Let all drain, and kill who does not come to an end."""
        # Or clients would wait in the queue of a socket that nobody accepts from.
        for listener in self._listeners:
            listener.close()
        children = [place.child for place in self._places if place.child is not None]
        for child in children:
            child.stop()
        ending = [asyncio.create_task(child.ended()) for child in children]
        if ending:
            _, late = await asyncio.wait(ending, timeout=self._config.limits.drain + STOP_MARGIN)
            for child in children if late else ():
                child.kill()
            await asyncio.wait(ending)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
