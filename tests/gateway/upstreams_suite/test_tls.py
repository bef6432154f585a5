"""TLS on both sides: verified upstreams, the listener's certificate, clients' certificates."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from switchgear.gateway.config.model import Address, Endpoint, GatewayConfig, LogConfig, Route, Service, Tls
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.server import Gateway
from switchgear.gateway.tls import listener_context, upstream_context
from tests.gateway.upstreams import OK, Message, Peer, answering, get

pytestmark = pytest.mark.anyio

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


@pytest.fixture
def files(tmp_path: Path):
    """Writes a certificate, or an authority, to a file, and gives its name."""

    def write(thing) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.pem"
        (
            thing.cert_pem if isinstance(thing, trustme.CA) else thing.private_key_and_cert_chain_pem
        ).write_to_path(path)
        return str(path)

    return write


@contextlib.asynccontextmanager
async def secure_upstream(
    *names: str, by: trustme.CA = AUTHORITY
) -> AsyncIterator[tuple[int, list[str | None]]]:
    """An upstream with a certificate for `names`; its port, and the names that SNI asked it for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    by.issue_cert(*names).configure_cert(context)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await peer.read_message()
                await peer.send(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def secured(endpoint: Endpoint, tls: Tls | None = None) -> AsyncIterator[Gateway]:
    config = GatewayConfig(
        (Route(parse_path("/"), "ALL", (Service("up", (endpoint,)),)),),
        Address("127.0.0.1", 0),
        log=LogConfig(access=False),
        tls=tls,
    )
    running = Gateway(config)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


async def ask(running: Gateway, context: ssl.SSLContext | None = None, name: str | None = None) -> Message:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.address.port, ssl=context, server_hostname=name
    )
    peer = Peer(reader, writer)
    try:
        await peer.send(get("/"))
        return await peer.read_message()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


# ---- to upstreams


async def test_an_upstream_of_our_own_authority_is_trusted(files):
    async with (
        secure_upstream("localhost") as (port, asked),
        secured(Endpoint("https", "localhost", port), Tls(ca=files(AUTHORITY))) as running,
    ):
        for _ in range(3):
            assert (await ask(running)).body == b"ok"
    assert asked == ["localhost"]  # one connection, and SNI


@pytest.mark.parametrize(
    ("names", "by", "why"),
    [(["localhost"], STRANGER, "foreign authority"), (["elsewhere.test"], AUTHORITY, "another name")],
)
async def test_any_other_upstream_is_refused(files, names: list[str], by: trustme.CA, why: str):
    async with (
        secure_upstream(*names, by=by) as (port, _),
        secured(Endpoint("https", "localhost", port), Tls(ca=files(AUTHORITY))) as running,
    ):
        message = await ask(running)
    assert (message.status, message.get("switchgear-origin")) == (502, "error"), why


async def test_without_an_authority_of_our_own_only_the_systems_are_trusted():
    async with (
        secure_upstream("localhost") as (port, _),
        secured(Endpoint("https", "localhost", port)) as running,
    ):
        assert (await ask(running)).status == 502


async def test_an_address_is_verified_too(files):
    async with (
        secure_upstream("127.0.0.1") as (port, _),
        secured(Endpoint("https", "127.0.0.1", port), Tls(ca=files(AUTHORITY))) as running,
    ):
        assert (await ask(running)).status == 200


# ---- the listener


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def test_clients_are_served_over_tls_and_the_upstream_is_told(files):
    cert = files(AUTHORITY.issue_cert("gateway.test"))
    async with (
        answering(OK) as up,
        secured(Endpoint("http", "127.0.0.1", up.port), Tls(cert=cert, key=cert)) as running,
    ):
        assert (await ask(running, trusting(AUTHORITY), "gateway.test")).body == b"ok"
        assert up.requests[0].get_all("x-forwarded-proto") == ["https"]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(running)  # plain text at a TLS port


async def test_clients_need_a_certificate_where_one_is_asked_for(files):
    cert = files(AUTHORITY.issue_cert("gateway.test"))
    tls = Tls(cert=cert, key=cert, client_ca=files(AUTHORITY))
    async with answering(OK) as up, secured(Endpoint("http", "127.0.0.1", up.port), tls) as running:
        known = trusting(AUTHORITY)
        AUTHORITY.issue_cert("client@example.test").configure_cert(known)
        assert (await ask(running, known, "gateway.test")).status == 200
        with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
            await ask(running, trusting(AUTHORITY), "gateway.test")


async def test_versions_before_the_oldest_one_are_refused(files):
    cert = files(AUTHORITY.issue_cert("gateway.test"))
    tls = Tls(cert=cert, key=cert, min_version="1.3")
    async with answering(OK) as up, secured(Endpoint("http", "127.0.0.1", up.port), tls) as running:
        old = trusting(AUTHORITY)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(running, old, "gateway.test")
        assert (await ask(running, trusting(AUTHORITY), "gateway.test")).status == 200


# ---- files


def test_the_oldest_version_holds_for_upstreams_too():
    assert upstream_context(Tls(min_version="1.3")).minimum_version is ssl.TLSVersion.TLSv1_3
    assert upstream_context(None).minimum_version is ssl.TLSVersion.TLSv1_2
    assert listener_context(Tls(ca="unused")) is None


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (Tls(ca="/nowhere/ca.pem"), r"tls\.ca: /nowhere/ca\.pem can't be read: No such file"),
        (Tls(cert="/nowhere/c.pem", key="k"), r"tls\.cert and tls\.key: /nowhere/c\.pem can't be read"),
    ],
)
def test_a_missing_file_is_named(tls: Tls, message: str):
    with pytest.raises(ValueError, match=message):
        listener_context(tls) if tls.cert else upstream_context(tls)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, files):
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    cert = files(AUTHORITY.issue_cert("gateway.test"))
    for tls in (
        Tls(cert=str(nonsense), key=str(nonsense)),
        Tls(cert=cert, key=cert, client_ca=str(nonsense)),
    ):
        with pytest.raises(ValueError, match=r"nonsense\.pem is not usable"):
            listener_context(tls)


def test_an_encrypted_key_is_refused_and_not_asked_about(tmp_path: Path):
    leaf = AUTHORITY.issue_cert("gateway.test")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = tmp_path / "key.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    cert = tmp_path / "cert.pem"
    cert.write_bytes(leaf.cert_chain_pems[0].bytes())
    with pytest.raises(ValueError, match="the key is encrypted"):
        listener_context(Tls(cert=str(cert), key=str(locked)))


async def test_a_gateway_with_unusable_certificates_does_not_start(files):
    with pytest.raises(ValueError, match=r"tls\.ca"):
        async with secured(Endpoint("https", "localhost", 1), Tls(ca="/nowhere")):
            pass
