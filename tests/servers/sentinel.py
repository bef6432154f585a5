"""A Redis Sentinel that watches one primary."""

from __future__ import annotations

from tests.servers.binaries import redis_server
from tests.servers.redis import RedisServer

CONFIGURATION = """
port {port}
bind 127.0.0.1
sentinel monitor {name} 127.0.0.1 {primary} 1
sentinel down-after-milliseconds {name} 60000
sentinel failover-timeout {name} 1000
"""


class RedisSentinel(RedisServer):
    """Promotes a replica when the primary has gone for as long as it is told to wait: at first, a minute, so
    that a primary which is merely slow stays one.
    """

    name = "circuits"

    def __init__(self, primary: RedisServer) -> None:
        super().__init__()
        self._primary = primary

    def _command(self) -> list[str]:
        file = self.directory / "sentinel.conf"  # it writes there what it learns
        file.write_text(CONFIGURATION.format(port=self.port, name=self.name, primary=self._primary.port))
        return [str(redis_server()), str(file), "--sentinel"]
