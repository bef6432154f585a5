"""A connection pooler before a PostgreSQL server."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerProcess

CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
"""


class PgBouncer(ServerProcess):
    """Lends one of five sessions for each transaction."""

    def __init__(self, server: PostgresServer) -> None:
        super().__init__()
        self._server = server

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _user(self) -> dict[str, Any]:
        return self._server._user()  # both refuse to run as root

    def _command(self) -> list[str]:
        self.directory.chmod(0o755)
        file = self.directory / "pgbouncer.ini"
        file.write_text(CONFIGURATION.format(server=self._server.port, port=self.port))
        return ["pgbouncer", str(file)]

    def _ready(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=1):
                return True
        except psycopg.OperationalError:
            return False
