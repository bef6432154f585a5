"""`Upgrade`: a WebSocket goes through as it is, and nothing else is switched to."""

import asyncio
from socket import socketpair

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

from switchgear.gateway.policies import Response
from switchgear.gateway.timeouts import TimeoutQueue
from switchgear.gateway.tunnel import Tunnel, TunnelEnd
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Peer,
    answering,
    ask,
    circuit,
    client_of,
    gateway,
    get,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio

UPGRADE = ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==")
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n"
)


async def echo(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(SWITCHING)
    while data := await peer.read_some():
        await peer.send(data)


async def test_bytes_go_both_ways():
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.read_head())
        await peer.send(SWITCHING + b"early")
        while data := await peer.read_some():
            await peer.send(data.upper())

    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/", *UPGRADE) + b"first")
        head = await client.read_head()
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"X-Own: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
        assert await client.read(10) == b"earlyFIRST"
        await client.send(b"\x00\xffGET / HTTP/1.1\r\n\r\n")
        assert await client.read(20) == b"\x00\xffGET / HTTP/1.1\r\n\r\n"
    lines = heads[0].split(b"\r\n")
    assert b"Connection: Upgrade" in lines
    assert b"Upgrade: websocket" in lines
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZQ==" in lines


async def converse(peer: Peer) -> None:
    """A WebSocket server that repeats what it hears."""
    socket = WSConnection(ConnectionType.SERVER)
    while True:
        socket.receive_data(await peer.read_some() or None)
        for event in socket.events():
            match event:
                case Request():
                    await peer.send(socket.send(AcceptConnection()))
                case TextMessage():
                    await peer.send(socket.send(TextMessage(data=f"heard {event.data}")))
                case CloseConnection():
                    await peer.send(socket.send(event.response()))
                    return


async def test_a_real_websocket_conversation():
    async with (
        scripted(converse) as up,
        gateway(route("/chat", up.port)) as running,
        client_of(running) as client,
    ):
        socket = WSConnection(ConnectionType.CLIENT)
        await client.send(socket.send(Request(host="gateway", target="/chat")))
        heard: list[object] = []
        while True:
            data = await client.read_some()
            socket.receive_data(data or None)
            for event in socket.events():
                if isinstance(event, AcceptConnection):
                    await client.send(socket.send(TextMessage(data="hello")))
                elif isinstance(event, TextMessage):
                    heard.append(event.data)
                    await client.send(socket.send(CloseConnection(code=1000)))
            if not data:
                break
    assert heard == ["heard hello"]


async def test_either_end_ends_both():
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        if up.connections == 1:
            await peer.closed()
            left.set()
        else:
            await peer.send(b"last words")

    async with scripted(script) as up, gateway(route("/", up.port)) as running:
        async with client_of(running) as client:
            await client.send(get("/", *UPGRADE))
            await client.read_head()
        await asyncio.wait_for(left.wait(), PATIENCE)
        async with client_of(running) as client:
            await client.send(get("/", *UPGRADE))
            await client.read_head()
            assert await client.read_all() == b"last words"


async def test_nothing_is_held_in_memory():
    """Whoever does not read stops the one who writes, in both directions."""
    proceed = asyncio.Event()
    piece = bytes(1 << 16)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        stopped = asyncio.ensure_future(flood(peer))
        await proceed.wait()
        total = 0
        while total < sent["client"]:
            total += len(await peer.read_some())
        await stopped
        await peer.closed()

    async def flood(peer: Peer) -> None:
        for _ in range(1024):
            peer.writer.write(piece)
            await peer.writer.drain()
            sent["upstream"] += len(piece)

    sent = {"client": 0, "upstream": 0}
    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/", *UPGRADE))
        await client.read_head()
        while True:  # until nobody takes anything any more
            try:
                await asyncio.wait_for(client.send(piece), 0.3)
            except TimeoutError:
                break
            sent["client"] += len(piece)
        sent["client"] += len(piece)  # the one that is still in the buffer
        assert sent["upstream"] < 1024 * len(piece)
        proceed.set()
        total = 0
        while total < 1024 * len(piece):
            total += len(await client.read_some())
    assert total == 1024 * len(piece)


async def test_a_tunnel_in_which_nothing_moves_ends():
    async with (
        scripted(echo) as up,
        gateway(route("/", up.port), idle=0.05) as running,
        client_of(running) as client,
    ):
        await client.send(get("/", *UPGRADE))
        await client.read_head()
        assert await client.read_all() == b""


class Waits(dict):
    """Which tunnels wait, and how often something moved in them."""

    def __init__(self) -> None:
        self.empty = asyncio.Event()

    def add(self, tunnel) -> None:
        self[tunnel] = 0

    def renew(self, tunnel) -> None:
        self[tunnel] += 1

    def discard(self, tunnel) -> None:
        self.pop(tunnel, None)
        self.empty.set()


