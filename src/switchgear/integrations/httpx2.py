"""A circuit for each host that an httpx2 client talks to.

    hosts = Switchgear().breakers("host:{}", failure_rate=0.5)
    client = httpx2.Client(transport=CircuitBreakerTransport(hosts))

The same for httpx is in `switchgear.integrations.httpx`.
"""

from __future__ import annotations

from typing import Final

import httpx2

from switchgear import CircuitOpenError, CircuitState
from switchgear.integrations.guarding import Host
from switchgear.integrations.http_rejection import STATUS, rejection_body, rejection_headers
from switchgear.integrations.retry_after import retry_after
from switchgear.integrations.transports import (
    AsyncBody,
    AsyncGuardedTransport,
    Body,
    GuardedTransport,
    request_origin,
)

__all__ = [
    "AsyncCircuitBreakerTransport",
    "CircuitBreakerTransport",
    "CircuitOpenTransportError",
    "retry_after",
]


class CircuitOpenTransportError(CircuitOpenError, httpx2.TransportError):
    """A request was rejected: `except httpx2.TransportError` catches it, and so does `CircuitOpenError`."""

    def __init__(
        self,
        name: str,
        state: CircuitState,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
        *,
        request: httpx2.Request | None = None,
    ) -> None:
        httpx2.TransportError.__init__(self, "", request=request)
        self.args = (name, state, retry_after, reason, last_failure)


class _Body(Body, httpx2.SyncByteStream):
    """A body as httpx2 asks for it."""


class _AsyncBody(AsyncBody, httpx2.AsyncByteStream):
    """A body as httpx2 asks for it."""


def _error(error: CircuitOpenError, request: httpx2.Request) -> CircuitOpenTransportError:
    return CircuitOpenTransportError(*error.args, request=request)


def _response(error: CircuitOpenError, request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(
        STATUS, headers=rejection_headers(error), content=rejection_body(error), request=request
    )


_HTTPX2: Final = Host(
    key=request_origin,
    rejection=_error,
    response=_response,
    failures=(httpx2.TransportError,),
    local=(httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.PoolTimeout),
)


class CircuitBreakerTransport(
    GuardedTransport[httpx2.Request, httpx2.Response, httpx2.BaseTransport], httpx2.BaseTransport
):
    __doc__ = GuardedTransport.__doc__

    _host = _HTTPX2
    _default = httpx2.HTTPTransport
    _body = _Body


class AsyncCircuitBreakerTransport(
    AsyncGuardedTransport[httpx2.Request, httpx2.Response, httpx2.AsyncBaseTransport],
    httpx2.AsyncBaseTransport,
):
    """For `httpx2.AsyncClient(transport=...)`; all else as in `CircuitBreakerTransport`."""

    _host = _HTTPX2
    _default = httpx2.AsyncHTTPTransport
    _body = _AsyncBody
