"""Who answers first changes nothing: every order of answers gives the same merged answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.aggregate import Aggregator
from switchgear.gateway.composition import Merged
from switchgear.gateway.config.model import Service
from switchgear.gateway.exchange import BufferedResponse, Request, UpstreamFailure
from switchgear.gateway.stale import StaleStore

from .services import request, route


@dataclass(frozen=True)
class Behaviour:
    stage: int | None
    role: str  # required, optional, unmerged
    outcome: str  # good, refused, cut

    def service(self, name: str) -> Service:
        optional = self.role == "optional"
        return Service(name, (), stage=self.stage, optional=optional, merge=self.role != "unmerged")

    @property
    def decides(self) -> bool:
        return self.role == "required" and self.outcome != "good"


behaviours = st.lists(
    st.builds(
        Behaviour,
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["required", "required", "optional", "unmerged"]),
        st.sampled_from(["good", "good", "refused", "cut"]),
    ),
    min_size=1,
    max_size=5,
)


class InOrder:
    """Lets answers come one at a time, those of services that were asked, by a given order."""

    def __init__(self, parts: list[Behaviour], order: list[int]) -> None:
        self.parts = parts
        self.order = order
        self.waiting: dict[int, asyncio.Event] = {}

    async def fetch(self, service: Service, asked: Request) -> BufferedResponse:
        number = int(service.name)
        released = self.waiting[number] = asyncio.Event()
        await released.wait()
        match self.parts[number].outcome:
            case "cut":
                raise UpstreamFailure("reset")
            case "refused":
                return BufferedResponse(500 + number, [], b"")
            case _:
                return BufferedResponse(200, [], b'{"last":%d,"%d":0}' % (number, number))

    async def run(self) -> Merged:
        services = [part.service(str(number)) for number, part in enumerate(self.parts)]
        merge = Aggregator(route(*services), self.fetch, StaleStore(), lambda: 0.0)
        running = asyncio.create_task(merge(request()))
        while not running.done():
            for _ in range(5):  # as many steps as it takes until what was released is through
                await asyncio.sleep(0)
            number = next((number for number in self.order if number in self.waiting), None)
            if number is not None:
                self.waiting.pop(number).set()
        return running.result()


def expected(parts: list[Behaviour]) -> tuple[int, object]:
    """Status, and the name of the deciding part or the merged object."""
    for stage in (1, 2, None):
        for number, part in enumerate(parts):
            if part.stage == stage and part.decides:
                return (502, str(number)) if part.outcome == "cut" else (500 + number, None)
    merged: dict[str, int] = {}
    for number, part in enumerate(parts):
        if part.outcome == "good" and part.role != "unmerged":
            merged |= {"last": number, str(number): 0}
    return 200, merged


@given(behaviours, st.data())
def test_the_answer_is_that_of_the_declared_order(parts: list[Behaviour], data: st.DataObject):
    order = data.draw(st.permutations(range(len(parts))))
    answer = asyncio.run(InOrder(parts, order).run()).answer
    status, body = expected(parts)
    assert answer.status == status
    if status == 200:
        assert json.loads(answer.body) == body
    elif body is not None:
        assert json.loads(answer.body)["part"] == body
