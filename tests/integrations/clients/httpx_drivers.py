"""Clients of httpx and of httpx2, which have one shape."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import ModuleType
from typing import Any

from switchgear import BreakerFamily, CircuitBreaker
from tests.integrations.clients.driver import Driver, Reply

CONTEXT = ssl.create_default_context()  # made once: it takes longer than most tests


def reply_of(response: Any) -> Reply:
    return Reply(response.status_code, response.headers, response.content)


def sync_driver(library: ModuleType, integration: ModuleType) -> type[Driver]:
    """A driver for `httpx.Client` or `httpx2.Client`."""

    class SyncDriver(Driver):
        broad = library.TransportError
        rejection = integration.CircuitOpenTransportError

        def __init__(
            self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 60, **options: Any
        ) -> None:
            inner = library.HTTPTransport(verify=CONTEXT)
            transport = integration.CircuitBreakerTransport(breakers, inner, **options)
            self.client = library.Client(transport=transport, timeout=timeout, follow_redirects=True)

        async def get(self, url: str) -> Reply:
            return reply_of(await asyncio.to_thread(self.client.get, url))

        async def peek(self, url: str) -> bytes:
            def work() -> bytes:
                with self.client.stream("GET", url) as response:
                    return next(response.iter_raw())  # type: ignore[no-any-return]

            return await asyncio.to_thread(work)

        async def read_slowly(self, url: str, think: Callable[[], None]) -> bytes:
            def work() -> bytes:
                with self.client.stream("GET", url) as response:
                    pieces = response.iter_raw()
                    first = next(pieces)
                    think()
                    return first + b"".join(pieces)  # type: ignore[no-any-return]

            return await asyncio.to_thread(work)

        async def status(self, url: str) -> int:
            def work() -> int:
                request = self.client.build_request("GET", url)
                return self.client.send(request, stream=True).status_code  # type: ignore[no-any-return]

            return await asyncio.to_thread(work)

        async def close(self) -> None:
            self.client.close()

    return SyncDriver


def async_driver(library: ModuleType, integration: ModuleType) -> type[Driver]:
    """A driver for `httpx.AsyncClient` or `httpx2.AsyncClient`."""

    class AsyncDriver(Driver):
        broad = library.TransportError
        rejection = integration.CircuitOpenTransportError

        def __init__(
            self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 60, **options: Any
        ) -> None:
            inner = library.AsyncHTTPTransport(verify=CONTEXT)
            transport = integration.AsyncCircuitBreakerTransport(breakers, inner, **options)
            self.client = library.AsyncClient(transport=transport, timeout=timeout, follow_redirects=True)

        async def get(self, url: str) -> Reply:
            return reply_of(await self.client.get(url))

        async def peek(self, url: str) -> bytes:
            async with self.client.stream("GET", url) as response:
                return await anext(response.aiter_raw())  # type: ignore[no-any-return]

        async def read_slowly(self, url: str, think: Callable[[], None]) -> bytes:
            async with self.client.stream("GET", url) as response:
                pieces = response.aiter_raw()
                body = await anext(pieces)
                think()
                async for piece in pieces:
                    body += piece
                return body  # type: ignore[no-any-return]

        async def status(self, url: str) -> int:
            request = self.client.build_request("GET", url)
            return (await self.client.send(request, stream=True)).status_code  # type: ignore[no-any-return]

        async def close(self) -> None:
            await self.client.aclose()

    return AsyncDriver
