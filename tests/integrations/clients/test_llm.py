"""OpenAI's and Anthropic's clients with a circuit: one attempt and no waiting while it is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest

from switchgear import BreakerFamily, CircuitOpenError
from switchgear.integrations.guarding import OnOpen
from switchgear.integrations.httpx2 import AsyncCircuitBreakerTransport, CircuitBreakerTransport, retry_after
from switchgear.testing import ManualClock
from tests.integrations.clients.service import Handler, Service, answering, drop

pytestmark = pytest.mark.anyio

Make = Callable[..., BreakerFamily]
Ask = Callable[..., Any]
"""Asks a question; `stream=True` for an answer in pieces."""


class Attempts:
    """What a client hands to its transport: the number that it gives each attempt."""

    def __init__(self) -> None:
        self.numbers: list[str] = []

    def add(self, request: httpx2.Request) -> None:
        self.numbers.append(request.headers["x-stainless-retry-count"])

    def sync_transport(self, hosts: BreakerFamily, on_open: OnOpen) -> httpx2.BaseTransport:
        attempts = self

        class Counted(CircuitBreakerTransport):
            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                attempts.add(request)
                return super().handle_request(request)

        return Counted(hosts, on_open=on_open)

    def async_transport(self, hosts: BreakerFamily, on_open: OnOpen) -> httpx2.AsyncBaseTransport:
        attempts = self

        class Counted(AsyncCircuitBreakerTransport):
            async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
                attempts.add(request)
                return await super().handle_async_request(request)

        return Counted(hosts, on_open=on_open)


# ---- the four clients, asked from a coroutine


def ask_openai(transport: Any, service: Service) -> tuple[Ask, Any]:
    http = openai.DefaultHttpxClient(transport=transport)
    client = openai.OpenAI(api_key="k", base_url=service.origin, http_client=http)
    ask = client.chat.completions.create
    return lambda **more: asyncio.to_thread(ask, **question(**more)), client


def ask_openai_async(transport: Any, service: Service) -> tuple[Ask, Any]:
    http = openai.DefaultAsyncHttpxClient(transport=transport)
    client = openai.AsyncOpenAI(api_key="k", base_url=service.origin, http_client=http)
    return lambda **more: client.chat.completions.create(**question(**more)), client


def ask_anthropic(transport: Any, service: Service) -> tuple[Ask, Any]:
    http = anthropic.DefaultHttpxClient(transport=transport)
    client = anthropic.Anthropic(api_key="k", base_url=service.origin, http_client=http)
    return lambda **more: asyncio.to_thread(client.messages.create, max_tokens=9, **question(**more)), client


def ask_anthropic_async(transport: Any, service: Service) -> tuple[Ask, Any]:
    http = anthropic.DefaultAsyncHttpxClient(transport=transport)
    client = anthropic.AsyncAnthropic(api_key="k", base_url=service.origin, http_client=http)
    return lambda **more: client.messages.create(max_tokens=9, **question(**more)), client


def question(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}


CLIENTS = {
    "openai": (ask_openai, openai, Attempts.sync_transport),
    "openai async": (ask_openai_async, openai, Attempts.async_transport),
    "anthropic": (ask_anthropic, anthropic, Attempts.sync_transport),
    "anthropic async": (ask_anthropic_async, anthropic, Attempts.async_transport),
}


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a client wanted to sleep."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(anyio, "sleep", sleep)
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


class Scene:
    """A client, a service and the circuit between them."""

    def __init__(self, name: str, service: Service, hosts: BreakerFamily, on_open: OnOpen) -> None:
        make_ask, self.library, make_transport = CLIENTS[name]
        self.attempts = Attempts()
        self.breaker = hosts[service.origin]
        self.ask, self._client = make_ask(make_transport(self.attempts, hosts, on_open), service)

    async def __aenter__(self) -> Scene:
        return self

    async def __aexit__(self, *args: object) -> None:
        closing = self._client.close()
        if closing is not None:
            await closing


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_made_up_response_is_not_tried_again(
    name: str, service: Service, make: Make, slept: list[float]
) -> None:
    async with Scene(name, service, make(), "response") as scene:
        scene.breaker.force_open("maintenance", expires_in=600)
        with pytest.raises(scene.library.InternalServerError, match="maintenance") as raised:
            await scene.ask()
    assert raised.value.status_code == 503
    assert raised.value.response.headers["retry-after"] == "600"
    assert scene.attempts.numbers == ["0"]
    assert (slept, service.paths) == ([], [])


@pytest.mark.parametrize("name", CLIENTS)
async def test_the_attempts_after_the_one_that_opened_the_circuit_are_not_made(
    name: str, service: Service, make: Make, clock: ManualClock, slept: list[float]
) -> None:
    hosts = make(failure_statuses={429, 500, 502, 503, 504, 529}, retry_after_from=retry_after)
    async with Scene(name, service, hosts, "response") as scene:
        service.behaviour = answering(529, b"{}", retry_after="7")
        with pytest.raises(scene.library.InternalServerError):
            await scene.ask()  # two attempts fail, the third is rejected
        assert scene.attempts.numbers == ["0", "1", "2"]
        assert (len(service.paths), scene.breaker.state) == (2, "open")
        assert scene.breaker.snapshot().retry_after == 7.0
        slept.clear()
        with pytest.raises(scene.library.InternalServerError):
            await scene.ask()
        assert scene.attempts.numbers == ["0", "1", "2", "0"]
        assert (slept, len(service.paths)) == ([], 2)
        clock.advance(7)
        service.behaviour = answering(200, b"{}", content_type="application/json")
        await scene.ask()
    assert scene.breaker.state == "closed"


@pytest.mark.parametrize("name", ["openai", "openai async"])
async def test_openai_does_not_try_a_plain_rejection_again(
    name: str, service: Service, make: Make, slept: list[float]
) -> None:
    async with Scene(name, service, make(), "plain") as scene:
        scene.breaker.force_open()
        with pytest.raises(CircuitOpenError):
            await scene.ask()
    assert (scene.attempts.numbers, slept, service.paths) == (["0"], [], [])


@pytest.mark.parametrize(
    ("name", "on_open"), [("openai", "raise"), ("anthropic", "raise"), ("anthropic", "plain")]
)
async def test_other_rejections_are_tried_again(
    name: str, on_open: OnOpen, service: Service, make: Make, slept: list[float]
) -> None:
    # Why the page on these clients says `on_open="response"`.
    async with Scene(name, service, make(), on_open) as scene:
        scene.breaker.force_open()
        with pytest.raises(scene.library.APIConnectionError) as raised:
            await scene.ask()
    assert isinstance(raised.value.__cause__, CircuitOpenError)
    assert (scene.attempts.numbers, len(slept), service.paths) == (["0", "1", "2"], 2, [])


STREAMED = {
    "openai": b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
    "anthropic": b'event: ping\ndata: {"type":"ping"}\n\n',
}


def answering_in_pieces(pieces: bytes, end: Callable[[Handler], None]) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(pieces), pieces))
        end(handler)

    return behave


@pytest.mark.parametrize("name", STREAMED)
async def test_a_stream_that_breaks_halfway_is_a_failure(name: str, service: Service, make: Make) -> None:
    service.behaviour = answering_in_pieces(STREAMED[name], drop)
    async with Scene(name, service, make(), "response") as scene:
        stream = await scene.ask(stream=True)
        with pytest.raises((httpx2.RemoteProtocolError, scene.library.APIError)):
            await asyncio.to_thread(list, stream)
        assert scene.breaker.snapshot().failure_count == 1


@pytest.mark.parametrize("name", STREAMED)
async def test_a_stream_that_is_closed_by_its_reader_is_none(name: str, service: Service, make: Make) -> None:
    service.behaviour = answering_in_pieces(
        STREAMED[name], lambda handler: handler.server.service.go_on.wait(9)
    )
    async with Scene(name, service, make(), "response") as scene:
        scene.breaker.acquire().failure()
        stream = await scene.ask(stream=True)
        stream.close()
        assert scene.breaker.snapshot().failure_count == 0
