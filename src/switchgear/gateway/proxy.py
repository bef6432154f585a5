"""One request on its way through the gateway: inwards through its route's layers, and its answer outwards.

Bodies stream both ways as they come. What the other side can't take is not read: a slow client pauses the
upstream, a slow upstream pauses the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from switchgear.gateway.answers import problem
from switchgear.gateway.buffered import Merging
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.http1.bodies import LAST_CHUNK, encode_chunk
from switchgear.gateway.http1.fields import CHUNKED, join_fields
from switchgear.gateway.http1.request import SAFE_METHODS
from switchgear.gateway.http1.response import ResponseHead, WholeAnswer
from switchgear.gateway.http1.writing import CONTINUE, write_head
from switchgear.gateway.policies import Response
from switchgear.gateway.policies.conversion import as_answer, as_request, length_field
from switchgear.gateway.reply import Conversation
from switchgear.gateway.tunnel import UPGRADED, Tunnel
from switchgear.gateway.upstream.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from switchgear import CircuitOpenError
    from switchgear.gateway.aggregate import Aggregator
    from switchgear.gateway.exchange import Request
    from switchgear.gateway.http1.client import ClientConnection
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.gateway.parts import Result
    from switchgear.gateway.pipeline import Plan
    from switchgear.gateway.policies import Outcome
    from switchgear.gateway.upstream.endpoint import UpstreamEndpoint


_begin = (
    Conversation.__init__
)  # found at once; through the class, or `super()`, each request would look it up


class Exchange(Conversation):
    """A request and its answer; for its layers a `Call`, for its attempt a `Caller`."""

    __slots__ = (
        "_attempt",
        "_changed",
        "attempts",
        "params",
        "plan",
        "sent_whole",
        "upstream_seconds",
        "upstream_status",
    )

    _depth = 0
    """Layers that wait for an outcome."""
    _merging: Merging | None = None
    _head: ResponseHead | None = None
    """Of the upstream's answer, once it is there."""
    _admitted = False
    """Whether the request's body may go on; until then it is held."""
    _trailers: bytes | None = None
    """Of an answer that was complete before a policy let its head go."""
    tried: UpstreamEndpoint | None = None
    parts: tuple[Result, ...] = ()
    """Of a merged answer."""

    def __init__(
        self,
        client: ClientConnection,
        request: RequestHead,
        plan: Plan,
        params: Mapping[str, bytes],
        started: float,
    ) -> None:
        _begin(self, client, request, started)
        self.plan = plan
        self.params = params
        self.sent_whole = self.received_whole  # now: whether the head is all there is
        self.attempts = 0
        self.upstream_seconds = 0.0
        self.upstream_status = 0
        self._attempt: Attempt | None = None
        self._changed: Request | None = None
        """The request as a policy left it."""
        if plan.layers:
            self.tokens: list[object] = [None] * len(plan.layers)
        if not self.sent_whole:
            self._held: list[bytes] = []

    @property
    def may_resend(self) -> bool:
        return self.sent_whole and self.request.method in SAFE_METHODS

    # ---- through the layers

    def descend(self, place: int) -> None:
        plan = self.plan
        layers = plan.layers
        if place < len(layers):
            self._depth = place + 1
            layers[place].down(self, place)
        elif plan.aggregator is None:
            self.attempts += 1
            attempt = self._attempt = Attempt(plan.upstream, self)
            attempt.start()
        else:
            self._merge(plan.aggregator)

    def ascend(self, place: int, outcome: Outcome) -> None:
        self._depth = place
        while place:
            place -= 1
            self._depth = place
            passed = self.plan.layers[place].up(self, place, outcome)
            if passed is None:
                self._depth = place + 1
                return
            outcome = passed
        self._deliver(outcome)

    def abandon(self, place: int) -> None:
        for inner in (self._attempt, self._merging):
            if inner is not None:
                inner.abort()
        self._attempt = self._merging = None
        self._head = self._trailers = None
        while self._depth > place:
            self._depth -= 1
            self.plan.layers[self._depth].abandon(self, self._depth)

    @property
    def upgrades(self) -> bool:
        return self.request.upgrades

    @property
    def method(self) -> bytes:
        return (self._changed or self.request).method

    @property
    def repeatable(self) -> bool:
        return self.sent_whole or not self._admitted

    def to_request(self) -> Request:
        if self._changed is None:
            self._changed = as_request(
                self.request, self.client.forwarded(self.request) + self.id_line, self.params
            )
        return self._changed

    def replace_request(self, request: Request) -> None:
        self._changed = request

    # ---- what the client does

    def body(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if self._merging is not None:
            self._merging.body(data)
        elif self._admitted:
            self._send_body(data)
        elif not self.status:
            self._held.append(data)
            self.client.pause()

    def body_end(self, trailers: bytes) -> None:
        self.received_whole = True
        if self._merging is not None:
            self._merging.body_end()
        elif self._admitted:
            self._end_body(trailers)
        else:
            self._request_trailers = trailers

    def gone(self) -> None:
        self.abandon(0)

    def client_writable(self, ready: bool) -> None:
        if self._attempt is not None and self.status:
            if ready:
                self._attempt.resume()
            else:
                self._attempt.pause()

    def expire(self) -> None:
        """The deadline of the whole request is over."""
        self.abandon(0)
        if self.status:
            self.cut_off()
        else:
            self._deliver(UpstreamFailure("timeout", "no answer before the deadline"))

    def ask_for_body(self) -> None:
        """The request is admitted: a client that waits for `100 Continue` gets it."""
        if self.request.expects_continue and not self.received_whole and not self._held:
            self.continued = True
            self.client.write(CONTINUE)

    # ---- how the attempt goes

    def write_request(self, endpoint: UpstreamEndpoint) -> bytes:
        head, changed = self.request, self._changed
        if changed is None:
            more = self.client.forwarded(head) + self.id_line
            if head.upgrades:
                more += UPGRADED
            return endpoint.write_head(head.method, head.target, self.params, head.host, head.fields, more)
        return endpoint.write_head(
            changed.method,
            changed.target,
            changed.params,
            changed.host,
            join_fields(changed.headers),
            head.framing + (UPGRADED if head.upgrades else b""),
        )

    def admitted(self) -> None:
        self.ask_for_body()
        self._admitted = True
        held, self._held = self._held, []
        for data in held:
            self._send_body(data)
        if self.received_whole:
            self._end_body(self._request_trailers)
        self.client.resume()

    def rejected(self, error: CircuitOpenError) -> None:
        guard = self.plan.upstream.guard
        self._attempt = None
        self.ascend(len(self.plan.layers), problem(503) if guard is None else guard.rejection(error))

    def answered(self, answer: WholeAnswer) -> None:
        self._attempt = None
        if self.plan.layers:
            self.ascend(len(self.plan.layers), answer)
        else:
            self.send_whole(answer)

    def note(self, attempts: Sequence[float], parts: tuple[Result, ...]) -> None:
        """How a merged answer came about, for the access log: how long each attempt took, and what became of
        each part."""
        self.attempts = len(attempts)
        self.upstream_seconds = max(attempts, default=0.0)
        self.parts = parts

    def merged(self, outcome: Outcome) -> None:
        self._merging = None
        self.ascend(len(self.plan.layers), outcome)

    def interim(self, head: ResponseHead) -> None:
        # 100 answers an expectation, which the gateway did by itself; HTTP/1.0 knows no interim answers.
        if head.status != 100 and not self.request.http10:
            self.client.write(write_head(head.status, head.reason, head.fields, b""))

    def head(self, head: ResponseHead) -> None:
        self._head = head
        self.ascend(len(self.plan.layers), head)
        if not self.status and self._attempt is not None:
            self._early: list[bytes] = []
            self._attempt.pause()  # until a policy lets the head go

    def content(self, data: bytes) -> None:
        if self.status:
            self.send_content(data)
        else:
            self._early.append(data)

    def finished(self, trailers: bytes) -> None:
        self._attempt = None
        if self.status:
            self.send_end(trailers)
        else:
            self._trailers = trailers

    def failed(self, failure: UpstreamFailure) -> None:
        self._attempt = None
        if self._head is None:
            self.ascend(len(self.plan.layers), failure)
            return
        for guard in self.plan.guards:
            guard.cut_off(failure)
        self.abandon(0)
        self.cut_off()

    def writable(self, ready: bool) -> None:
        if ready:
            self.client.resume()
        else:
            self.client.pause()

    # ---- on the way

    def _merge(self, aggregator: Aggregator) -> None:
        self._merging = merging = Merging(self, aggregator, self.plan.limits.buffered_request)
        if self.sent_whole:
            merging.body_end()
            return
        held, self._held = self._held, []
        if not merging.body(b"".join(held)):
            return
        if self.received_whole:
            merging.body_end()
        else:
            self.ask_for_body()
            self.client.resume()

    def _send_body(self, data: bytes) -> None:
        if self._attempt is not None:
            self._attempt.send_body(encode_chunk(data) if self.request.length == CHUNKED else data)

    def _end_body(self, trailers: bytes) -> None:
        if self._attempt is not None:
            end = LAST_CHUNK + trailers + b"\r\n" if self.request.length == CHUNKED else b""
            self._attempt.end_body(end)

    def _deliver(self, outcome: Outcome) -> None:
        match outcome:
            case WholeAnswer():
                self.send_whole(outcome)
            case ResponseHead(status=101) | Response(status=101, body=None) if self._attempt is not None:
                self._switch(self._attempt, outcome.fields)
            case ResponseHead():
                self.send_head(*outcome[:4])
            case Response(body=None) if self._head is not None and self._head.status != 101:
                fields = outcome.fields + length_field(self._head)
                self.send_head(outcome.status, b"", fields, self._head.length)
                self._send_early()
            case _:
                self.abandon(0)  # an upstream's answer that a policy replaced
                self.send_answer(as_answer(outcome))

    def _switch(self, attempt: Attempt, fields: bytes) -> None:
        """The upstream took an upgrade: from here on both connections are ends of a tunnel."""
        self._attempt = None
        if self.plan.deadline is not None:
            self.plan.deadline.discard(self)
        self.send_upgrade(fields)
        Tunnel(self.client.hand_over(), attempt.hand_over(), self.plan.upstream.idle)

    def _send_early(self) -> None:
        """What of the body came before the head was sent."""
        for data in self._early:
            self.send_content(data)
        if self._trailers is not None:
            self.send_end(self._trailers)
        elif self._attempt is not None and self.client.writable:
            self._attempt.resume()
