"""The transports for httpx and httpx2, whose class trees have nothing in common but their shape.

`switchgear.integrations.httpx` and `.httpx2` give these classes their library's bases and types.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, Permit
from switchgear.integrations.guarding import Guard, Host, OnOpen, origin
from switchgear.integrations.reading import Reading, decided_by_head


class _Url(Protocol):
    @property
    def scheme(self) -> str: ...
    @property
    def raw_host(self) -> bytes: ...
    @property
    def port(self) -> int | None: ...


class _Request(Protocol):
    @property
    def url(self) -> _Url: ...


class _Response(Protocol):
    status_code: int
    stream: Any

    def close(self) -> None: ...
    async def aclose(self) -> None: ...


Q = TypeVar("Q", bound=_Request)
A = TypeVar("A", bound=_Response)
Q_contra = TypeVar("Q_contra", bound=_Request, contravariant=True)
A_co = TypeVar("A_co", bound=_Response, covariant=True)
Inner = TypeVar("Inner")
T = TypeVar("T", bound="_Transport[Any, Any]")
AsyncT = TypeVar("AsyncT", bound="_AsyncTransport[Any, Any]")


class _Stream(Protocol):
    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class _AsyncStream(Protocol):
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class _Transport(Protocol[Q_contra, A_co]):
    def handle_request(self, request: Q_contra, /) -> A_co: ...
    def close(self) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class _AsyncTransport(Protocol[Q_contra, A_co]):
    async def handle_async_request(self, request: Q_contra, /) -> A_co: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


def request_origin(request: _Request) -> str:
    """`scheme://host:port` of a request."""
    url = request.url
    return origin(url.scheme, url.raw_host.decode("ascii"), url.port)


class Body:
    """A response's body, which reports how it ends."""

    def __init__(self, stream: _Stream, reading: Reading) -> None:
        self._stream = stream
        self._reading = reading

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._stream)
        while True:
            with self._reading:
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece
        self._reading.ended()

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._reading.ended()


class AsyncBody:
    """Like `Body`, for coroutines."""

    def __init__(self, stream: _AsyncStream, reading: Reading) -> None:
        self._stream = stream
        self._reading = reading

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._stream)
        while True:
            with self._reading:
                piece = await anext(pieces, None)
            if piece is None:
                break
            yield piece
        self._reading.ended()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._reading.ended()


class _Guarded(Generic[Q, A, Inner]):
    """What has no colour: what is inside, who guards it, and what becomes of an answer."""

    _host: Host[Q, A]
    _default: type[Any]
    _body: type[Any]

    def __init__(
        self,
        breakers: BreakerFamily | CircuitBreaker,
        transport: Inner | None = None,
        *,
        key: Callable[[Q], str] | None = None,
        on_open: OnOpen = "raise",
    ) -> None:
        self._guard = Guard(self._host, breakers, key, on_open)
        self._transport: Inner = self._default() if transport is None else transport

    def _answered(self, breaker: CircuitBreaker, permit: Permit, response: A) -> A:
        if not decided_by_head(permit, breaker.policy, response, response.status_code):
            response.stream = self._body(response.stream, Reading(self._guard, breaker, permit))
        return response


class GuardedTransport(_Guarded[Q, A, T]):
    """Sends requests through another transport as long as their circuits let them.

    `breakers` is a family (one circuit for each `scheme://host:port`, or for each `key(request)`) or one
    breaker for all requests. `transport` does the sending; by default a new one. Closing closes it. `on_open`
    says what a rejection becomes: "raise" the library's `TransportError`, which is a `CircuitOpenError`, too;
    "response" a made-up 503; "plain" a bare `CircuitOpenError`. Raises `TypeError` and `ValueError` for what
    does not fit.
    """

    def handle_request(self, request: Q) -> A:
        breaker = self._guard.breaker(request)
        try:
            permit = breaker.acquire()
        except CircuitOpenError as error:
            return self._guard.rejected(error, request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            self._guard.raised(permit, error)
            raise
        try:
            return self._answered(breaker, permit, response)
        except BaseException:
            response.close()
            raise

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)


class AsyncGuardedTransport(_Guarded[Q, A, AsyncT]):
    """Like `GuardedTransport`, for coroutines."""

    async def handle_async_request(self, request: Q) -> A:
        breaker = self._guard.breaker(request)
        try:
            permit = await breaker.acquire_async()
        except CircuitOpenError as error:
            return self._guard.rejected(error, request)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            self._guard.raised(permit, error)
            raise
        try:
            return self._answered(breaker, permit, response)
        except BaseException:
            await response.aclose()
            raise

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)
