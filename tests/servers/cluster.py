"""A Redis Cluster of three nodes without replicas."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import redis

from tests.servers.redis import RedisServer

SLOTS = 16384


class RedisCluster:
    """Three servers that share the slots."""

    def __init__(self, size: int = 3) -> None:
        self._stack = ExitStack()
        self._size = size
        self.nodes: list[RedisServer] = []

    @property
    def url(self) -> str:
        return self.nodes[0].url.replace("redis://", "redis+cluster://")

    def __enter__(self) -> Self:
        with self._stack:  # closes what has been started if the rest fails
            for _ in range(self._size):
                self.nodes.append(self._stack.enter_context(RedisServer(cluster=True)))
            self._join()
            self._stack = self._stack.pop_all()
        return self

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            first, end = SLOTS * number // self._size, SLOTS * (number + 1) // self._size
            self._ask(node, "CLUSTER", "ADDSLOTS", *range(first, end))
            self._ask(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        deadline = time.monotonic() + 60
        while any(b"cluster_state:ok" not in self._ask(node, "CLUSTER", "INFO") for node in self.nodes):
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster is not ready")
            time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @staticmethod
    def _ask(node: RedisServer, *command: str | int) -> bytes:
        with redis.Redis(port=node.port) as client:
            answer = client.execute_command(*command, NEVER_DECODE=True)
            return answer if isinstance(answer, bytes) else repr(answer).encode()
