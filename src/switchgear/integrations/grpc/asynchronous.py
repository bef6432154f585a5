"""Interceptors for channels of `grpc.aio`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from grpc import StatusCode, aio

from switchgear import CircuitBreaker, CircuitOpenError, Permit
from switchgear.integrations.grpc.calls import FAILURE_CODES, Breakers, Calls, Key, rejection
from switchgear.integrations.grpc.streams import probe_messages

Continuation = Callable[[aio.ClientCallDetails, Any], Any]


def aio_interceptors(
    breakers: Breakers,
    target: str | None = None,
    *,
    key: Key | None = None,
    failure_codes: Collection[StatusCode] = FAILURE_CODES,
) -> list[aio.ClientInterceptor]:
    """For `grpc.aio.insecure_channel(target, interceptors=...)` and `secure_channel`.

    Four of them: a channel takes each for one kind of calls only. The arguments are those of
    `CircuitBreakerInterceptor`.
    """
    calls = Calls(breakers, target, key, failure_codes)
    return [_UnaryUnary(calls), _UnaryStream(calls), _StreamUnary(calls), _StreamStream(calls)]


class _Interceptor:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def _guarded(
        self,
        continuation: Continuation,
        details: aio.ClientCallDetails,
        request: Any,
        *,
        streams: bool = False,
    ) -> Any:
        breaker = self._calls.breaker(details.method)
        try:
            permit = await breaker.acquire_async()
        except CircuitOpenError as error:
            raise rejection(error) from None
        try:
            call = await continuation(details, request)
        except BaseException as error:
            self._calls.raised(breaker, permit, error)
            raise
        self._follow(breaker, permit, call)
        return probe_messages(call, permit, breaker.policy) if streams and permit.probe else call

    def _follow(self, breaker: CircuitBreaker, permit: Permit, call: Any) -> None:
        def ended(call: Any) -> None:
            code = StatusCode.CANCELLED if call.cancelled() else _known(call.code())
            self._calls.ended(breaker, permit, code, call, _known(call.details()))

        if call.done():  # an answer that an interceptor further inside has made up has no callbacks
            ended(call)
        else:
            call.add_done_callback(ended)


class _UnaryUnary(_Interceptor, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        return await self._guarded(continuation, client_call_details, request)


class _UnaryStream(_Interceptor, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        return await self._guarded(continuation, client_call_details, request, streams=True)


class _StreamUnary(_Interceptor, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await self._guarded(continuation, client_call_details, request_iterator)


class _StreamStream(_Interceptor, aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await self._guarded(continuation, client_call_details, request_iterator, streams=True)


def _known(value: Coroutine[Any, Any, Any]) -> Any:
    """What a call that has ended answers without waiting: a task for it might never get to run."""
    try:
        value.send(None)
    except StopIteration as answer:
        return answer.value
    except asyncio.CancelledError:
        return StatusCode.CANCELLED
    value.close()
    return None
