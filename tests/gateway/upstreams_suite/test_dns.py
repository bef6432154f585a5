"""Names of upstreams: looked up again, so that one that moved is found."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest

from switchgear.gateway.config.model import Endpoint
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.upstream.pool import Pool
from switchgear.gateway.upstream.resolver import Resolver
from tests.gateway.upstreams import PATIENCE

pytestmark = pytest.mark.anyio

ROUNDS = 5


class Names:
    """A name server that knows one name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: tuple[str, ...] | OSError = addresses
        self.questions = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, host: str) -> tuple[str, ...]:
        self.questions += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses


def resolver_of(names: Names, ttl: float = 1000.0) -> Resolver:
    return Resolver(asyncio.get_running_loop(), names, ttl=ttl)


async def test_a_name_is_looked_up_once_while_its_addresses_are_fresh():
    names = Names("10.0.0.1")
    resolver = resolver_of(names)
    assert [await resolver.resolve("pod") for _ in range(3)] == [("10.0.0.1",)] * 3
    assert names.questions == 1


async def test_old_addresses_are_looked_up_again():
    names = Names("10.0.0.1")
    resolver = resolver_of(names, ttl=0.0)
    await resolver.resolve("pod")
    names.addresses = ("10.0.0.2",)
    assert await resolver.resolve("pod") == ("10.0.0.2",)
    assert names.questions == 2