async def test_what_moves_in_either_direction_keeps_a_tunnel():
    waits = Waits()
    peers = [socketpair() for _ in range(2)]
    loop = asyncio.get_running_loop()
    ends = []
    for ours, _ in peers:
        transport, former = await loop.create_connection(asyncio.Protocol, sock=ours)
        ends.append(TunnelEnd(transport, former, b"", writable=True))
    tunnel = Tunnel(ends[0], ends[1], waits)
    for number, (here, there) in enumerate([(0, 1), (1, 0), (0, 1)], 1):
        peers[here][1].setblocking(False)
        await loop.sock_sendall(peers[here][1], b"x")
        peers[there][1].setblocking(False)
        assert await asyncio.wait_for(loop.sock_recv(peers[there][1], 9), PATIENCE) == b"x"
        assert waits[tunnel] == number
    for _, theirs in peers:
        theirs.close()
    await asyncio.wait_for(waits.empty.wait(), PATIENCE)
    await asyncio.sleep(0)


async def test_the_switch_is_a_success_and_its_end_is_no_evidence():
    outer, inner = circuit("outer", failure_threshold=1), circuit("inner", failure_threshold=1)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        peer.reset()

    async with (
        scripted(script) as up,
        gateway(route("/", up.port, circuit=outer, service={"circuit": inner})) as running,
    ):
        for _ in range(3):
            async with client_of(running) as client:
                await client.send(get("/", *UPGRADE))
                await client.read_all()
        for key in ("outer", "inner"):
            snapshot = running.circuits[key].snapshot()
            assert (snapshot.state, snapshot.failure_count) == ("closed", 0)


async def test_neither_deadline_nor_timeout_is_for_a_tunnel(monkeypatch):
    queues: list[TimeoutQueue] = []
    make = TimeoutQueue.__init__

    def noted(self, *args, **kwargs) -> None:
        make(self, *args, **kwargs)
        queues.append(self)

    monkeypatch.setattr(TimeoutQueue, "__init__", noted)
    async with (
        scripted(echo) as up,
        gateway(route("/", up.port, deadline=71.0, timeout=72.0, service={"timeout": 73.0})) as running,
        client_of(running) as client,
    ):
        await client.send(get("/", *UPGRADE))
        await client.read_head()
        waiting = {queue.seconds: len(queue.waiting) for queue in queues if 71 <= queue.seconds <= 73}
    assert waiting == {71.0: 0, 72.0: 0, 73.0: 0}


async def test_an_upstream_that_declines_answers_as_ever():
    async with answering(OK) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for _ in range(2):
            await client.send(get("/", *UPGRADE))
            assert (await client.read_message()).body == b"ok"
        await client.send(get("/"))
        assert (await client.read_message()).body == b"ok"
    assert up.connections == 1


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        ("Connection: Upgrade", "Upgrade: websocket, h2c"),
        ("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket",),
        ("Connection: Upgrade",),
    ],
)
async def test_no_other_upgrade_goes_on(fields: tuple[str, ...]):
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        assert (await ask(running, get("/", *fields))).status == 200
    assert up.requests[0].get("upgrade") is None
    assert up.requests[0].get("connection") is None


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_only_get_upgrades(method: str):
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        await ask(running, get("/", *UPGRADE, method=method))
    assert up.requests[0].get("upgrade") is None


async def test_an_upgrade_with_a_body_is_refused():
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        assert (await ask(running, get("/", *UPGRADE, "Content-Length: 1") + b"x")).status == 400
    assert up.requests == []


async def test_a_switch_that_nobody_asked_for_is_a_bad_answer():
    async with answering(SWITCHING) as up, gateway(route("/", up.port)) as running:
        assert (await ask(running, get("/"))).status == 502
        assert (await ask(running, get("/", "Connection: Upgrade", "Upgrade: h2c"))).status == 502


class Slowly:
    """Lets go of answers after a turn of the loop, or replaces them."""

    name, priority = "slowly", 50

    def __init__(self, replacement: Response | None = None) -> None:
        self.replacement = replacement

    async def __call__(self, request, call_next):
        response = await call_next(request)
        await asyncio.sleep(0.01)
        response.headers.append((b"x-policy", b"1"))
        return self.replacement or response


async def test_a_policy_may_look_at_a_switch():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING + b"early ")
        await peer.send(b"bird")
        await peer.closed()

    async with (
        scripted(script) as up,
        gateway(route("/", up.port, policies=(Slowly(),))) as running,
        client_of(running) as client,
    ):
        await client.send(get("/", *UPGRADE))
        assert b"x-policy: 1\r\n" in await client.read_head()
        assert await client.read(10) == b"early bird"


async def test_a_policy_may_refuse_a_switch():
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        await peer.closed()
        left.set()

    policy = Slowly(Response(403, [], b"no"))
    async with scripted(script) as up, gateway(route("/", up.port, policies=(policy,))) as running:
        message = await ask(running, get("/", *UPGRADE))
        await asyncio.wait_for(left.wait(), PATIENCE)
    assert (message.status, message.body) == (403, b"no")


async def test_closing_the_gateway_ends_its_tunnels():
    async with scripted(echo) as up:
        async with gateway(route("/", up.port)) as running:
            client = client_of(running)
            peer = await client.__aenter__()
            await peer.send(get("/", *UPGRADE))
            await peer.read_head()
        await peer.closed()
        await client.__aexit__(None, None, None)
