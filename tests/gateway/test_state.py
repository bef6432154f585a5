"""`state:` from the file to a store, and what is said when that can't be used. Real servers."""

import asyncio
import contextlib
import logging
from urllib.parse import quote

import pytest

from switchgear.gateway.config.model import State
from switchgear.gateway.state import place, released, store_for, store_url, usable
from switchgear.stores.trouble import try_store
from tests.gateway.state_servers import SECRET, postgres_with_users, redis_with_users
from tests.gateway.upstreams import PATIENCE, answering, refusing_port
from tests.gateway.workers.processes import one_service, serving, started, until

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def redis():
    with redis_with_users() as server:
        yield server


@pytest.fixture(scope="module")
def postgres():
    with postgres_with_users() as server:
        yield server


# ---- where it is ----


@pytest.mark.parametrize(
    ("state", "url"),
    [
        (State("redis", port=6379), "redis://localhost:6379"),
        (State("redis", port=1, password="p@s/s"), "redis://:p%40s%2Fs@localhost:1"),
        (State("redis", host="::1", port=1, user="u", tls=True, database="2"), "rediss://u@[::1]:1/2"),
        (State("redis", port=1, prefix="a b:"), "redis://localhost:1?prefix=a+b%3A"),
        (State("redis", url="rediss://h?db=1", prefix="p:"), "rediss://h?db=1&prefix=p%3A"),
        (State("postgres", port=5432, user="u", password=""), "postgresql://u:@localhost:5432"),
        (State("postgres", port=5432, database="d", tls=True, table="t"),
         "postgresql://localhost:5432/d?sslmode=require&table=t"),
    ],
)  # fmt: skip
def test_the_url_says_all_that_the_file_says(state, url):
    assert store_url(state) == url


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (State(), "memory"),
        (State("redis", port=1, password=SECRET),
         "redis://localhost:1, prefix 'switchgear:', namespace None"),
        (State("redis", url="redis://u:p@h:1/2?prefix=p&namespace=n"),
         "redis://h:1/2, prefix 'p', namespace 'n'"),
        (State("postgres", port=1, database="d", namespace="shop"),
         "postgresql://localhost:1/d, table 'switchgear_circuits', namespace 'shop'"),
    ],
)  # fmt: skip
def test_the_place_names_what_is_shared_and_no_secret(state, text):
    assert place(state) == text


async def test_memory_needs_no_store():
    assert store_for(State()) is None
    assert await usable(State())
    async with released(None) as store:
        assert store is None


def test_one_option_twice_is_an_error():
    with pytest.raises(ValueError, match="'prefix' is given twice"):
        store_for(State("redis", url="redis://h?prefix=a", prefix="b"))


# ---- whether it can be used ----


async def test_a_store_that_works_is_named(redis, postgres, caplog):
    caplog.set_level(logging.INFO)
    assert await usable(State("redis", port=redis.port, password=SECRET, namespace="shop"))
    assert caplog.messages == [
        f"state: redis://localhost:{redis.port}, prefix 'switchgear:', namespace 'shop'"
    ]
    assert await usable(
        State(
            "postgres",
            host="127.0.0.1",
            port=postgres.port,
            user="owner",
            password=SECRET,
            database="postgres",
        )
    )
    assert SECRET not in caplog.text


REDIS_TROUBLES = [
    ({"password": "wr:ong"}, "check the user and the password"),
    ({}, "check the user and the password"),
    ({"user": "reader", "password": SECRET}, "give the user its rights: `switchgear store init URL --print`"),
    ({"password": SECRET, "database": "99"}, "no such database"),
]


@pytest.mark.parametrize(("fields", "advice"), REDIS_TROUBLES)
async def test_redis_says_what_to_do(redis, caplog, fields, advice):
    assert not await usable(State("redis", host="127.0.0.1", port=redis.port, **fields), PATIENCE)
    assert_said(caplog, f":{redis.port}", advice, fields)


async def test_a_redis_that_does_not_speak_tls_says_what_to_do_after_a_bounded_wait(redis, caplog):
    fields = {"password": SECRET, "tls": True}
    assert not await usable(State("redis", host="127.0.0.1", port=redis.port, **fields), 0.5)
    assert_said(caplog, f":{redis.port}", "check host, port, firewall and `tls`", fields)


