"""The feed of changes: pushed by LISTEN and NOTIFY, and to be read again from the table."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from switchgear.stores.postgres.connections import bounded
from switchgear.stores.view import Changes, Listener, PushUnavailableError
from switchgear.stores.wire import decode_view

OVERLAP_MS = 10_000
"""How far back each poll looks: transactions become visible in the order of neither a clock nor a sequence.
"""
MOST_CHANGES = 1000
CLOCK_SLACK_MS = 1000

Ours = Callable[[str], str | None]
"""The circuit's key from the table's; `None` for another namespace's."""


async def watch(connection: Any, channel: str, staleness: float, ours: Ours, listener: Listener) -> None:
    """Listen and report, with a ping every `staleness`; raises if the answer takes longer than that."""
    subscription = _Subscription(ours, listener)
    await bounded(connection, connection.execute(f'listen "{channel}"'), staleness)
    await bounded(connection, _echo(connection, channel, subscription.nonce), staleness)
    await subscription.read(connection, staleness)
    if not subscription.heard:
        raise PushUnavailableError(
            "LISTEN is accepted and nothing arrives: a connection pooler is in between"
        )
    listener.gap()
    while True:
        await bounded(connection, connection.execute("select 1"), staleness)
        listener.alive()
        await subscription.read(connection, staleness)


async def _echo(connection: Any, channel: str, nonce: str) -> None:
    await connection.execute("select pg_notify(%s, %s)", (channel, json.dumps({"echo": nonce})))


class _Subscription:
    def __init__(self, ours: Ours, listener: Listener) -> None:
        self.nonce = secrets.token_hex(8)
        self.heard = False
        self._ours = ours
        self._listener = listener
        self._number: int | None = None

    async def read(self, connection: Any, seconds: float) -> None:
        """Report what comes within `seconds`; the first time only until the echo has come."""
        waiting = not self.heard
        async for notification in connection.notifies(timeout=seconds):
            self._take(json.loads(notification.payload))
            if waiting and self.heard:
                return

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("echo") == self.nonce:
            self.heard = True
        number = message.get("number")
        if number is not None:
            # A number left out was rolled back, or its message is still to come; to look is cheap.
            if "key" not in message or (self._number is not None and number > self._number + 1):
                self._listener.gap()
            self._number = max(number, self._number or 0)
        key = self._ours(message["key"]) if "key" in message else None
        if key is not None:
            self._listener.view(key, decode_view(message["view"]))


class Point(NamedTuple):
    """How far the changes are known: the server's clock, and when that server was started."""

    now: int
    started: str


async def changes(connection: Any, function: str, ours: Ours, since: Any) -> Changes:
    """Everything that changed after `since`."""
    after = since.now - OVERLAP_MS if isinstance(since, Point) else None
    cursor = await connection.execute(f"select {function}(%s::bigint)", (after,), prepare=False)
    found = (await cursor.fetchone())[0]
    point = Point(found["now"], found["started"])
    gap = isinstance(since, Point) and (
        point.started != since.started
        or point.now < since.now - CLOCK_SLACK_MS
        or len(found["views"]) >= MOST_CHANGES
    )
    views = ((ours(name), view) for name, view in found["views"])
    return Changes(tuple((key, decode_view(view)) for key, view in views if key is not None), point, gap)
