"""A circuit for each host that an httpx client talks to.

    hosts = Switchgear().breakers("host:{}", failure_rate=0.5)
    client = httpx.Client(transport=CircuitBreakerTransport(hosts))

The same for httpx2 is in `switchgear.integrations.httpx2`.
"""

from __future__ import annotations

from typing import Final

import httpx

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


class CircuitOpenTransportError(CircuitOpenError, httpx.TransportError):
    """A request was rejected: `except httpx.TransportError` catches it, and so does `CircuitOpenError`."""

    def __init__(
        self,
        name: str,
        state: CircuitState,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
        *,
        request: httpx.Request | None = None,
    ) -> None:
        httpx.TransportError.__init__(self, "", request=request)
        self.args = (name, state, retry_after, reason, last_failure)


class _Body(Body, httpx.SyncByteStream):
    """A body as httpx asks for it."""


class _AsyncBody(AsyncBody, httpx.AsyncByteStream):
    """A body as httpx asks for it."""


def _error(error: CircuitOpenError, request: httpx.Request) -> CircuitOpenTransportError:
    return CircuitOpenTransportError(*error.args, request=request)


def _response(error: CircuitOpenError, request: httpx.Request) -> httpx.Response:
    return httpx.Response(
        STATUS, headers=rejection_headers(error), content=rejection_body(error), request=request
    )


_HTTPX: Final = Host(
    key=request_origin,
    rejection=_error,
    response=_response,
    failures=(httpx.TransportError,),
    local=(httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.PoolTimeout),
)


class CircuitBreakerTransport(
    GuardedTransport[httpx.Request, httpx.Response, httpx.BaseTransport], httpx.BaseTransport
):
    __doc__ = GuardedTransport.__doc__

    _host = _HTTPX
    _default = httpx.HTTPTransport
    _body = _Body


class AsyncCircuitBreakerTransport(
    AsyncGuardedTransport[httpx.Request, httpx.Response, httpx.AsyncBaseTransport], httpx.AsyncBaseTransport
):
    """For `httpx.AsyncClient(transport=...)`; all else as in `CircuitBreakerTransport`."""

    _host = _HTTPX
    _default = httpx.AsyncHTTPTransport
    _body = _AsyncBody
