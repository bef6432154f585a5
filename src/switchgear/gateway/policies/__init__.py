"""What happens to a request between its route and its service.

A *layer* is one policy at work. `down` is called with a request on its way in, `up` with what came out
further inside; both run to their end, and one that has to wait returns and goes on later. So a route without
asynchronous policies costs no task.

A user's policy is a small class with a `name`, a `priority` (lower is further outside; the route's circuit
breaker has 30, the timeout of all attempts 85) and one coroutine:

    class RequireKey:
        name = "require-key"
        priority = 20

        async def __call__(self, request: Request, call_next: CallNext) -> Response:
            if request.header(b"x-api-key") is None:
                return Response(401, [(b"content-type", b"text/plain")], b"a key is missing\\n")
            response = await call_next(request)
            response.headers.append((b"x-checked", b"yes"))
            return response

It is named in a Python configuration, under `policies` of `http` or of a method. Only routes that have one
pay for a task per request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from switchgear.gateway.exchange import Request, UpstreamFailure
from switchgear.gateway.http1.fields import join_fields

if TYPE_CHECKING:
    from switchgear.gateway.answers import Answer
    from switchgear.gateway.exchange import Header
    from switchgear.gateway.http1.response import ResponseHead, WholeAnswer


@dataclass(slots=True)
class Response:
    """An answer on its way out; change it, or make another one.

    `body` is `None` where the upstream's body is not read but streams past; a policy that sets bytes instead
    ends that. `failure` is set, and `status` 502 or 504, when no service gave a usable answer. `evidence`:
    whether the answer says anything about a service; one that a policy makes by itself does not, and no
    circuit counts it.
    """

    status: int
    headers: list[Header] = field(default_factory=list["Header"])
    body: bytes | None = b""
    failure: UpstreamFailure | None = None
    evidence: bool = False

    @property
    def fields(self) -> bytes:
        """The fields as lines, as they are sent."""
        return join_fields(self.headers)


CallNext = Callable[[Request], Awaitable[Response]]


@runtime_checkable
class Policy(Protocol):
    """A user's policy. What it raises is a 500, and is logged."""

    @property
    def name(self) -> str: ...

    @property
    def priority(self) -> int: ...

    async def __call__(self, request: Request, call_next: CallNext) -> Response: ...


Outcome: TypeAlias = "WholeAnswer | ResponseHead | Response | Answer | UpstreamFailure"
"""What comes out of a layer. `Answer` is the gateway's own and no evidence for any circuit."""


class Call(Protocol):
    """A request between its layers. In `tokens` each layer keeps, at its place, what belongs to this one."""

    tokens: list[object]
    origin: bytes
    """Who decides what the client gets, for metrics and log; empty: the upstream, or who answers instead."""

    @property
    def method(self) -> bytes: ...

    @property
    def repeatable(self) -> bool:
        """Whether `descend` may be called once more: nothing of the request's body is gone."""
        ...

    def descend(self, place: int) -> None:
        """Goes on inwards with the layer at `place`."""
        ...

    def ascend(self, place: int, outcome: Outcome) -> None:
        """Goes on outwards with what came out of the layer at `place`."""
        ...

    def abandon(self, place: int) -> None:
        """Ends everything inside of the layer at `place`, without evidence."""
        ...

    def to_request(self) -> Request: ...
    def replace_request(self, request: Request) -> None: ...


class Layer(Protocol):
    """A policy of one route at work."""

    @property
    def name(self) -> str: ...

    @property
    def priority(self) -> int: ...

    def down(self, call: Call, place: int) -> None:
        """A request comes in: `call.descend(place + 1)`, or `call.ascend(place, outcome)`, now or later."""
        ...

    def up(self, call: Call, place: int, outcome: Outcome) -> Outcome | None:
        """What came from inside. `None`: the layer goes on later, by `call.ascend(place, ...)`."""
        ...

    def abandon(self, call: Call, place: int) -> None:
        """The request is given up: no outcome will come."""
        ...
