"""What becomes of a request when its upstream fails: by cause, and never a cut answer that looks complete."""

import asyncio
import socket

import pytest

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
    post,
    refusing_port,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio


def failures(running) -> int:
    return running.circuits["service:up"].snapshot().failure_count


GUARDED = {"circuit": circuit(failure_threshold=100)}


async def test_nobody_listens():
    with refusing_port() as port:
        async with gateway(route("/", port, service=GUARDED)) as running:
            message = await ask(running, get("/"))
            failed = failures(running)
        assert (message.status, message.get("switchgear-origin"), failed) == (502, "error", 1)
        assert b"127.0.0.1" not in message.body  # where an upstream lives is nobody's business


async def test_a_body_that_could_not_be_delivered_does_not_get_in_the_way():
    async with gateway(route("/", 1)) as running, client_of(running) as client:
        for _ in range(3):
            await client.send(post("/", b"x" * 1000))
            assert (await client.read_message()).status == 502


AMBIGUOUS = {
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "control": b"HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 2\r\n\r\nok",
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    "204 chunked": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unasked upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "endless interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + OK,
    "HTTP/2": b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok",
    "not HTTP": b"220 ftp.example.org\r\n\r\n",
    "large head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    "closed at once": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_an_ambiguous_answer_is_a_502(case: str):
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(AMBIGUOUS[case])

    async with (
        scripted(script) as up,
        gateway(route("/", up.port, service=GUARDED)) as running,
        client_of(running) as client,
    ):
        for count in (1, 2):
            await client.send(get("/"))
            while (message := await client.read_message()).status == 102:
                pass
            assert message.status == 502
            assert failures(running) == count


CUT = {
    "in a body with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nok",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "by a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
}


@pytest.mark.parametrize("case", CUT)
async def test_a_cut_body_is_one_more_failure_and_cut_for_the_client_too(case: str):
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(CUT[case])

    guards = {"service": GUARDED, "circuit": circuit("route:ALL /", failure_threshold=100)}
    async with scripted(script) as up, gateway(route("/", up.port, **guards)) as running:
        async with client_of(running) as client:
            await client.send(get("/"))
            answer = await client.read_all()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not answer.endswith(b"0\r\n\r\n")
        assert failures(running) == 1
        assert running.circuits["route:ALL /"].snapshot().failure_count == 1


async def test_a_reset_does_not_end_a_body_that_ends_with_its_connection():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await received.wait()
        peer.reset()

    received = asyncio.Event()
    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/"))
        await client.read_until(b"half\r\n")
        received.set()
        assert b"0\r\n\r\n" not in await client.read_all()


async def test_more_than_one_answer_is_never_taken_for_the_next_ones():
    async with (
        answering(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") as up,
        gateway(route("/", up.port)) as running,
        client_of(running) as client,
    ):
        for _ in range(3):
            await client.send(get("/"))
            assert (await client.read_message()).body == b"ok"
    assert up.connections == 3


# ---- connections that die while they lie idle


async def close_after_one_answer(peer: Peer) -> None:
    await peer.read_message()
    await peer.send(OK)
    await peer.read_message()  # and closes without a byte


async def test_a_safe_request_on_a_stale_connection_is_sent_once_more():
    async with (
        scripted(close_after_one_answer) as up,
        gateway(route("/", up.port, service=GUARDED)) as running,
    ):
        async with client_of(running) as client:
            for _ in range(4):
                await client.send(get("/"))
                assert (await client.read_message()).body == b"ok"
        assert failures(running) == 0
    assert up.connections == 4


@pytest.mark.parametrize("raw", [post("/", b"x"), get("/", method="DELETE"), get("/", method="POST")])
async def test_any_other_request_on_a_stale_connection_is_a_502(raw: bytes):
    async with (
        scripted(close_after_one_answer) as up,
        gateway(route("/", up.port, service=GUARDED)) as running,
    ):
        async with client_of(running) as client:
            await client.send(get("/"))
            assert (await client.read_message()).body == b"ok"
            await client.send(raw)
            assert (await client.read_message()).status == 502
        assert failures(running) == 1


async def test_a_fresh_connection_that_closes_is_not_tried_again():
    async def script(peer: Peer) -> None:
        await peer.read_message()

    async with scripted(script) as up, gateway(route("/", up.port)) as running:
        assert (await ask(running, get("/"))).status == 502
    assert up.connections == 1


# ---- timeouts


async def never(peer: Peer) -> None:
    await peer.closed()


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"service": {"timeout": 0.05} | GUARDED}, {}),
        ({"service": GUARDED}, {"first_byte": 0.05}),
    ],
)
async def test_an_attempt_that_takes_too_long_is_a_504(options, limits):
    async with scripted(never) as up, gateway(route("/", up.port, **options), **limits) as running:
        for raw in (get("/"), post("/", b"abc")):
            message = await ask(running, raw)
            assert (message.status, message.get("switchgear-origin")) == (504, "timeout")
        assert failures(running) == 2


