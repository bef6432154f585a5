"""The feed of changes: pushed by publish and subscribe, and to be read again from the sixteen logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

from switchgear.stores.redis.client import subscriber
from switchgear.stores.redis.layout import Layout
from switchgear.stores.view import Changes, Listener, View
from switchgear.stores.wire import decode_view


async def pipelined(client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send all, then read all; raises the first error."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return cast(list[Any], await pipeline.execute())


# ---- push ----


async def watch(client: Any, layout: Layout, staleness: float, listener: Listener) -> None:
    """Subscribe and report, with a ping every `staleness`; raises if the answer takes longer than that."""
    from redis.exceptions import ConnectionError as NoAnswer

    positions: dict[int, str] = {}
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        subscription = await _subscribe(client, layout.channel, stack)
        while True:
            await subscription.ping()
            answered, until = False, loop.time() + staleness
            while (left := until - loop.time()) > 0:
                message = await subscription.get_message(timeout=left)
                match message and message["type"]:
                    case "message":
                        _report(json.loads(message["data"]), layout, positions, listener)
                    case "subscribe":  # also after a silent reconnect
                        listener.gap()
                    case "pong":
                        answered = True
                        listener.alive()
                    case _:
                        pass
            if not answered:
                raise NoAnswer(f"the subscription did not answer within {staleness:g} s")


async def _subscribe(client: Any, channel: str, stack: AsyncExitStack) -> Any:
    connection = await stack.enter_async_context(await subscriber(client))
    subscription = await stack.enter_async_context(connection.pubsub())
    await subscription.subscribe(channel)
    return subscription


def _report(message: dict[str, Any], layout: Layout, positions: dict[int, str], listener: Listener) -> None:
    circuit = layout.circuit(message["key"])
    partition = int(message["key"].partition("{")[2].partition("}")[0])
    if "id" in message:  # an alarm has none: it is no change, and in no log
        if positions.get(partition, message["before"]) != message["before"]:
            listener.gap()
        positions[partition] = message["id"]
    if circuit is not None:
        listener.view(circuit[1], decode_view(json.loads(message["view"])))


# ---- poll ----


async def changes(client: Any, layout: Layout, since: object | None) -> Changes:
    """Read the logs from the last seen entry on, that one included: should it not come, something is lost."""
    if since is None:
        newest = await pipelined(client, [("XREVRANGE", log, "+", "-", "COUNT", 1) for log in layout.logs])
        return Changes((), [_last(rows) for rows in newest], gap=False)
    seen = cast(list[str], since)
    found = await pipelined(
        client, [("XRANGE", log, last or "-", "+") for log, last in zip(layout.logs, seen, strict=True)]
    )
    views: dict[str, View] = {}
    gap = False
    for rows, last in zip(found, seen, strict=True):
        if last and (not rows or _text(rows[0][0]) != last):
            gap = True
        for _, entry in rows:
            fields = {_text(name): _text(value) for name, value in entry.items()}
            circuit = layout.circuit(fields["key"])
            if circuit is not None:
                views[circuit[1]] = decode_view(json.loads(fields["view"]))
    return Changes(tuple(views.items()), [_last(rows) for rows in found], gap)


def _last(rows: list[Any]) -> str:
    return _text(rows[-1][0]) if rows else ""


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
