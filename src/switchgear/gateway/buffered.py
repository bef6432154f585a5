"""Requests and answers that are read as a whole before anything is done with them: for merged routes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from switchgear.gateway.answers import problem
from switchgear.gateway.composition import Evidence
from switchgear.gateway.exchange import BufferedResponse, UpstreamFailure
from switchgear.gateway.http1.fields import cut_fields, join_fields
from switchgear.gateway.http1.request import SAFE_METHODS
from switchgear.gateway.policies import Response
from switchgear.gateway.retrying import Last
from switchgear.gateway.upstream.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from switchgear import CircuitOpenError
    from switchgear.gateway.aggregate import Aggregator
    from switchgear.gateway.composition import Merged
    from switchgear.gateway.config.model import Service
    from switchgear.gateway.exchange import Request
    from switchgear.gateway.http1.response import ResponseHead, WholeAnswer
    from switchgear.gateway.proxy import Exchange
    from switchgear.gateway.retrying import RetryRule
    from switchgear.gateway.upstream.endpoint import UpstreamEndpoint
    from switchgear.gateway.upstream.service import Upstream

_log = logging.getLogger("switchgear.gateway")
_MEANINGLESS: Final = (b"content-length",)  # the body is there, as it is


class Merging:
    """A request to a merged route: takes in its body, then one task asks all services."""

    def __init__(self, exchange: Exchange, aggregator: Aggregator, limit: int) -> None:
        self._exchange = exchange
        self._aggregator = aggregator
        self._limit = limit
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None

    def body(self, data: bytes) -> bool:
        """Takes more of the body; `False`: it is too long, and the request is refused."""
        self._body += data
        if max(len(self._body), self._exchange.request.length) <= self._limit:
            return True
        self._exchange.merged(problem(413))
        return False

    def body_end(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            request = self._exchange.to_request()
            if self._body:
                request = replace(request, body=bytes(self._body))
            merged = await self._aggregator(request)
            self._exchange.note(request.attempts, merged.results)
        except Exception:
            _log.exception("%s could not be merged", self._exchange.plan.name)
            self._exchange.merged(problem(500))
        else:
            self._exchange.plan.tally.count_parts(merged.results)
            self._exchange.merged(_as_response(merged))


def _as_response(merged: Merged) -> Response:
    answer = merged.answer
    return Response(
        answer.status,
        list(answer.headers),
        answer.body,
        UpstreamFailure("reset", "a required part got no answer")
        if merged.evidence is Evidence.FAILURE
        else None,
        evidence=merged.evidence is not Evidence.NONE,
    )


class BufferedFetch:
    """`Fetch` over the upstreams of one route. The circuit's call lasts until the whole answer is there."""

    def __init__(self, upstreams: Mapping[str, Upstream], limit: int) -> None:
        self._upstreams = upstreams
        self._limit = limit

    async def __call__(self, service: Service, request: Request) -> BufferedResponse:
        upstream = self._upstreams[service.name]
        if upstream.retry is None:
            response = await _Call(request, self._limit).answer_of(upstream)
        else:
            response = await self._with_retries(upstream, upstream.retry, request)
        if upstream.answer_rules is not None:
            response.headers = upstream.answer_rules.pairs(response.headers)
        return response

    async def _with_retries(self, upstream: Upstream, rule: RetryRule, request: Request) -> BufferedResponse:
        rule.begin()
        call = _Call(request, self._limit)
        attempts = 1
        while True:
            try:
                response = await call.answer_of(upstream)
            except UpstreamFailure as failure:
                wait = rule.wait(attempts, request.method, failure)
                if isinstance(wait, Last):
                    raise
            else:
                wait = rule.wait(attempts, request.method, response)
                if isinstance(wait, Last):
                    return response
            await asyncio.sleep(wait)
            call = _Call(request, self._limit, call.tried)
            attempts += 1


class _Call:
    """One buffered call, as its attempt's caller."""

    sent_whole = True
    upgrades = False
    upstream_seconds = 0.0
    upstream_status = 0

    def __init__(self, request: Request, limit: int, tried: UpstreamEndpoint | None = None) -> None:
        self.tried = tried
        self.result: asyncio.Future[BufferedResponse] = asyncio.get_running_loop().create_future()
        self.to_head = request.method == b"HEAD"
        self.may_resend = not request.body and request.method in SAFE_METHODS
        self._request = request
        self._limit = limit
        self._head: ResponseHead | None = None
        self._body = bytearray()

    async def answer_of(self, upstream: Upstream) -> BufferedResponse:
        """Makes the attempt. Raises what `Fetch` does."""
        attempt = Attempt(upstream, self, whole=True)
        made = self._request.attempts
        place = len(made)
        made.append(0.0)
        attempt.start()
        try:
            return await self.result
        except BaseException:  # nobody waits any more, or the answer is too long
            attempt.abort()
            raise
        finally:
            made[place] = self.upstream_seconds

    def write_request(self, endpoint: UpstreamEndpoint) -> bytes:
        request = self._request
        fields = join_fields(request.headers)
        if request.body or request.method not in SAFE_METHODS:
            fields += b"Content-Length: %d\r\n" % len(request.body)
        return (
            endpoint.write_head(request.method, request.target, request.params, request.host, fields)
            + request.body
        )

    def admitted(self) -> None:
        """The request was sent as a whole."""

    def writable(self, ready: bool) -> None:
        """The request is bounded, and was handed over as a whole."""

    def interim(self, head: ResponseHead) -> None:
        """Nothing to merge."""

    def rejected(self, error: CircuitOpenError) -> None:
        self._end(error)

    def failed(self, failure: UpstreamFailure) -> None:
        self._end(failure)

    def answered(self, answer: WholeAnswer) -> None:
        self._complete(answer.status, answer.fields, answer.body)

    def head(self, head: ResponseHead) -> None:
        self._head = head
        if head.length > self._limit:
            self._end(UpstreamFailure("too_large"))

    def content(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._limit:
            self._end(UpstreamFailure("too_large"))

    def finished(self, trailers: bytes) -> None:
        if self._head is not None:
            self._complete(self._head.status, self._head.fields, bytes(self._body))

    def _complete(self, status: int, fields: bytes, body: bytes) -> None:
        if len(body) > self._limit:
            self._end(UpstreamFailure("too_large"))
        elif not self.result.done():
            headers = [field for field in cut_fields(fields) if field[0] not in _MEANINGLESS]
            self.result.set_result(BufferedResponse(status, headers, body))

    def _end(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
