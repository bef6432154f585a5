"""Circuits in sessions of aiohttp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from switchgear import BreakerFamily, CircuitBreaker
from switchgear.integrations.aiohttp import CircuitBreakerMiddleware, CircuitOpenClientError
from tests.integrations.clients.contract import AsyncContract
from tests.integrations.clients.driver import Driver, Reply

pytestmark = pytest.mark.anyio


class SessionDriver(Driver):
    broad = aiohttp.ClientError
    rejection = CircuitOpenClientError
    makes_responses = False

    def __init__(self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 10, **options: Any) -> None:
        middleware = CircuitBreakerMiddleware(breakers, **options)
        self.session = aiohttp.ClientSession(
            middlewares=(middleware,), timeout=aiohttp.ClientTimeout(total=timeout)
        )

    async def get(self, url: str) -> Reply:
        async with self.session.get(url) as response:
            return Reply(response.status, response.headers, await response.read())

    async def peek(self, url: str) -> bytes:
        async with self.session.get(url) as response:
            return await response.content.readany()

    async def read_slowly(self, url: str, think: Callable[[], None]) -> bytes:
        async with self.session.get(url) as response:
            pieces = aiter(response.content.iter_any())
            body = await anext(pieces)
            think()
            async for piece in pieces:
                body += piece
            return body

    async def status(self, url: str) -> int:
        return (await self.session.get(url)).status

    async def close(self) -> None:
        await self.session.close()


class TestSession(AsyncContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return SessionDriver
