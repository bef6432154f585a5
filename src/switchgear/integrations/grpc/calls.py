"""What sync and async interceptors share: the breaker of a call, and what its end says."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, cast

import grpc
from grpc import StatusCode

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, Permit
from switchgear.breaker.outcome import asked_for
from switchgear.integrations.grpc.rejection import CircuitOpenRpcError
from switchgear.integrations.guarding import Guard, Host

FAILURE_CODES: Final = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
    }
)
"""What counts as a failure. Others are answers of a service that works, such as `NOT_FOUND`."""

Breakers = BreakerFamily | CircuitBreaker
Key = Callable[[str], str]


def by_method(method: str) -> str:
    """A key: each method has a circuit, such as `shop.Payments/Charge`."""
    return method.removeprefix("/")


def by_service(method: str) -> str:
    """A key: each service has a circuit, such as `shop.Payments`."""
    return method.removeprefix("/").rpartition("/")[0]


class Calls:
    """The calls of one channel.

    Raises `TypeError` and `ValueError` for arguments that don't fit.
    """

    def __init__(
        self,
        breakers: Breakers,
        target: str | None,
        key: Key | None,
        failure_codes: Collection[StatusCode],
    ) -> None:
        if isinstance(breakers, BreakerFamily) and target is None and key is None:
            raise TypeError("a family needs the channel's target, or key= (such as by_method)")
        host: Host[str, Any] = Host(
            key=lambda _: cast(str, target), rejection=rejection, response=None, failures=(grpc.RpcError,)
        )
        self._guard = Guard(host, breakers, key, "raise")
        self._codes = frozenset(failure_codes)
        wrong = [code for code in self._codes if not isinstance(cast(object, code), StatusCode)]
        if wrong or self._codes & {StatusCode.OK, StatusCode.CANCELLED}:
            raise ValueError(
                f"failure_codes are status codes but OK and CANCELLED, got {list(failure_codes)!r}"
            )

    def breaker(self, method: str | bytes) -> CircuitBreaker:
        return self._guard.breaker(_text(method))

    def ended(
        self,
        breaker: CircuitBreaker,
        permit: Permit,
        code: StatusCode | None,
        call: object,
        details: str | None,
    ) -> None:
        """Report a call that has ended; `None` for one of which nothing is known."""
        if isinstance(call, CircuitOpenError) or code is None or code is StatusCode.CANCELLED:
            permit.cancel()
        elif code in self._codes:
            permit.failure(
                f"{code.name}: {details}", retry_after=asked_for(breaker.policy.retry_after_from, call)
            )
        else:
            permit.success()

    def raised(self, breaker: CircuitBreaker, permit: Permit, error: BaseException) -> None:
        """Report a call that raised before there was a call: by an interceptor further inside, mostly."""
        if isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
            self.ended(breaker, permit, error.code(), error, error.details())
        elif isinstance(error, Exception):
            permit.ignore()
        else:
            permit.raised(error)


def rejection(error: CircuitOpenError, _: object = None) -> CircuitOpenRpcError:
    """A rejection as an error of gRPC's."""
    return CircuitOpenRpcError(*error.args)


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