async def test_the_timeout_of_all_attempts_fails_the_route_and_says_nothing_of_the_service():
    guards = {"service": GUARDED, "circuit": circuit("route:ALL /", failure_threshold=100)}
    async with scripted(never) as up, gateway(route("/", up.port, timeout=0.05, **guards)) as running:
        assert (await ask(running, get("/"))).status == 504
        assert failures(running) == 0
        assert running.circuits["route:ALL /"].snapshot().failure_count == 1


async def test_a_deadline_ends_an_answer_that_is_under_way():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await peer.closed()

    async with (
        scripted(script) as up,
        gateway(route("/", up.port, deadline=0.1)) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        assert (await client.read_all()).endswith(b"half")
    async with scripted(never) as up, gateway(route("/", up.port, deadline=0.05)) as running:
        assert (await ask(running, get("/"))).status == 504


async def test_silence_between_bytes_cuts_the_answer():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await peer.closed()

    async with scripted(script) as up, gateway(route("/", up.port, service=GUARDED), idle=0.05) as running:
        async with client_of(running) as client:
            await client.send(get("/"))
            assert (await client.read_all()).endswith(b"half")
        assert failures(running) == 1


async def test_a_connection_that_is_not_made_in_time_is_a_504():
    # A listener whose queue is full: the system neither accepts nor refuses.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    try:
        async with gateway(route("/", port), connect=0.1) as running:
            assert (await ask(running, get("/"))).status == 504
    finally:
        for sock in (*fillers, listener):
            sock.close()


# ---- clients


async def test_a_client_that_leaves_makes_the_gateway_drop_the_upstream_call():
    asked, dropped = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await peer.closed()
        dropped.set()

    guards = {"service": GUARDED, "circuit": circuit("route:ALL /", failure_threshold=100)}
    async with scripted(script) as up, gateway(route("/", up.port, **guards)) as running:
        async with client_of(running) as client:
            await client.send(get("/"))
            await asyncio.wait_for(asked.wait(), PATIENCE)
        await asyncio.wait_for(dropped.wait(), PATIENCE)
        assert failures(running) == 0


@pytest.mark.parametrize("raw", [b"", b"GET / HT"])
async def test_a_client_that_never_completes_its_head_is_closed(raw: bytes):
    async with gateway(route("/", 9), client_head=0.05) as running, client_of(running) as client:
        if raw:
            await client.send(raw)
            assert (await client.read_message()).status == 408
        assert await client.read_all() == b""


async def test_an_idle_client_is_closed():
    async with (
        answering(OK) as up,
        gateway(route("/", up.port), keep_alive=0.05) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        assert (await client.read_message()).body == b"ok"
        assert await client.read_all() == b""


async def test_a_client_that_stops_in_its_body_is_a_408_and_no_evidence():
    async with scripted(never) as up, gateway(route("/", up.port, service=GUARDED), idle=0.05) as running:
        async with client_of(running) as client:
            await client.send(get("/", "Content-Length: 10", method="POST") + b"x")
            assert (await client.read_message()).status == 408
            assert await client.read_all() == b""
        assert failures(running) == 0


async def test_one_connection_too_many_is_closed():
    async with (
        answering(OK) as up,
        gateway(route("/", up.port), connections=1) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        assert (await client.read_message()).body == b"ok"
        async with client_of(running) as second:
            assert await second.read_all() == b""
        await client.send(get("/"))
        assert (await client.read_message()).body == b"ok"
