"""The circuit breaker of a route, which judges its final status."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from switchgear import CircuitOpenError
from switchgear.gateway.answers import Answer
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.policies import Response

if TYPE_CHECKING:
    from switchgear import Permit
    from switchgear.gateway.circuits import Guard
    from switchgear.gateway.policies import Call, Outcome


class _Admitted(NamedTuple):
    permit: Permit
    since: float


class CircuitBreakerLayer:
    """Takes a permit on the way in and settles it on the way out."""

    __slots__ = ("guard", "name", "priority")

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.name: Final = "circuit-breaker"
        self.priority: Final = 30

    def down(self, call: Call, place: int) -> None:
        try:
            permit = self.guard.try_enter()
        except CircuitOpenError as error:
            self.guard.rejected()
            call.ascend(place, self.guard.rejection(error))
            return
        if permit is None:
            call.tokens[place] = asyncio.get_running_loop().create_task(self._ask(call, place))
            return
        call.tokens[place] = _Admitted(permit, monotonic())
        call.descend(place + 1)

    def up(self, call: Call, place: int, outcome: Outcome) -> Outcome:
        permit, since = cast("_Admitted", call.tokens[place])
        seconds = monotonic() - since
        if isinstance(outcome, UpstreamFailure):
            self.guard.failed(permit, outcome, seconds)
        elif isinstance(outcome, Answer) or (isinstance(outcome, Response) and not outcome.evidence):
            self.guard.cancelled(permit, seconds)  # the gateway's own words are no evidence
        elif isinstance(outcome, Response) and outcome.failure is not None:
            self.guard.failed(permit, outcome.failure, seconds)
        else:
            self.guard.answered(permit, outcome, seconds)
        return outcome

    def abandon(self, call: Call, place: int) -> None:
        token = cast("_Admitted | asyncio.Task[None]", call.tokens[place])
        if isinstance(token, asyncio.Task):
            token.cancel()
        else:
            self.guard.cancelled(token.permit, monotonic() - token.since)

    async def _ask(self, call: Call, place: int) -> None:
        """A probe is due in a shared circuit: the store gives the permit."""
        try:
            permit = await self.guard.enter()
        except CircuitOpenError as error:
            self.guard.rejected()
            call.ascend(place, self.guard.rejection(error))
        else:
            call.tokens[place] = _Admitted(permit, monotonic())
            call.descend(place + 1)
