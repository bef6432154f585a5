"""An ASGI application on a real socket, and one that is driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import uvicorn


@asynccontextmanager
async def serving(app: Any, lifespan: Literal["on", "off"] = "on") -> AsyncIterator[httpx.AsyncClient]:
    """The application behind uvicorn, lifespan and all, and a client of it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan=lifespan, log_config=None))
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "it did not start"
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, 60)


async def converse(app: Any, path: str, *received: dict[str, Any], **scope: Any) -> list[dict[str, Any]]:
    """What an application sends over a WebSocket that sends it these messages."""
    pending = list(received)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return pending.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    whole = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
    } | scope
    await asyncio.wait_for(app(whole, receive, send), 10)
    return sent
