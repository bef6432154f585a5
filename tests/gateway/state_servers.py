"""Servers that know users and passwords, for what goes wrong with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import redis

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

SECRET = "s3:cr/et@?#"


@contextlib.contextmanager
def redis_with_users() -> Iterator[RedisServer]:
    """`default` needs the secret; `reader` has it too, and may only read."""
    with RedisServer() as server:
        with redis.Redis(port=server.port) as client:
            client.execute_command(
                "ACL", "SETUSER", "reader", "on", f">{SECRET}", "~*", "&*", "+@read", "+ping"
            )
            client.config_set("requirepass", SECRET)
        yield server


@contextlib.contextmanager
def postgres_with_users() -> Iterator[PostgresServer]:
    """`owner` may do all, `guest` may log in and nothing else; both need the secret."""
    with PostgresServer() as server:
        hba = server.directory / "data" / "pg_hba.conf"
        by_password = "".join(f"host all {role} 127.0.0.1/32 scram-sha-256\n" for role in ("owner", "guest"))
        hba.write_text(by_password + hba.read_text())
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"create role owner login superuser password '{SECRET}'")
            connection.execute(f"create role guest login password '{SECRET}'")
            connection.execute("revoke create on schema public from public")
            connection.execute("select pg_reload_conf()")
        yield server
