"""Sends a streamed request again, as long as nothing of it or of its answer has gone past."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from switchgear.gateway.answers import Answer
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.policies import Response
from switchgear.gateway.retrying import Last

if TYPE_CHECKING:
    from switchgear.gateway.circuits import Head
    from switchgear.gateway.policies import Call, Outcome
    from switchgear.gateway.retrying import RetryRule


RETRY_BUDGET: Final = b"retry_budget"
"""The origin of an outcome that another attempt might have bettered, if there had been one left."""


class _Tries:
    """The attempts of one request."""

    __slots__ = ("count", "timer")

    def __init__(self) -> None:
        self.count = 1
        self.timer: asyncio.TimerHandle | None = None


class RetryLayer:
    """Asks a rule of every outcome, and waits as it says."""

    __slots__ = ("_loop", "_rule", "name", "priority")

    def __init__(self, loop: asyncio.AbstractEventLoop, rule: RetryRule) -> None:
        self.name: Final = "retry"
        self.priority: Final = 90
        self._loop = loop
        self._rule = rule

    def down(self, call: Call, place: int) -> None:
        self._rule.begin()
        call.origin = b""  # a policy outside may ask once more
        call.tokens[place] = _Tries()
        call.descend(place + 1)

    def up(self, call: Call, place: int, outcome: Outcome) -> Outcome | None:
        evidence = _evidence(outcome)
        if evidence is None or not call.repeatable:
            return outcome
        tries = cast("_Tries", call.tokens[place])
        wait = self._rule.wait(tries.count, call.method, evidence)
        if isinstance(wait, Last):
            if wait is Last.REFUSED:
                call.origin = RETRY_BUDGET
            return outcome
        call.abandon(place + 1)  # the rest of an answer that nobody will get
        tries.timer = self._loop.call_later(wait, self._again, call, place)
        return None

    def abandon(self, call: Call, place: int) -> None:
        tries = cast("_Tries", call.tokens[place])
        if tries.timer is not None:
            tries.timer.cancel()

    def _again(self, call: Call, place: int) -> None:
        cast("_Tries", call.tokens[place]).count += 1
        call.descend(place + 1)


def _evidence(outcome: Outcome) -> Head | UpstreamFailure | None:
    """What of an outcome a service is to blame for: the gateway's own words are no reason to ask again."""
    if isinstance(outcome, Answer):
        return None
    if isinstance(outcome, Response):
        return (outcome.failure or outcome) if outcome.evidence else None
    return outcome