POSTGRES_TROUBLES = [
    ({"user": "owner", "password": "wr:ong"}, "check the user and the password"),
    ({"user": "owner"}, "the server wants a password"),
    ({"user": "nobody-here"}, "check the user and the database"),
    ({"user": "owner", "password": SECRET, "database": "absent"}, "check the user and the database"),
    ({"user": "guest", "password": SECRET, "table": "for_guests"}, "run `switchgear store init URL`"),
    ({"user": "postgres", "tls": True}, "the server speaks no TLS"),
]


@pytest.mark.parametrize(("fields", "advice"), POSTGRES_TROUBLES)
async def test_postgres_says_what_to_do(postgres, caplog, fields, advice):
    fields = {"database": "postgres", **fields}
    assert not await usable(State("postgres", host="127.0.0.1", port=postgres.port, **fields), PATIENCE)
    assert_said(caplog, f":{postgres.port}", advice, fields)


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_a_missing_server_says_so_after_a_bounded_wait(caplog, kind):
    with refusing_port() as port:
        assert not await usable(State(kind, host="127.0.0.1", port=port, password=SECRET), 0.5)
    assert_said(caplog, f":{port}", "start the server, or check host and port", {"password": SECRET})


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_an_unknown_host_says_so(caplog, monkeypatch, kind):
    monkeypatch.setattr("switchgear.stores.trouble.PAUSE", PATIENCE)  # asked once: it may be slow
    assert not await usable(State(kind, host="no-such-host.invalid", port=1), PATIENCE)
    assert_said(caplog, "no-such-host.invalid:1", "check the host", {})


class Fading:
    """A store that refuses, and later does not answer at all."""

    def __init__(self) -> None:
        self.asked = 0

    async def reset(self, key: str) -> None:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionRefusedError("nobody is there")
        await asyncio.Event().wait()


async def test_an_attempt_that_is_cut_off_does_not_hide_what_the_one_before_has_found_out():
    """On a slow machine, a server that was not there was told as one that does not answer in time."""
    store = Fading()
    trouble = await try_store(store, 0.5)  # type: ignore[arg-type]
    assert store.asked == 2
    assert trouble is not None
    assert trouble.advice == "start the server, or check host and port"


def assert_said(caplog, where, advice, fields):
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert message.startswith("state: ")
    assert where in message
    assert advice in message
    password = fields.get("password", SECRET)
    assert password not in message
    assert quote(password, safe="") not in message


# ---- served ----


async def test_without_the_required_store_the_exit_code_is_3(tmp_path):
    with refusing_port() as port:
        top = f"state: {{type: redis, host: 127.0.0.1, port: {port}}}"
        async with started(tmp_path, one_service(1, top=top), "--require-state", workers=1) as gateway:
            assert await gateway.ended() == 3
            assert "start the server, or check host and port" in gateway.errors
            assert gateway.lines == []


@pytest.mark.parametrize("workers", [1, 2])
async def test_without_a_store_it_serves_and_says_so(tmp_path, workers):
    bad = b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(refusing_port())
        top = f"state: {{type: redis, host: 127.0.0.1, port: {port}}}"
        up = await stack.enter_async_context(answering(bad))
        config = one_service(up.port, "{failureThreshold: 1}", top)
        gateway = await stack.enter_async_context(serving(tmp_path, config, workers=workers))
        assert "start the server, or check host and port" in gateway.errors
        assert "own evidence" in gateway.errors
        assert await gateway.statuses(1) == [500]
        assert 503 in await gateway.statuses(3)
        gateway.process.terminate()
        assert await gateway.ended() == 0


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_failures_at_one_gateway_open_the_circuit_at_another(tmp_path, monkeypatch, request, kind):
    server = request.getfixturevalue(kind)
    monkeypatch.setenv("STATE_PASSWORD", SECRET)
    user = "user: owner, database: postgres, table: two_gateways, " if kind == "postgres" else ""
    where = f"host: 127.0.0.1, port: {server.port}, {user}password: '${{STATE_PASSWORD}}'"
    top = f"state: {{type: {kind}, {where}}}"
    bad = b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"
    async with contextlib.AsyncExitStack() as stack:
        up = await stack.enter_async_context(answering(bad))
        config = one_service(up.port, "{failureThreshold: 2, resetTimeoutMs: 60000}", top)
        first, second = [
            await stack.enter_async_context(serving(directory, config, "--require-state", workers=1))
            for directory in (tmp_path / "first", tmp_path / "second")
        ]
        assert await first.statuses(2) == [500, 500]
        await until(lambda: "closed -> open" in second.errors)
        assert await second.statuses(2) == [503, 503]
        assert len(up.requests) == 2
        assert SECRET not in first.errors + second.errors
