"""A user's policy as a layer: the one place where a streamed request costs a task."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from switchgear.gateway.answers import problem
from switchgear.gateway.policies.conversion import as_response

if TYPE_CHECKING:
    from switchgear.gateway.exchange import Request
    from switchgear.gateway.policies import Call, Outcome, Policy, Response

_log = logging.getLogger("switchgear.gateway")


class UserLayer:
    """Runs a policy's coroutine; what is inside of it runs while that awaits `call_next`."""

    __slots__ = ("_policy", "name", "priority")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name
        self.priority = policy.priority

    def down(self, call: Call, place: int) -> None:
        run = call.tokens[place] = _Run(self._policy, call, place)
        run.task = asyncio.get_running_loop().create_task(run.run())

    def up(self, call: Call, place: int, outcome: Outcome) -> None:
        cast("_Run", call.tokens[place]).resume(outcome)

    def abandon(self, call: Call, place: int) -> None:
        cast("_Run", call.tokens[place]).task.cancel()


class _Run:
    """One request in one policy."""

    __slots__ = ("_call", "_inside", "_place", "_policy", "task")
    task: asyncio.Task[None]

    def __init__(self, policy: Policy, call: Call, place: int) -> None:
        self._policy = policy
        self._call = call
        self._place = place
        self._inside: asyncio.Future[Response] | None = None

    async def run(self) -> None:
        outcome: Outcome
        try:
            outcome = await self._policy(self._call.to_request(), self._call_next)
        except Exception:
            _log.exception("policy %r failed", self._policy.name)
            outcome = problem(500)
        if self._inside is not None and not self._inside.done():
            self._call.abandon(self._place + 1)  # it did not wait for what it had asked for
        self._call.ascend(self._place, outcome)

    async def _call_next(self, request: Request) -> Response:
        if self._inside is not None:
            raise RuntimeError(f"policy {self._policy.name!r} called call_next more than once")
        self._inside = asyncio.get_running_loop().create_future()
        self._call.replace_request(request)
        self._call.descend(self._place + 1)
        return await self._inside

    def resume(self, outcome: Outcome) -> None:
        if self._inside is not None and not self._inside.done():
            self._inside.set_result(as_response(outcome))
