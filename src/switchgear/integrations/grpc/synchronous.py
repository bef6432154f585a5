"""An interceptor for channels of `grpc`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection
from typing import Any

import grpc
from grpc import StatusCode

from switchgear import CircuitBreaker, CircuitOpenError, Permit
from switchgear.integrations.grpc.calls import FAILURE_CODES, Breakers, Calls, Key, rejection
from switchgear.integrations.grpc.streams import ProbeStream

Continuation = Callable[[grpc.ClientCallDetails, Any], Any]


class CircuitBreakerInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """For `grpc.intercept_channel`: guards calls of all four kinds, also those made by `future`.

    `breakers` is one breaker for the channel, or a family: with `target` its member for that server, with
    `key(method)` (`by_method`, `by_service`) one for each key. `failure_codes` are failures, `CANCELLED` is
    no evidence, and other codes are answers. A rejection is a `CircuitOpenRpcError`. Raises `TypeError` and
    `ValueError` for what does not fit.
    """

    def __init__(
        self,
        breakers: Breakers,
        target: str | None = None,
        *,
        key: Key | None = None,
        failure_codes: Collection[StatusCode] = FAILURE_CODES,
    ) -> None:
        self._calls = Calls(breakers, target, key, failure_codes)

    def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        return self._guarded(continuation, client_call_details, request)

    def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        return self._guarded(continuation, client_call_details, request, streams=True)

    def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return self._guarded(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return self._guarded(continuation, client_call_details, request_iterator, streams=True)

    def _guarded(
        self,
        continuation: Continuation,
        details: grpc.ClientCallDetails,
        request: Any,
        *,
        streams: bool = False,
    ) -> Any:
        breaker = self._calls.breaker(details.method)
        try:
            permit = breaker.acquire()
        except CircuitOpenError as error:
            # Returned, not raised: gRPC would wrap it for streams and futures, with a code of its own.
            return rejection(error)
        try:
            call = continuation(details, request)
        except BaseException as error:
            self._calls.raised(breaker, permit, error)
            raise
        self._follow(breaker, permit, call)
        return ProbeStream(call, permit, breaker.policy) if streams and permit.probe else call

    def _follow(self, breaker: CircuitBreaker, permit: Permit, call: Any) -> None:
        # Weakly: a stream that the caller drops is cancelled when it is collected, which a reference from
        # its own callback would prevent.
        seen: weakref.ref[Any] = weakref.ref(call)

        def ended() -> None:
            self._report(breaker, permit, seen())

        # Errors and answers of blocking calls are over when they get here, and errors have no callbacks.
        if _is_over(call) or not call.add_callback(ended):
            self._report(breaker, permit, call)

    def _report(self, breaker: CircuitBreaker, permit: Permit, call: Any) -> None:
        if call is None:
            permit.cancel()
            return
        error = call.exception() if _is_over(call) and not call.cancelled() else None
        if error is None or isinstance(error, grpc.RpcError):
            self._calls.ended(breaker, permit, call.code(), call, call.details())
        else:
            self._calls.raised(breaker, permit, error)


def _is_over(call: Any) -> bool:
    return isinstance(call, grpc.Future) and call.done()
