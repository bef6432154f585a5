"""A gateway with the operator's listener before it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from prometheus_client.parser import text_string_to_metric_families

from switchgear.admin.server import AdminServer
from switchgear.gateway.config.model import Address, Admin, GatewayConfig, LogConfig
from switchgear.gateway.server import Gateway
from tests.gateway.upstreams import Message, ask, get

HERE = Address("127.0.0.1", 0)


@contextlib.asynccontextmanager
async def operated(*routes, **admin) -> AsyncIterator[tuple[Gateway, AdminServer]]:
    """Both on free ports."""
    config = GatewayConfig(routes, HERE, log=LogConfig(access=False), admin=Admin(HERE, **admin))
    running = Gateway(config)
    await running.start()
    desk = AdminServer(running)
    await desk.adopt(config.admin)
    try:
        yield running, desk
    finally:
        await desk.close()
        await running.close()


async def metrics(desk: AdminServer, *fields: str) -> dict[tuple, float]:
    """Values by name and labels (sorted), read by Prometheus' own parser."""
    answer = await ask(desk, get("/metrics", *fields))
    assert answer.status == 200
    return series(answer)


def series(answer: Message) -> dict[tuple, float]:
    families = text_string_to_metric_families(answer.body.decode())
    return {
        (sample.name.removeprefix("switchgear_"), *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }
