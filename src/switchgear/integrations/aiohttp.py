"""A circuit for each host that an aiohttp client talks to.

hosts = Switchgear().breakers("host:{}", failure_rate=0.5)
session = aiohttp.ClientSession(middlewares=(CircuitBreakerMiddleware(hosts),))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import aiohttp
from aiohttp.http import HttpProcessingError

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, CircuitState, Permit
from switchgear.integrations.guarding import Guard, Host, OnOpen, origin
from switchgear.integrations.reading import Reading, decided_by_head
from switchgear.integrations.retry_after import retry_after

__all__ = ["CircuitBreakerMiddleware", "CircuitOpenClientError", "retry_after"]

T = TypeVar("T")


class CircuitOpenClientError(CircuitOpenError, aiohttp.ClientError):
    """A request was rejected: `except aiohttp.ClientError` catches it, and so does `CircuitOpenError`."""

    def __init__(
        self,
        name: str,
        state: CircuitState,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
    ) -> None:
        aiohttp.ClientError.__init__(self)
        self.args = (name, state, retry_after, reason, last_failure)


class CircuitBreakerMiddleware:
    """For `aiohttp.ClientSession(middlewares=...)`: lets requests pass as long as their circuits do.

    `breakers` is a family (one circuit for each `scheme://host:port`, or for each `key(request)`) or one
    breaker for all requests. `on_open` says what a rejection becomes: "raise" a `CircuitOpenClientError`,
    "plain" a bare `CircuitOpenError`; aiohttp has no public way to make up a response. Raises `TypeError` and
    `ValueError` for what does not fit.
    """

    def __init__(
        self,
        breakers: BreakerFamily | CircuitBreaker,
        *,
        key: Callable[[aiohttp.ClientRequest], str] | None = None,
        on_open: OnOpen = "raise",
    ) -> None:
        self._guard = _Guard(_AIOHTTP, breakers, key, on_open)

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        breaker = self._guard.breaker(request)
        try:
            permit = await breaker.acquire_async()
        except CircuitOpenError as error:
            return self._guard.rejected(error, request)
        try:
            response = await handler(request)
        except BaseException as error:
            self._guard.raised(permit, error)
            raise
        try:
            return self._answered(breaker, permit, response)
        except BaseException:
            response.close()
            raise

    def _answered(
        self, breaker: CircuitBreaker, permit: Permit, response: aiohttp.ClientResponse
    ) -> aiohttp.ClientResponse:
        if decided_by_head(permit, breaker.policy, response, response.status):
            return response
        if response.content.at_eof():
            permit.success()
        else:
            reading = Reading(self._guard, breaker, permit)
            response.content = cast("aiohttp.StreamReader", _Body(response.content, reading))
        return response


class _Guard(Guard[aiohttp.ClientRequest, aiohttp.ClientResponse]):
    def raised(self, permit: Permit, error: BaseException) -> None:
        # Errors with a status that is not the service's answer: a proxy's, or 400 for what is no HTTP.
        if isinstance(error, aiohttp.ClientHttpProxyError) or isinstance(
            error.__cause__, HttpProcessingError
        ):
            permit.failure(error)
        else:
            super().raised(permit, error)


class _Body:
    """A response's `content`, which reports how it ends; all else is that of the stream inside."""

    def __init__(self, stream: aiohttp.StreamReader, reading: Reading) -> None:
        self._stream = stream
        self._reading = reading

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._stream, name)
        return self._watched(attribute) if name in _READS else attribute

    def _watched(self, read: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def watched(*args: Any, **kwargs: Any) -> T:
            with self._reading:
                piece = await read(*args, **kwargs)
            if self._stream.at_eof():
                self._reading.ended()
            return piece

        return watched

    def set_exception(self, *args: Any) -> None:
        # What a response does to its content when it is closed or released.
        self._stream.set_exception(*args)
        self._reading.ended()

    # Iterators that read through the methods above.
    def __aiter__(self) -> Any:
        return aiohttp.StreamReader.__aiter__(cast("aiohttp.StreamReader", self))

    def iter_chunked(self, n: int) -> Any:
        return aiohttp.StreamReader.iter_chunked(cast("aiohttp.StreamReader", self), n)

    def iter_any(self) -> Any:
        return aiohttp.StreamReader.iter_any(cast("aiohttp.StreamReader", self))

    def iter_chunks(self) -> Any:
        return aiohttp.StreamReader.iter_chunks(cast("aiohttp.StreamReader", self))


_READS: Final = frozenset({"read", "readany", "readchunk", "readexactly", "readline", "readuntil"})


def _request_origin(request: aiohttp.ClientRequest) -> str:
    url = request.url
    return origin(url.scheme, url.raw_host or "", url.port)


_AIOHTTP: Final = Host[aiohttp.ClientRequest, aiohttp.ClientResponse](
    key=_request_origin,
    rejection=lambda error, request: CircuitOpenClientError(*error.args),
    response=None,
    failures=(aiohttp.ClientError, TimeoutError),
)
