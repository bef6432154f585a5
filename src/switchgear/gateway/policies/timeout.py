"""Timeout of all attempts of a request together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.timeouts import TimeoutQueue

if TYPE_CHECKING:
    import asyncio

    from switchgear.gateway.policies import Call, Outcome


class _Wait(NamedTuple):
    call: Call
    place: int


class TimeoutLayer:
    """Ends what is inside when no outcome came in time."""

    __slots__ = ("_waits", "name", "priority")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.name: Final = "timeout"
        self.priority: Final = 85
        self._waits = TimeoutQueue[_Wait](loop, seconds, _expire)

    def down(self, call: Call, place: int) -> None:
        wait = call.tokens[place] = _Wait(call, place)
        self._waits.add(wait)
        call.descend(place + 1)

    def up(self, call: Call, place: int, outcome: Outcome) -> Outcome:
        self.abandon(call, place)
        return outcome

    def abandon(self, call: Call, place: int) -> None:
        self._waits.discard(call.tokens[place])  # type: ignore[arg-type]  # `down` put a wait there


def _expire(wait: _Wait) -> None:
    wait.call.abandon(wait.place + 1)
    wait.call.ascend(wait.place, UpstreamFailure("timeout", "no answer in time"))
