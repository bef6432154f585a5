"""Who may use a server, and how the way to it is kept private."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, Switchgear
from switchgear.stores import store_from_url
from switchgear.stores.sharing import flush
from switchgear.stores.trouble import trouble_of
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.tls import TlsFront
from tests.shared.backends import fresh_key, state_of
from tests.shared.scenes import eventually

OPENS = CircuitBreakerPolicy(failure_threshold=2, reset_timeout=0.2)


def share(url: str) -> None:
    """All that a store is for, by two processes' worth of breakers: count, open, push, probe, close."""
    key = fresh_key()
    first, second = Switchgear(), Switchgear()
    with first.open(url), second.open(url):
        one, other = first.breaker(key, OPENS), second.breaker(key, OPENS)
        assert one.ready(30)
        assert other.ready(30)
        for _ in range(2):
            one.acquire().failure("no route to host")
        eventually(lambda: other.state == "open", 30)
        # By one probe, if the store is quick: of failures that it hears of late it opens after that.
        eventually(lambda: succeed(other) and one.state == "closed", 30)


def succeed(breaker: CircuitBreaker) -> bool:
    """A call, unless it is rejected."""
    with suppress(CircuitOpenError):
        breaker.acquire().success()
    return True


def refused(url: str) -> BaseException:
    """What the store raises."""

    async def use() -> None:
        store = store_from_url(url)
        try:
            await store.reset("k")
        finally:
            await store.aclose()

    with pytest.raises(Exception, match=r".") as caught:
        asyncio.run(use())
    return caught.value


# ---- rights ----


def documented_rights(url: str) -> list[str]:
    """The command that the project itself prints."""
    printed = subprocess.run(
        [sys.executable, "-m", "switchgear", "store", "init", url, "--print"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    line = next(line for line in printed.splitlines() if line.startswith("ACL SETUSER"))
    return line.replace(">PASSWORD", "nopass").split()


@pytest.fixture
def restricted(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis(port=redis_server.port) as client:
        yield client
        client.acl_deluser("switchgear")


def as_user(server: RedisServer, prefix: str = "switchgear:") -> str:
    return f"redis://switchgear:any@127.0.0.1:{server.port}/0?prefix={prefix}"


def test_the_documented_rights_are_enough(redis_server: RedisServer, restricted: Any) -> None:
    restricted.execute_command(*documented_rights(redis_server.url))
    denied = len(restricted.acl_log())
    share(as_user(redis_server))
    assert len(restricted.acl_log()) == denied, restricted.acl_log()


def test_none_of_them_is_more_than_enough(redis_server: RedisServer, restricted: Any) -> None:
    """Without any one of the rights that its script uses, a user is told which rights it needs."""
    rights = documented_rights(redis_server.url)
    for right in ("+evalsha", "+hgetall", "+hset", "+time", "+xadd", "+publish"):
        restricted.acl_deluser("switchgear")
        restricted.execute_command(*(other for other in rights if other != right))
        trouble = trouble_of(refused(as_user(redis_server)))
        assert "switchgear store init URL --print" in trouble.advice, (right, trouble)
        assert "EVALSHA" not in trouble.what, "what the server said, not what it was sent"


def test_keys_of_another_prefix_are_out_of_reach(redis_server: RedisServer, restricted: Any) -> None:
    restricted.execute_command(*documented_rights(redis_server.url))
    trouble = trouble_of(refused(as_user(redis_server, prefix="other:")))
    assert "give the user its rights" in str(trouble)


def test_a_user_that_lost_its_rights_is_no_callers_business(
    redis_server: RedisServer, restricted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    restricted.execute_command(*documented_rights(redis_server.url))
    key, gear = fresh_key(), Switchgear()
    with gear.open(as_user(redis_server)) as store:
        breaker = gear.breaker(key, CircuitBreakerPolicy(failure_threshold=10**6))
        assert breaker.ready(30)
        restricted.execute_command("ACL", "SETUSER", "switchgear", "-evalsha")
        for _ in range(50):
            breaker.acquire().failure("no route to host")
        assert not flush(store, 5)
        restricted.execute_command("ACL", "SETUSER", "switchgear", "+evalsha")
        eventually(lambda: flush(store, 5), 30)
    assert state_of(redis_server.url, key).failure_count == 50
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("can't be reached" in text and "ermission" in text for text in said), said


# ---- TLS ----


@pytest.fixture
def redis_tls(redis_server: RedisServer, tmp_path: Path) -> Iterator[TlsFront]:
    with TlsFront(redis_server.port, tmp_path) as front:
        yield front


@pytest.fixture
def postgres_tls(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[TlsFront]:
    with TlsFront(postgres_server.port, tmp_path, postgres=True) as front:
        yield front


def test_redis_by_tls(redis_tls: TlsFront) -> None:
    share(f"rediss://127.0.0.1:{redis_tls.port}/0?ssl_ca_certs={redis_tls.ca}")
    assert redis_tls.connections


def test_redis_with_a_certificate_that_nobody_here_trusts(redis_tls: TlsFront) -> None:
    for options in ("", f"?ssl_ca_certs={redis_tls.foreign_ca}"):
        trouble = trouble_of(refused(f"rediss://127.0.0.1:{redis_tls.port}/0{options}"))
        assert "has signed the server's certificate" in str(trouble), trouble


def test_postgres_by_tls(postgres_tls: TlsFront) -> None:
    user = urlsplit(f"//postgres@127.0.0.1:{postgres_tls.port}").netloc
    share(f"postgresql://{user}/postgres?sslmode=verify-full&sslrootcert={postgres_tls.ca}")
    assert postgres_tls.connections


def test_postgres_with_a_certificate_that_nobody_here_trusts(postgres_tls: TlsFront) -> None:
    url = f"postgresql://postgres@127.0.0.1:{postgres_tls.port}/postgres?sslmode=verify-full"
    trouble = trouble_of(refused(f"{url}&sslrootcert={postgres_tls.foreign_ca}"))
    assert "certificate" in str(trouble), trouble
