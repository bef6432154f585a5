"""FastAPI and Starlette: circuits that live as long as the application, and rejections as a 503.

install(app, circuits, "redis://localhost:6379")

@app.post("/orders")
async def order(call: Annotated[Permit, Depends(permit(payments))]): ...

Needs `switchgear[fastapi]`. `install` is for both, `permit` and `member` are FastAPI's dependencies.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ExceptionHandler
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, Permit, Switchgear
from switchgear.integrations import unavailable
from switchgear.stores import CircuitBreakerStore

__all__ = ["answer_rejection", "install", "member", "permit"]

TRY_AGAIN_LATER: Final = 1013  # RFC 6455's registry of close codes

Key = Callable[[HTTPConnection], str]


def install(app: Starlette, circuits: Switchgear, store: CircuitBreakerStore | str | None = None) -> None:
    """Share `circuits` through `store` while `app` runs, and answer rejections with a 503.

    `store`: an object, or a URL that a store is made of anew each time the application starts. It is bound
    before the application's own lifespan begins, and flushed and closed after that has ended. Without one,
    circuits stay as they are. Only the application that the server runs has a lifespan: install into that
    one, not into one that is mounted. Raises what `store_from_url` raises for a URL with a mistake.
    """
    # Its type has a function for each kind of connection; ours is both.
    app.add_exception_handler(CircuitOpenError, cast(ExceptionHandler, answer_rejection))
    if store is None:
        return
    circuits.open(store)  # a mistake shows here, and not only when the server starts
    own = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncGenerator[Any, None]:
        async with circuits.open(store), own(running) as state:
            yield state

    app.router.lifespan_context = lifespan


async def answer_rejection(connection: HTTPConnection, error: Exception) -> Response | None:
    """An exception handler for `CircuitOpenError`: 503, `Retry-After`, a problem (RFC 9457).

    A WebSocket gets that as the denial of its handshake if the server can do so, and otherwise is closed with
    1013, "try again later".
    """
    if not isinstance(error, CircuitOpenError):
        raise error
    wait = unavailable.retry_after(error)
    response = Response(
        unavailable.PROBLEM,
        unavailable.STATUS,
        None if wait is None else {"Retry-After": str(wait)},
        unavailable.PROBLEM_TYPE,
    )
    if not isinstance(connection, WebSocket):
        return response
    connecting = connection.application_state is WebSocketState.CONNECTING
    if connecting and "websocket.http.response" in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(TRY_AGAIN_LATER)
    return None


def member(family: BreakerFamily, key: Key) -> Callable[[HTTPConnection], Awaitable[CircuitBreaker]]:
    """A dependency that gives the breaker of a family: `Depends(member(tenants, tenant_of))`."""

    async def dependency(connection: HTTPConnection) -> CircuitBreaker:
        return family[key(connection)]

    return dependency


def permit(
    breaker: CircuitBreaker | BreakerFamily, key: Key | None = None
) -> Callable[[HTTPConnection], AsyncGenerator[Permit, None]]:
    """A dependency that makes the endpoint one call of a circuit, and gives its permit.

    What the endpoint raises is judged by the policy; an `HTTPException` by its status. A request that FastAPI
    refuses, and a client that leaves, say nothing about the service. An endpoint that returns an error
    response calls `permit.failure()`. `key(connection)` chooses the breaker of a family.
    """
    choose = _chooser(breaker, key)
    no_evidence = _no_evidence()

    async def dependency(connection: HTTPConnection) -> AsyncGenerator[Permit, None]:
        with await choose(connection).acquire_async() as permission:
            try:
                yield permission
            except no_evidence:
                permission.cancel()
                raise

    return dependency


def _chooser(
    breaker: CircuitBreaker | BreakerFamily, key: Key | None
) -> Callable[[HTTPConnection], CircuitBreaker]:
    if isinstance(breaker, CircuitBreaker):
        if key is not None:
            raise TypeError(f"key= chooses from a family, and {breaker!r} is one breaker")
        return lambda _: breaker
    if key is None:
        raise TypeError(f"the family {breaker.template!r} needs key= to choose a breaker for a request")
    return lambda connection: breaker[key(connection)]


def _no_evidence() -> tuple[type[Exception], ...]:
    """What a client does: it leaves, or asks for what FastAPI refuses before the endpoint begins."""
    from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError

    return ClientDisconnect, WebSocketDisconnect, RequestValidationError, WebSocketRequestValidationError
