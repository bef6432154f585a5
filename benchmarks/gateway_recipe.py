"""What one writes by hand without a gateway: a FastAPI application that asks services with httpx.

Passes one service's answer on, and merges two in parallel. The pool is httpx's own default: larger ones are
slower, since every request scans all connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def create_app() -> Any:
    """For `uvicorn --factory`; `UPSTREAM` in the environment is the URL of the services."""
    import httpx
    from fastapi import FastAPI, Request, Response

    upstream = os.environ["UPSTREAM"]
    client = httpx.AsyncClient(base_url=upstream, timeout=30)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    async def users(request: Request) -> Response:
        fields = [(name, value) for name, value in request.headers.raw if name != b"host"]
        answer = await client.get(request.url.path, headers=fields)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        return Response(answer.content, answer.status_code, kept)

    async def merged() -> dict[str, Any]:
        first, second = await asyncio.gather(client.get("/users"), client.get("/inbox"))
        return {**first.json(), "inbox": second.json()}

    # Annotations are strings here, and FastAPI would look for `Request` among the names of the module.
    users.__annotations__ = {"request": Request}
    app.get("/users", response_model=None)(users)
    app.get("/merged", response_model=None)(merged)
    return app
