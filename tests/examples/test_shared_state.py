"""The example with Redis: two gateways with a real server between them are one breaker."""

from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from switchgear.gateway.config import load_config
from switchgear.gateway.config.model import Address, LogConfig
from switchgear.gateway.server import Gateway
from switchgear.gateway.state import released, store_for
from tests.gateway.upstreams import OK, answering, ask, get
from tests.gateway.workers.processes import until

pytestmark = pytest.mark.anyio

FILE = Path(__file__).parents[2] / "examples" / "shared-state.yaml"
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def gateway_of(environ: dict[str, str], namespace: str):
    """A gateway as `switchgear serve` makes it of the example."""
    loaded = load_config(FILE, environ)
    assert loaded.config is not None, loaded.mistakes
    state = replace(loaded.config.state, namespace=namespace)
    config = replace(loaded.config, state=state, listen=Address("127.0.0.1", 0), log=LogConfig(access=False))
    async with released(store_for(state)) as store:
        gateway = Gateway(config, store=store)
        await gateway.start()
        try:
            yield gateway
        finally:
            await gateway.close()


async def test_what_one_gateway_finds_out_all_know(redis_server):
    namespace = f"example-{uuid4().hex}"
    async with answering(BROKEN) as orders, answering(OK) as stock:
        environ = {
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis_server.port),
            "ORDERS": f"127.0.0.1:{orders.port}",
            "STOCK": f"127.0.0.1:{stock.port}",
        }
        async with gateway_of(environ, namespace) as first, gateway_of(environ, namespace) as second:
            key = f"service:orders@http://127.0.0.1:{orders.port}"
            assert (await ask(second, get("/stock/7"))).status == 200
            for _ in range(10):
                assert (await ask(first, get("/orders/7"))).status == 500
            await until(lambda: second.circuits[key].state == "open")
            rejected = await ask(second, get("/orders/7"))
            assert (rejected.status, rejected.get("switchgear-origin")) == (503, "breaker")
            assert len(orders.requests) == 10
            assert (await ask(second, get("/stock/7"))).status == 200
