"""A circuit for each host that a requests session talks to.

hosts = Switchgear().breakers("host:{}", failure_rate=0.5)
adapter = CircuitBreakerAdapter(hosts)
session = requests.Session()
session.mount("https://", adapter)
session.mount("http://", adapter)
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as urllib3_errors

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, CircuitState, Permit
from switchgear.integrations.guarding import Guard, Host, OnOpen, origin
from switchgear.integrations.http_rejection import REASON, STATUS, rejection_body, rejection_headers
from switchgear.integrations.reading import Reading, decided_by_head
from switchgear.integrations.retry_after import retry_after

__all__ = ["CircuitBreakerAdapter", "CircuitOpenConnectionError", "retry_after"]


class CircuitOpenConnectionError(CircuitOpenError, requests.ConnectionError):
    """A request was rejected: `except requests.ConnectionError` catches it, and so does `CircuitOpenError`.

    Copies and pickles without its `request`, whose body may be a stream.
    """

    def __init__(
        self,
        name: str,
        state: CircuitState,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
        *,
        request: requests.PreparedRequest | None = None,
    ) -> None:
        requests.ConnectionError.__init__(self, request=request)
        self.args = (name, state, retry_after, reason, last_failure)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class CircuitBreakerAdapter(BaseAdapter):
    """For `requests.Session.mount`: guards what another adapter sends.

    `breakers` is a family (one circuit for each `scheme://host:port`, or for each `key(request)`) or one
    breaker for all requests. `adapter` does the sending; by default a new `HTTPAdapter()`. Closing closes it.
    `on_open` says what a rejection becomes: "raise" a `CircuitOpenConnectionError`, "response" a made-up 503,
    "plain" a bare `CircuitOpenError`. Raises `TypeError` and `ValueError` for what does not fit.
    """

    def __init__(
        self,
        breakers: BreakerFamily | CircuitBreaker,
        adapter: BaseAdapter | None = None,
        *,
        key: Callable[[requests.PreparedRequest], str] | None = None,
        on_open: OnOpen = "raise",
    ) -> None:
        super().__init__()
        self._guard = Guard(_REQUESTS, breakers, key, on_open)
        self._adapter = HTTPAdapter() if adapter is None else adapter

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request, if its circuit lets it pass."""
        breaker = self._guard.breaker(request)
        try:
            permit = breaker.acquire()
        except CircuitOpenError as error:
            return self._guard.rejected(error, request)
        try:
            response = self._adapter.send(request, stream, timeout, verify, cert, proxies)
        except BaseException as error:
            self._guard.raised(permit, error)
            raise
        # What digest authentication sends its second request through.
        response.connection = cast("HTTPAdapter", self)
        try:
            return self._answered(breaker, permit, response)
        except BaseException:
            response.close()
            raise

    def _answered(
        self, breaker: CircuitBreaker, permit: Permit, response: requests.Response
    ) -> requests.Response:
        if not decided_by_head(permit, breaker.policy, response, response.status_code):
            response.raw = _Body(response.raw, Reading(self._guard, breaker, permit))
        return response

    def close(self) -> None:
        """Close the adapter inside."""
        self._adapter.close()


class _Body:
    """A response's `raw`, which reports how it ends; all else is that of the response inside."""

    def __init__(self, raw: Any, reading: Reading) -> None:
        self._raw = raw
        self._reading = reading

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._raw, name)
        watch = self._watches.get(name)
        return attribute if watch is None else functools.partial(watch, self, attribute)

    def __iter__(self) -> Iterator[bytes]:
        return self._stream(self._raw.__iter__)

    def _read(self, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._reading:
            piece = read(*args, **kwargs)
        if not piece or self._raw.closed:
            self._reading.ended()
        return piece

    def _stream(self, stream: Callable[..., Iterator[bytes]], *args: Any, **kwargs: Any) -> Iterator[bytes]:
        pieces = stream(*args, **kwargs)
        while True:
            with self._reading:
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece
        self._reading.ended()

    def _end(self, end: Callable[[], None]) -> None:
        try:
            end()
        finally:
            self._reading.ended()

    _watches: ClassVar[dict[str, Callable[..., Any]]] = {
        **dict.fromkeys(("read", "read1", "readinto", "readline", "readlines"), _read),
        **dict.fromkeys(("stream", "read_chunked"), _stream),
        **dict.fromkeys(("close", "release_conn"), _end),
    }


def _request_origin(request: requests.PreparedRequest) -> str:
    parts = urlsplit(cast("str", request.url))
    return origin(parts.scheme, parts.hostname or "", parts.port)


def _error(error: CircuitOpenError, request: requests.PreparedRequest) -> CircuitOpenConnectionError:
    return CircuitOpenConnectionError(*error.args, request=request)


def _response(error: CircuitOpenError, request: requests.PreparedRequest) -> requests.Response:
    response = requests.Response()
    response.status_code = STATUS
    response.reason = REASON
    response.headers = CaseInsensitiveDict(rejection_headers(error))
    response.raw = io.BytesIO(rejection_body(error))
    response.encoding = "utf-8"
    response.url = cast("str", request.url)
    response.request = request
    return response


_REQUESTS: Final = Host(
    key=_request_origin,
    rejection=_error,
    response=_response,
    failures=(
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.RetryError,
        # What a body raises, before requests makes its own errors of it.
        urllib3_errors.ProtocolError,
        urllib3_errors.TimeoutError,
        urllib3_errors.SSLError,
    ),
    local=(urllib3_errors.ResponseNotChunked,),
)
