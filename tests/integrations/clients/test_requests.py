"""Circuits in sessions of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import requests

from switchgear import BreakerFamily, CircuitBreaker
from switchgear.integrations.requests import CircuitBreakerAdapter, CircuitOpenConnectionError
from tests.integrations.clients.contract import ClientContract
from tests.integrations.clients.driver import Driver, Reply

pytestmark = pytest.mark.anyio


class SessionDriver(Driver):
    broad = requests.RequestException
    rejection = CircuitOpenConnectionError

    def __init__(self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 10, **options: Any) -> None:
        adapter = CircuitBreakerAdapter(breakers, **options)
        self.session = requests.Session()
        self.session.mount("http://", adapter)
        self.timeout = timeout

    async def get(self, url: str) -> Reply:
        response = await asyncio.to_thread(self.session.get, url, timeout=self.timeout)
        return Reply(response.status_code, response.headers, response.content)

    async def peek(self, url: str) -> bytes:
        def work() -> bytes:
            with self.session.get(url, stream=True, timeout=self.timeout) as response:
                return next(response.iter_content(5))

        return await asyncio.to_thread(work)

    async def read_slowly(self, url: str, think: Callable[[], None]) -> bytes:
        def work() -> bytes:
            with self.session.get(url, stream=True, timeout=self.timeout) as response:
                pieces = response.iter_content(5)
                first = next(pieces)
                think()
                return first + b"".join(pieces)

        return await asyncio.to_thread(work)

    async def status(self, url: str) -> int:
        def work() -> int:
            return self.session.get(url, stream=True, timeout=self.timeout).status_code

        return await asyncio.to_thread(work)

    async def close(self) -> None:
        self.session.close()


class TestSession(ClientContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return SessionDriver
