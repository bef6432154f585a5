"""Who may ask the operator's listener."""

import asyncio

import pytest

from switchgear.admin.access import carries, is_meant, token_of
from switchgear.gateway.config.model import Address, Admin
from tests.admin.desk import HERE, operated
from tests.gateway.upstreams import PATIENCE, Peer, ask, client_of, get, post, route

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:9901",
        b"[::1]:9901",
        b"[::1]",
        b"10.1.2.3:80",
        b"localhost",
        b"LocalHost:1",
        b"a.localhost",
        b"localhost.",
        b"desk.example:9901",
    ],
)
def test_what_names_this_listener(host: bytes):
    assert is_meant(host, frozenset({"desk.example"}))


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"evil.example",
        b"127.0.0.1.evil.example",
        b"localhost.evil.example:9901",
        b"notlocalhost",
        b"[::1].evil",
        b"desk.example.evil",
    ],
)
def test_what_names_somebody_else(host: bytes):
    assert not is_meant(host, frozenset({"desk.example"}))


async def test_a_rebound_name_is_refused_whatever_it_asks_for():
    async with operated(route("/", 9)) as (_, desk):
        for path in ("/metrics", "/healthz", "/readyz", "/none"):
            raw = f"GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode()
            assert (await ask(desk, raw)).status == 421
        assert (await ask(desk, get("/metrics"))).status == 421  # the tests' own name


async def test_a_name_of_the_configuration_is_answered():
    async with operated(route("/", 9), hosts=("Gateway",)) as (_, desk):
        assert (await ask(desk, get("/healthz"))).status == 200


async def test_metrics_need_the_token_and_health_does_not():
    async with operated(route("/", 9), hosts=("gateway",), token="s3cret") as (_, desk):
        assert (await ask(desk, get("/healthz"))).status == 200
        assert (await ask(desk, get("/readyz"))).status == 200
        refused = await ask(desk, get("/metrics"))
        assert (refused.status, refused.get("www-authenticate")) == (401, "Bearer")
        for wrong in ("Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret", "Bearer"):
            assert (await ask(desk, get("/metrics", f"Authorization: {wrong}"))).status == 401
        assert (await ask(desk, get("/metrics", "Authorization: bearer s3cret"))).status == 200


def test_a_token_is_compared_as_bytes():
    assert carries("grün".encode(), "Bearer grün".encode())
    assert not carries(b"a", b"Bearer \xff")


def test_a_token_may_lie_in_a_file_and_is_never_empty(tmp_path):
    file = tmp_path / "token"
    admin = Admin(Address("0.0.0.0", 1), token_file=str(file))
    with pytest.raises(ValueError, match="can't be read"):
        token_of(admin)
    file.write_text("\n")
    with pytest.raises(ValueError, match=r"admin\.tokenFile: the token is empty"):
        token_of(admin)
    file.write_text("s3cret\n")
    assert token_of(admin) == b"s3cret"
    with pytest.raises(ValueError, match=r"admin\.token: the token is empty"):
        token_of(Admin(Address("0.0.0.0", 1), token=""))


async def test_what_is_not_there_and_what_is_not_done():
    async with operated(route("/", 9), hosts=("gateway",)) as (_, desk):
        assert (await ask(desk, get("/"))).status == 404
        refused = await ask(desk, post("/metrics", b"x"))
        assert (refused.status, refused.get("allow")) == (405, "GET, HEAD")
        head = await ask(desk, get("/metrics", method="HEAD"))
        assert (head.status, head.body) == (200, b"")


async def test_requests_on_one_connection_are_answered_in_turn():
    async with operated(route("/", 9), hosts=("gateway",)) as (_, desk), client_of(desk) as client:
        await client.send(get("/metrics") + get("/healthz") + get("/none"))
        assert [(await client.read_message()).status for _ in range(3)] == [200, 200, 404]


async def test_a_client_that_leaves_before_its_metrics_leaves_nothing_behind():
    async with operated(route("/", 9), hosts=("gateway",)) as (_, desk):
        before = len(asyncio.all_tasks())
        async with client_of(desk) as client:
            await client.send(get("/metrics"))
            client.reset()
        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
        assert (await ask(desk, get("/healthz"))).status == 200


async def test_another_address_is_listened_at_before_the_old_one_is_left():
    async with operated(route("/", 9), hosts=("gateway",)) as (_, desk):
        before = desk.address
        await desk.adopt(Admin(Address("localhost", 0), hosts=("gateway",), token="t"))
        assert desk.address.port != before.port
        assert (await ask(desk, get("/metrics"))).status == 401
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(before.host, before.port)
        now = desk.address
        with pytest.raises(ValueError, match="token is empty"):
            await desk.adopt(Admin(Address("0.0.0.0", 0), token=""))
        async with client_of(desk):
            assert desk.address == now
        await desk.adopt(None)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(now.host, now.port)


async def test_a_taken_address_is_told_as_the_operators():
    async with operated(route("/", 9)) as (_, desk), operated(route("/", 9)) as (_, other):
        taken = other.address
        with pytest.raises(OSError, match=rf"can't listen on {taken} \(admin\)"):
            await desk.adopt(Admin(taken))
        reader, writer = await asyncio.open_connection(desk.address.host, desk.address.port)
        peer = Peer(reader, writer)
        await peer.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 200 " in await peer.read_all()
        writer.close()
        assert HERE.port == 0
