"""A rejection as an error of gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Self

import grpc
from grpc import StatusCode, aio

from switchgear import CircuitOpenError, CircuitState

if TYPE_CHECKING:
    Future = grpc.Future[Any]
else:
    Future = grpc.Future


class CircuitOpenRpcError(CircuitOpenError, aio.AioRpcError, grpc.Call, Future):  # type: ignore[misc]
    """A call was rejected: a `grpc.RpcError` (and `AioRpcError`) with code `UNAVAILABLE`.

    Like other errors of sync calls it is also the call that it ended, and its future. Its metadata is empty.
    """

    # The two kinds of metadata, which the base classes give, are both sequences of pairs: hence the ignored
    # difference of their types.

    def __init__(
        self,
        name: str,
        state: CircuitState,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
    ) -> None:
        aio.AioRpcError.__init__(self, StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata())
        self.args = (name, state, retry_after, reason, last_failure)

    def details(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        fn(self)

    def result(self, timeout: float | None = None) -> NoReturn:
        raise self

    def exception(self, timeout: float | None = None) -> Self:
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        return self.__traceback__

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> NoReturn:
        raise self
