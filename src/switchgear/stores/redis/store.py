"""A store in Redis 6.2 or newer, Valkey, or a cluster of either."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from switchgear.stores.loops import PerLoop
from switchgear.stores.operations import Operation
from switchgear.stores.redis import feed
from switchgear.stores.redis.client import Connection, checked_client, connect, disconnect, leave_open
from switchgear.stores.redis.layout import Layout, script
from switchgear.stores.shared import SharedStore, answered
from switchgear.stores.view import Changes, Listener, PushUnavailableError, View
from switchgear.stores.wire import decode_view, encode

BATCH: Final = 256


class RedisCircuitBreakerStore(SharedStore):
    """Circuits in Redis, shared by all who use the same server, `prefix` and `namespace`.

    `client_or_url`: `redis://`, `rediss://`, `redis+cluster://`, or an own `redis.asyncio` client, which is
    then used only in its own event loop and never closed. Nothing is sent before the store is used. Durations
    are seconds or `timedelta`.

    Raises `ImportError` without redis-py, `ValueError` for another URL or an option out of range; the methods
    raise redis-py's errors, and `TimeoutError` after a second.
    """

    def __init__(
        self,
        client_or_url: Any,
        prefix: str = "switchgear:",
        namespace: str | None = None,
        *,
        staleness: float | timedelta = 1.0,
        lease_timeout: float | timedelta = 0.25,
        idle_ttl: float | timedelta = 86400,
        listen: bool = True,
        max_connections: int = 4,
    ) -> None:
        super().__init__(namespace, staleness, lease_timeout, idle_ttl, max_connections)
        self.listen = listen
        self._layout = Layout(prefix, self._head)
        url = checked_client(client_or_url)
        if url:
            self._connections = PerLoop(lambda: connect(url, max_connections), disconnect)
        else:
            self._bind()
            self._connections = PerLoop(lambda: Connection(client_or_url, max_connections), leave_open)

    @cached_property
    def _script(self) -> tuple[str, str]:
        text = script()
        return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def aclose(self) -> None:
        """Close the store's own connections; safe to call twice."""
        await self._connections.aclose()

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        """Apply the operations, each atomically; see `SharedCircuitStore`."""
        commands = [self._command(key, operation) for key, operation in operations]
        views: list[View] = []
        for start in range(0, len(commands), BATCH):
            async with self._client() as client:
                replies = await self._send(client, commands[start : start + BATCH])
            views += [decode_view(json.loads(reply)) for reply in replies]
        return views

    async def _send(self, client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        from redis.exceptions import NoScriptError

        try:
            return await feed.pipelined(client, commands)
        except NoScriptError:
            # The server has lost its scripts, or has never seen ours. What did run may run again.
            await client.script_load(self._script[0])
            return await feed.pipelined(client, commands)

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[Any]:
        """The client, with a connection free for it, for at most a second."""
        connection = self._connections.get()
        async with connection.gate, answered("Redis"):
            yield connection.client

    def _command(self, key: str, operation: Operation) -> tuple[Any, ...]:
        circuit, log = self._layout.names(key)
        arguments = json.dumps(encode(operation), separators=(",", ":"))
        idle_ms = round(self.idle_ttl * 1000)
        return "EVALSHA", self._script[1], 2, circuit, log, self._layout.channel, arguments, idle_ms

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        """Report every change as it happens; see `SharedCircuitStore`."""
        if not self.listen:
            raise PushUnavailableError("the store was made with listen=False")
        client = self._connections.get().client
        await feed.watch(client, self._layout, self.staleness, Listener(on_view, on_gap, on_alive))

    async def changes(self, since: object | None) -> Changes:
        """Everything that changed after `since`; see `SharedCircuitStore`."""
        async with self._client() as client:
            return await feed.changes(client, self._layout, since)
