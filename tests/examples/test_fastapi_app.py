"""The example with FastAPI, as uvicorn runs it, with payments that fail on command and a real Redis."""

import importlib
import sys
import time
from uuid import uuid4

import pytest

from tests.gateway.upstreams import OK, answering
from tests.integrations.asgi import serving

pytestmark = pytest.mark.anyio

BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


async def test_orders_are_rejected_while_payments_fail(monkeypatch, redis_server):
    async with answering(BROKEN) as failing, answering(OK) as working:
        monkeypatch.setenv("REDIS_URL", f"{redis_server.url}?prefix={uuid4().hex}:")
        monkeypatch.setenv("PAYMENTS_URL", f"http://127.0.0.1:{failing.port}")
        sys.modules.pop("examples.fastapi_app", None)
        example = importlib.import_module("examples.fastapi_app")
        async with serving(example.app) as client:
            begin = time.monotonic()
            answers = [await client.post("/orders/7") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [502, 502, 502, 503]
            passed = time.monotonic() - begin
            assert 10 - passed <= int(answers[-1].headers["retry-after"]) <= 10
            assert len(failing.requests) == 3
            assert (await client.get("/health")).json() == {"payments": "open"}
            example.payments.force_open(expires_in=0.001)  # instead of ten seconds
            monkeypatch.setattr(example, "PAYMENTS_URL", f"http://127.0.0.1:{working.port}")
            while (answer := await client.post("/orders/7")).status_code == 503:
                pass
            assert (answer.status_code, answer.json()) == (200, {"order": 7})
