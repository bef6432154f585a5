"""A steady stream of requests, each on a connection of its own, counted by how it was answered."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from switchgear.gateway.config.model import Address

PATIENCE: Final = 5.0
"""Seconds that a client waits; with a steady rate it also bounds the requests under way."""


class Answer(StrEnum):
    """Who answered, and how."""

    GOOD = "2xx"
    FAILED = "5xx from upstream"
    TIMEOUT = "504 timeout"
    REJECTED = "503 from breaker"
    OTHER = "other, or none"


_BY_CLASS: Final = {b"2": Answer.GOOD, b"5": Answer.FAILED}


def classify(answer: bytes) -> Answer:
    """What an answer of the gateway is; it says itself which ones are its own."""
    head, _, _ = answer.lower().partition(b"\r\n\r\n")
    status = head[9:12]
    if b"\r\nswitchgear-origin: breaker" in head:
        return Answer.REJECTED
    if b"\r\nswitchgear-origin: timeout" in head:
        return Answer.TIMEOUT
    return _BY_CLASS.get(status[:1], Answer.OTHER)


class Traffic:
    """Asks `paths` in turn, `rate` times a second in all, whatever becomes of earlier requests."""

    def __init__(self, gateway: Address, paths: Sequence[str], rate: float) -> None:
        self.counts: Counter[Answer] = Counter()
        self._gateway = gateway
        self._paths = paths
        self._pause = 1 / rate

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        async with asyncio.TaskGroup() as requests:
            for path in itertools.cycle(self._paths):
                requests.create_task(self._ask(path))
                await asyncio.sleep(self._pause)

    async def _ask(self, path: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._exchange(path)
        except (OSError, TimeoutError):
            answer = b""
        self.counts[classify(answer)] += 1

    async def _exchange(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection(self._gateway.host, self._gateway.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n".encode())
            return await reader.read(-1)
        finally:
            writer.close()
