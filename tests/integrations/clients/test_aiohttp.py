"""Circuits in sessions of aiohttp."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from switchgear import BreakerFamily, CircuitBreaker
from switchgear.integrations.aiohttp import CircuitBreakerMiddleware, CircuitOpenClientError
from switchgear.testing import ManualClock
from tests.integrations.clients.contract import AsyncContract
from tests.integrations.clients.driver import Driver, Reply
from tests.integrations.clients.service import Service, answering, break_length, hang_in_body, no_http

pytestmark = pytest.mark.anyio

Make = Callable[..., BreakerFamily]


class SessionDriver(Driver):
    broad = aiohttp.ClientError
    rejection = CircuitOpenClientError
    makes_responses = False

    def __init__(self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 60, **options: Any) -> None:
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


# ---- what is particular to it


@contextlib.asynccontextmanager
async def session(
    breakers: BreakerFamily | CircuitBreaker, **options: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    middlewares = (CircuitBreakerMiddleware(breakers),)
    async with aiohttp.ClientSession(middlewares=middlewares, **options) as session:
        yield session


async def in_iterations(iterator: Any) -> None:
    async for _ in iterator:
        pass


async def by_read(stream: aiohttp.StreamReader) -> None:
    while await stream.read(2):
        pass


Read = Callable[[aiohttp.ClientResponse], Awaitable[object]]
READERS: dict[str, Read] = {
    "read": lambda response: response.read(),
    "text": lambda response: response.text(),
    "content.read": lambda response: by_read(response.content),
    "lines": lambda response: in_iterations(response.content),
    "iter_any": lambda response: in_iterations(response.content.iter_any()),
    "iter_chunked": lambda response: in_iterations(response.content.iter_chunked(2)),
    "iter_chunks": lambda response: in_iterations(response.content.iter_chunks()),
    "readuntil": lambda response: response.content.readuntil(b"!"),
    "readexactly": lambda response: response.content.readexactly(11),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
async def test_however_a_body_is_read_its_end_is_seen(service: Service, make: Make, read: Read) -> None:
    hosts = make()
    hosts[service.origin].acquire().failure()
    service.behaviour = hang_in_body
    service.go_on.set()
    async with session(hosts) as client:
        response = await client.get(service.url)
        await read(response)
        assert hosts[service.origin].snapshot().failure_count == 0
        response.release()
        service.behaviour = break_length
        async with client.get(service.url) as response:
            with pytest.raises(aiohttp.ClientError):
                await read(response)
            assert hosts[service.origin].snapshot().failure_count == 1
    assert hosts[service.origin].snapshot().failure_count == 1


async def test_a_body_that_is_sent_on_is_read(service: Service, other_service: Service, make: Make) -> None:
    hosts = make()
    hosts[service.origin].acquire().failure()
    async with session(hosts) as client, client.get(service.url) as response:
        async with client.post(
            other_service.url, data=response.content, headers={"Content-Length": "2"}
        ) as sent:
            assert sent.status == 200
        assert response.content.total_bytes == 2
    assert hosts[service.origin].snapshot().failure_count == 0


async def test_bytes_that_are_no_http_are_no_answer(service: Service, make: Make) -> None:
    hosts = make(failure_threshold=1)
    service.behaviour = no_http
    async with session(hosts) as client:
        with pytest.raises(aiohttp.ClientResponseError) as raised:
            await client.get(service.url)
    assert raised.value.status == 400
    assert hosts[service.origin].state == "open"


async def test_a_proxy_that_refuses_is_a_failure(service: Service, make: Make) -> None:
    hosts = make(failure_threshold=1)
    service.behaviour = answering(407)
    async with session(hosts) as client:
        with pytest.raises(aiohttp.ClientHttpProxyError):
            await client.get("https://127.0.0.1:9/x", proxy=service.origin)
    assert hosts["https://127.0.0.1:9"].state == "open"


async def test_redirects_in_a_circle_are_no_evidence(service: Service, make: Make) -> None:
    hosts = make(failure_threshold=1)
    service.behaviour = answering(302, location=service.url)
    async with session(hosts) as client:
        with pytest.raises(aiohttp.TooManyRedirects):
            await client.get(service.url)
    assert hosts[service.origin].snapshot().failure_count == 0


async def test_an_error_status_that_is_raised_was_judged_before(service: Service, make: Make) -> None:
    hosts = make(failure_threshold=1)
    service.behaviour = answering(404)
    async with session(hosts, raise_for_status=True) as client:
        with pytest.raises(aiohttp.ClientResponseError):
            await client.get(service.url)
    assert hosts[service.origin].snapshot().failure_count == 0


async def test_a_web_socket_ends_with_its_handshake(make: Make, clock: ManualClock) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    hosts = make()
    async with TestServer(app) as server, session(hosts) as client:
        breaker = hosts[f"http://{server.host}:{server.port}"]
        for _ in range(2):
            breaker.acquire().failure()
        clock.advance(30)
        async with client.ws_connect(server.make_url("/")) as socket:
            assert breaker.state == "closed"
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"


async def test_a_response_that_is_released_is_over(service: Service, make: Make) -> None:
    hosts = make()
    hosts[service.origin].acquire().failure()
    service.behaviour = hang_in_body
    async with session(hosts) as client:
        response = await client.get(service.url)
        response.release()
        assert hosts[service.origin].snapshot().failure_count == 0
        assert response.closed