async def test_all_who_wait_share_one_lookup_and_one_who_leaves_does_not_end_it():
    names = Names("10.0.0.1")
    names.gate = asyncio.Event()
    resolver = resolver_of(names)
    waiting = [asyncio.ensure_future(resolver.resolve("pod")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    names.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [("10.0.0.1",)] * 2
    assert names.questions == 1


async def test_a_name_server_that_is_down_does_not_take_what_is_known(caplog):
    names = Names("10.0.0.1")
    resolver = resolver_of(names, ttl=0.0)
    await resolver.resolve("pod")
    names.addresses = socket.gaierror("server is down")
    assert await resolver.resolve("pod") == ("10.0.0.1",)
    assert "its known addresses are kept" in caplog.text


async def test_an_unknown_name_is_an_error_each_time():
    names = Names()
    resolver = resolver_of(names)
    with pytest.raises(OSError, match="pod has no address"):
        await resolver.resolve("pod")
    names.addresses = socket.gaierror("no such name")
    with pytest.raises(OSError, match="no such name"):
        await resolver.resolve("pod")
    names.addresses = ("10.0.0.1",)
    assert await resolver.resolve("pod") == ("10.0.0.1",)


async def test_closing_ends_a_lookup():
    names = Names("10.0.0.1")
    names.gate = asyncio.Event()
    resolver = resolver_of(names)
    waiting = asyncio.ensure_future(resolver.resolve("pod"))
    await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_system_is_asked_for_both_families():
    resolver = Resolver(asyncio.get_running_loop())
    assert "127.0.0.1" in await resolver.resolve("localhost")
    with pytest.raises(OSError, match=r"\S"):
        await resolver.resolve("name.invalid")


# ---- connections


class Waiting:
    """Who asks a pool for a connection."""

    def __init__(self) -> None:
        self.done = asyncio.get_running_loop().create_future()

    def connected(self, connection) -> None:
        self.done.set_result(connection)

    def not_connected(self, failure) -> None:
        self.done.set_exception(failure)


class Listener:
    """Two servers at one port: the old place of a service, and its new one."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.lost = asyncio.Event()

    def protocol(self, place: str):
        listener = self

        class _Accept(asyncio.Protocol):
            def connection_made(self, transport) -> None:
                listener.accepted.append(place)

            def connection_lost(self, exc) -> None:
                listener.lost.set()

        return _Accept


PLACES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


@contextlib.asynccontextmanager
async def listen(*places: str) -> AsyncIterator[tuple[Listener, int]]:
    """Servers at each of `places`, at one port, which refuses connections at all others."""
    loop, listener = asyncio.get_running_loop(), Listener()
    with one_port() as sockets:
        servers = [
            await loop.create_server(listener.protocol(place), sock=sockets[place]) for place in places
        ]
        yield listener, sockets["::1"].getsockname()[1]
        for server in servers:
            server.close()
        await asyncio.sleep(0)


@contextlib.contextmanager
def one_port() -> Iterator[dict[str, socket.socket]]:
    """Sockets at all of `PLACES` that have one port; where another process has it already, a further one."""
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            sockets = {place: stack.enter_context(socket.socket(family)) for place, family in PLACES.items()}
            port = 0
            try:
                for place, sock in sockets.items():
                    sock.bind((place, port))
                    port = sock.getsockname()[1]
            except OSError as error:
                if port == 0 or error.errno != errno.EADDRINUSE:
                    raise
                continue
            yield sockets
            return
    pytest.fail(f"{ROUNDS} ports were taken")


def connect(pool: Pool):
    waiting = Waiting()
    pool.connect(waiting)
    return asyncio.wait_for(waiting.done, PATIENCE)


@contextlib.asynccontextmanager
async def pool_of(resolver: Resolver, port: int, host: str = "pod") -> AsyncIterator[Pool]:
    pool = Pool(host, port, None, PATIENCE, resolver)
    yield pool
    await pool.close()
    await resolver.close()


async def say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello, in clear\r\n")
    writer.close()


@pytest.mark.parametrize("kind", ["dns", "connect", "connect_timeout", "tls"])
async def test_each_way_in_which_no_connection_is_made_has_its_name(kind: str):
    names = Names("127.0.0.1")
    if kind == "dns":
        names.addresses = socket.gaierror("no such name")
    elif kind == "connect_timeout":
        names.gate = asyncio.Event()
    async with await asyncio.start_server(say_hello, "127.0.0.1", 0) as server:
        pool = Pool(
            "pod",
            1 if kind == "connect" else server.sockets[0].getsockname()[1],
            ssl.create_default_context() if kind == "tls" else None,
            0.01 if kind == "connect_timeout" else PATIENCE,
            resolver_of(names),
        )
        with pytest.raises(UpstreamFailure) as caught:
            await connect(pool)
        await pool.close()
    assert caught.value.kind == kind
    assert caught.value.status == (504 if kind == "connect_timeout" else 502)


async def test_idle_connections_to_a_place_that_was_left_are_dropped():
    names = Names("127.0.0.1")
    async with (
        listen("127.0.0.1", "::1") as (listener, port),
        pool_of(resolver_of(names, ttl=0.001), port) as pool,
    ):
        pool.put(await connect(pool))
        busy = await connect(pool)
        names.addresses = ("::1",)
        await asyncio.wait_for(listener.lost.wait(), PATIENCE)
        assert pool.take() is None
        busy.send(SimpleNamespace(answered=lambda _answer: None), b"", to_head=False, complete=True)
        busy.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert pool.take() is None  # it may end its request and gets no further one
        assert (await connect(pool)).address == "::1"
        async with asyncio.timeout(PATIENCE):
            while len(listener.accepted) < 3:  # noqa: ASYNC110 - who connects knows it before who accepts
                await asyncio.sleep(0.001)
        assert listener.accepted == ["127.0.0.1", "127.0.0.1", "::1"]


async def test_a_place_that_refuses_is_looked_up_before_its_time(monkeypatch):
    monkeypatch.setattr("switchgear.gateway.upstream.pool.DOUBT", 0.0)
    names = Names("127.0.0.1")
    resolver = resolver_of(names)
    await resolver.resolve("pod")
    names.addresses = ("::1",)
    async with listen("::1") as (_, port), pool_of(resolver, port) as pool:
        assert (await connect(pool)).address == "::1"


@pytest.mark.parametrize("family", [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
async def test_the_other_address_is_tried_when_one_refuses(family: tuple[str, str]):
    async with listen("127.0.0.1") as (_, port), pool_of(resolver_of(Names(*family)), port) as pool:
        assert (await connect(pool)).address == "127.0.0.1"


async def test_addresses_of_the_preferred_family_take_turns():
    resolver = resolver_of(Names())
    pool = Pool("pod", 1, None, 2.0, resolver)
    firsts = [pool._in_turn(("10.0.0.1", "::1", "10.0.0.2"))[0] for _ in range(4)]
    assert sorted(firsts) == ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"]
    assert pool._in_turn(("10.0.0.1", "::1", "10.0.0.2"))[-1] == "::1"


async def test_a_literal_address_asks_nobody():
    names = Names()
    async with listen("::1") as (_, port), pool_of(resolver_of(names), port, "::1") as pool:
        await connect(pool)
        assert names.questions == 0
        assert Endpoint("http", "::1", port).origin == f"http://[::1]:{port}"
