"""Configurations of older gateways, started by `switchgear serve`, do what they say."""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from switchgear.gateway.config.model import Address
from tests.gateway.upstreams import PATIENCE, Message, Peer, Upstream, ask, get, scripted

pytestmark = pytest.mark.anyio

SERVICES = '{"users": {"type": "http", "url": "http://127.0.0.1:PORT/users/{id}"}}'

PRISM_JSON = f"""
{{
  "http": {{
    "circuitBreaker": {{"maxErrors": 3, "duration": DURATION}},
    "routes": {{"/users/{{id}}": {{"GET": {{"services": {SERVICES}}}}}}}
  }}
}}
"""
PRISM_YAML = """
http:
  routes:
    /users/:id:
      ALL:
        circuitBreaker:
          maxErrors: 3
          duration: DURATION
          errorStatus: 429
          errorBody: Busy.
        services:
          users:
            type: http
            url: http://127.0.0.1:PORT/users/:id
"""
PRISM_SNAKE_CASE = PRISM_JSON.replace("circuitBreaker", "circuit_breaker").replace("maxErrors", "max_errors")
STOMA = """
http:
  routes:
    /users/{id}:
      GET:
        services:
          users:
            url: http://127.0.0.1:PORT
            circuitBreaker:
              failureThreshold: 3
              resetTimeoutMs: DURATION
              halfOpenMax: 1
              failureOn: [500, 502, 503, 504]
              openStatusCode: 599
"""


@dataclass(frozen=True)
class Case:
    """A configuration, and how a rejection looks under it."""

    file: str
    text: str
    status: int
    body: bytes | None = None


CASES = {
    "camelCase JSON": Case("prism.json", PRISM_JSON, 503),
    "snake_case JSON": Case("prism.json", PRISM_SNAKE_CASE, 503),
    "YAML": Case("prism.yaml", PRISM_YAML, 429, b"Busy."),
    "circuit breaker policy": Case("stoma.yaml", STOMA, 599),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request) -> Case:
    return request.param


@dataclass(frozen=True)
class Served:
    """A gateway in a process of its own."""

    address: Address

    async def get(self) -> Message:
        return await ask(self, get("/users/7"))  # type: ignore[arg-type]  # only its address is asked for


@contextlib.asynccontextmanager
async def serving(folder: Path, case: Case, port: int, duration: int) -> AsyncIterator[Served]:
    file = folder / case.file
    file.write_text(case.text.replace("PORT", str(port)).replace("DURATION", str(duration)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "switchgear", "serve", str(file), "--port", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        found = re.fullmatch(rb"switchgear listening on http://127\.0\.0\.1:(\d+)\n", line)
        assert found, line
        yield Served(Address("127.0.0.1", int(found[1])))
    finally:
        process.terminate()
        rest, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, rest


@dataclass
class Sick:
    """Whether the service answers 500."""

    now: bool = True


@contextlib.asynccontextmanager
async def service() -> AsyncIterator[tuple[Upstream, Sick]]:
    sick = Sick()

    async def script(peer: Peer) -> None:
        while True:
            upstream.requests.append(await peer.read_message())
            status = b"500 Broken" if sick.now else b"200 OK"
            await peer.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nhi")

    async with scripted(script) as upstream:
        yield upstream, sick


async def test_three_failures_open_and_the_fourth_request_reaches_no_service(tmp_path, case):
    async with service() as (upstream, _), serving(tmp_path, case, upstream.port, 60_000) as gateway:
        assert [(await gateway.get()).status for _ in range(3)] == [500] * 3
        for _ in range(3):
            rejection = await gateway.get()
            assert rejection.status == case.status
            assert rejection.get("switchgear-origin") == "breaker"
            assert 1 <= int(rejection.get("retry-after") or 0) <= 60
            if case.body is None:
                assert json.loads(rejection.body)["status"] == case.status
            else:
                assert rejection.body == case.body
        assert [request.start for request in upstream.requests] == ["GET /users/7 HTTP/1.1"] * 3


async def test_under_steady_traffic_a_probe_closes_it(tmp_path, case):
    async with service() as (upstream, sick), serving(tmp_path, case, upstream.port, 500) as gateway:
        async with asyncio.timeout(PATIENCE):
            # Not counted: on a machine that stands still for a while, the window forgets the first ones.
            while (await gateway.get()).status == 500:
                pass
            failed = len(upstream.requests)
            assert failed >= 3
            sick.now = False
            while (message := await gateway.get()).status == case.status:
                assert len(upstream.requests) == failed
        assert (message.status, message.body) == (200, b"hi")
        assert len(upstream.requests) == failed + 1
        assert [(await gateway.get()).status for _ in range(5)] == [200] * 5


async def test_a_probe_that_fails_opens_again(tmp_path, case):
    async with service() as (upstream, sick), serving(tmp_path, case, upstream.port, 500) as gateway:
        async with asyncio.timeout(PATIENCE):
            while (await gateway.get()).status == 500:
                pass
            for _ in range(2):
                failed = len(upstream.requests)
                while (message := await gateway.get()).status == case.status:
                    assert len(upstream.requests) == failed
                assert message.status == 500
                assert len(upstream.requests) == failed + 1
            sick.now = False
            while (await gateway.get()).status != 200:
                pass
