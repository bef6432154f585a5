"""Asks the services of a merged route, stage by stage, and composes one answer of theirs.

The services of a stage are asked at once, the next stage begins when all of it is over. The result depends
only on what the services answer, not on who is first: a required part that failed ends the waiting as soon as
all required parts of its stage that are declared before it are there, and stages after it are not begun.
Whatever is still running then, at the deadline, or when the client leaves (this is cancelled), is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from switchgear.errors import CircuitOpenError
from switchgear.gateway.composition import compose
from switchgear.gateway.config.model import MERGE_DEADLINE
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.parts import Failure, Part, Result, Source
from switchgear.gateway.stale import request_key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from switchgear.gateway.composition import Merged
    from switchgear.gateway.config.model import Route
    from switchgear.gateway.exchange import BufferedResponse, Fetch, Request
    from switchgear.gateway.stale import StaleStore

# A merged body has neither ranges nor validators of its own, and a 304 can't be merged.
_NOT_FOR_PARTS: Final = frozenset(
    (b"accept-encoding", b"if-modified-since", b"if-none-match", b"if-range", b"range")
)
_IDENTITY: Final = (b"accept-encoding", b"identity")
_SAFE: Final = (b"GET", b"HEAD")


class Aggregator:
    """A merged route. Built once, used by any number of requests at once.

    `fetch` gets the client's target and what the route's parameters matched: it chooses an endpoint of the
    service, and with it the target there. `clock` gives seconds of a monotonic clock, for the age of earlier
    answers.
    """

    __slots__ = ("_clock", "_deadline", "_fetch", "_parts", "_route", "_stages", "_stale")

    def __init__(self, route: Route, fetch: Fetch, stale: StaleStore, clock: Callable[[], float]) -> None:
        self._route = route
        self._fetch = fetch
        self._stale = stale
        self._clock = clock
        self._parts = [Part(index, service) for index, service in enumerate(route.services)]
        self._stages = _stages(self._parts)
        limits = [limit for limit in (route.deadline, route.timeout) if limit is not None]
        self._deadline = min(limits, default=MERGE_DEADLINE)

    async def __call__(self, request: Request) -> Merged:
        """The merged answer. Raises only what `fetch` raises against its contract."""
        request = self._for_parts(request)
        run = _Run(lambda part: self._ask(part, request))
        # Cheaper than `asyncio.timeout`, and an expired wait of ours can't be taken for somebody else's.
        timer = run.loop.call_later(self._deadline, run.expire)
        try:
            for stage in self._stages:
                await run.through(stage)
                if run.failed or run.expired:
                    break
        finally:
            timer.cancel()
        if run.expired:
            self._expire(request, run.results)
        return compose(self._parts, run.results)

    def _expire(self, request: Request, results: dict[int, Result]) -> None:
        """The deadline is over: what is not there has timed out, begun or not."""
        for part in self._parts:
            if part.service.merge and part.index not in results:
                failure = part.failed(UpstreamFailure("timeout"))
                results[part.index] = self._without(part, failure, request)

    def _for_parts(self, request: Request) -> Request:
        headers = [field for field in request.headers if field[0] not in _NOT_FOR_PARTS]
        # Merging needs the bodies that answers to HEAD lack; the sender of the merged answer leaves it out.
        derived = request.method == b"HEAD" and self._route.method != "HEAD"
        return replace(request, method=b"GET" if derived else request.method, headers=[*headers, _IDENTITY])

    async def _ask(self, part: Part, request: Request) -> Result:
        try:
            response = await self._fetch(part.service, request)
        except (CircuitOpenError, UpstreamFailure) as error:
            return self._without(part, part.failed(error), request)
        outcome = part.read(response)
        if isinstance(outcome, Failure):
            return self._without(part, outcome, request)
        self._keep(part, request, response)
        return Result(part.service.name, Source.OK, outcome)

    def _without(self, part: Part, failure: Failure, request: Request) -> Result:
        """The result of a part that failed: an earlier answer stands in where it may."""
        key = self._stale_key(part, request)
        if key is None or part.max_age is None:
            return part.without_answer(failure)
        if failure.final:
            self._stale.forget(key)
        earlier = self._stale.get(key, part.max_age, self._clock())
        return part.with_earlier(*earlier, failure) if earlier else part.without_answer(failure)

    def _keep(self, part: Part, request: Request, response: BufferedResponse) -> None:
        key = self._stale_key(part, request)
        if key is None:
            return
        if any(name == b"cache-control" and b"no-store" in value.lower() for name, value in response.headers):
            self._stale.forget(key)
        else:
            self._stale.put(key, response, self._clock())

    def _stale_key(self, part: Part, request: Request) -> bytes | None:
        """`None` where earlier answers are no use: nobody wants one, or the request may change something."""
        if part.max_age is None or request.method not in _SAFE:
            return None
        return request_key(f"{self._route} {part.service.name}", request)


class _Run:
    """One request on its way through the stages."""

    __slots__ = ("_ask", "_over", "_running", "expired", "failed", "loop", "results")
    _over: asyncio.Future[None]  # of the stage that runs: set when nothing more is waited for

    def __init__(self, ask: Callable[[Part], Coroutine[None, None, Result]]) -> None:
        self.loop = asyncio.get_running_loop()
        self.results: dict[int, Result] = {}
        self.failed = False
        self.expired = False
        self._ask = ask
        self._running = 0

    async def through(self, stage: Sequence[Part]) -> None:
        """Asks all parts of a stage, until all of them are there or it is known what the answer is."""
        self._over = self.loop.create_future()
        self._running = len(stage)
        tasks = [self.loop.create_task(self._through(part, stage)) for part in stage]
        try:
            await self._over
        finally:
            for task in tasks:
                task.cancel()

    def expire(self) -> None:
        self.expired = True
        if not self._over.done():
            self._over.set_result(None)

    async def _through(self, part: Part, stage: Sequence[Part]) -> None:
        try:
            result = await self._ask(part)
        except (Exception, asyncio.CancelledError) as error:
            # A cancellation that is not ours (a closing pool's) has to end the waiting too.
            if not self._over.done():
                self._over.set_exception(error)
        else:
            self._settle(part, result, stage)

    def _settle(self, part: Part, result: Result, stage: Sequence[Part]) -> None:
        self._running -= 1
        if part.service.merge:
            self.results[part.index] = result
            self.failed = self.failed or result.source is Source.FAILED
        over = not self._running or (self.failed and _decided(stage, self.results))
        if over and not self._over.done():
            self._over.set_result(None)


def _stages(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts by ascending stage, those without one last; inside a stage in declared order."""
    stages: defaultdict[float, list[Part]] = defaultdict(list)
    for part in parts:
        stage = part.service.stage
        stages[float("inf") if stage is None else stage].append(part)
    return [stages[number] for number in sorted(stages)]


def _decided(stage: Sequence[Part], results: dict[int, Result]) -> bool:
    """Whether no part that is still running can fail before, in declared order, one that did."""
    for part in stage:
        if part.required:
            result = results.get(part.index)
            if result is None or result.source is Source.FAILED:
                return result is not None
    return False
