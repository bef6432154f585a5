"""A Redis (or Valkey) server for tests."""

from __future__ import annotations

import socket

from tests.servers.binaries import redis_server
from tests.servers.process import ServerProcess


class RedisServer(ServerProcess):
    """Starts empty, and is empty again after a restart."""

    def __init__(self, *options: str, cluster: bool = False) -> None:
        super().__init__()
        self._options = options
        self._cluster = cluster
        self.max_port = 55000 if cluster else 65536  # the cluster's bus is on the port 10,000 above

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        memory = ["--save", "", "--appendonly", "no"]
        cluster = ["--cluster-enabled", "yes"] if self._cluster else []
        return [str(redis_server()), *where, *memory, *cluster, *self._options]

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.settimeout(10)
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
