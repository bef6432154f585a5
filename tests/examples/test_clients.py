"""The examples with HTTP clients, in front of a real service that fails on command."""

import asyncio
import json

import pytest

from examples import aiohttp_client, httpx2_client, httpx_crawler, openai_client, requests_session
from tests.integrations.clients.service import Service, answering

FAILING = answering(503, retry_after="120")


@pytest.fixture
def services():
    """One that fails, and one that does not."""
    with Service() as failing, Service() as working:
        failing.behaviour = FAILING
        yield failing, working


def visits(services):
    failing, working = services
    return [failing.url] * 4 + [working.url]


def test_the_crawler_leaves_a_host_alone_that_fails(services):
    failing, _ = services
    told = [line.split(maxsplit=1)[1] for line in asyncio.run(httpx_crawler.crawl(visits(services)))]
    *failed, rejected, good = told
    assert (failed, good) == (["503"] * 3, "200")
    assert rejected.startswith("not now, try again in 1")  # what the service asked for, a moment ago
    assert len(failing.paths) == 3


def test_the_client_of_one_service_stops(services):
    failing, _ = services
    told = httpx2_client.ask(failing.url, 6)
    assert told[:3] == ["503 (closed)"] * 3
    assert told[3:] == ["503 (open)", *["CircuitOpenTransportError (open)"] * 2]


def test_the_session_leaves_a_host_alone_that_fails(services):
    *failed, rejected, good = requests_session.fetch(visits(services))
    assert (failed, good) == (["503"] * 3, "200")
    assert rejected == "left alone: 3 consecutive failures (threshold 3); the upstream asks for 120 s"


def test_the_async_session_leaves_a_host_alone_that_fails(services):
    *failed, rejected, good = asyncio.run(aiohttp_client.fetch_all(visits(services)))
    assert (failed, good) == (["503, 2 bytes"] * 3, "200, 2 bytes")
    assert rejected == "left alone: 3 consecutive failures (threshold 3)"


def test_the_language_models_client_makes_one_attempt(services, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    failing, working = services
    message = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "It scatters."}}]}
    working.behaviour = answering(200, json.dumps(message).encode(), content_type="application/json")
    with openai_client.client(working.origin) as llm:
        assert openai_client.answer(llm, "Why is the sky blue?") == "It scatters."
    openai_client.hosts[failing.origin].force_open("maintenance")
    with openai_client.client(failing.origin) as llm:
        assert "forced-open by hand: maintenance" in openai_client.answer(llm, "And the sea?")
    assert failing.paths == []
