"""Requests with a body: lengths and chunks, expectations, early answers."""

import asyncio

import pytest

from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Message,
    Peer,
    answering,
    ask,
    client_of,
    gateway,
    get,
    post,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("pieces", [1, 5, 400])
async def test_a_body_arrives_as_it_was_sent(pieces: int):
    body = bytes(range(256)) * 40
    raw = post("/", body)
    async with answering(OK) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        size = len(raw) // pieces + 1
        for at in range(0, len(raw), size):
            await client.send(raw[at : at + size])
        assert (await client.read_message()).body == b"ok"
    assert up.requests[0].body == body
    assert up.requests[0].get("content-length") == str(len(body))


async def test_a_chunked_body_stays_chunked_with_its_trailers():
    raw = get("/", "Transfer-Encoding: chunked", method="POST")
    async with answering(OK) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for piece in (raw, b"3;x\r\na", b"bc\r", b"\n2\r\nde\r\n0\r", b"\nX-Sum: 5\r\n", b"\r\n"):
            await client.send(piece)
        assert (await client.read_message()).body == b"ok"
    request = up.requests[0]
    assert (request.body, request.trailers) == (b"abcde", [b"X-Sum: 5\r\n"])
    assert request.get("content-length") is None


async def test_an_empty_body_keeps_its_length():
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        await ask(running, post("/", b""))
        await ask(running, get("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n")
    assert up.requests[0].get("content-length") == "0"
    assert up.requests[1].body == b""


async def test_100_continue_is_answered_here_and_not_forwarded():
    async with answering(OK) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/", "Expect: 100-continue", "Content-Length: 3", method="PUT"))
        assert Message.parse(await client.read_head()).status == 100
        await client.send(b"abc")
        assert (await client.read_message()).body == b"ok"
        await client.send(get("/"))
        assert (await client.read_message()).body == b"ok"
    assert up.requests[0].get("expect") is None
    assert up.requests[0].body == b"abc"


async def test_a_request_that_is_not_admitted_gets_no_100():
    async with gateway(route("/", 9)) as running, client_of(running) as client:
        await client.send(get("/none", "Expect: 100-continue", "Content-Length: 3", method="PUT"))
        assert (await client.read_message()).status == 404
        assert await client.read_all() == b""  # whether the body comes is anybody's guess


async def test_an_answer_before_the_body_is_complete_arrives():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/", "Content-Length: 1000000", method="POST") + b"x" * 1000)
        message = await client.read_message()
        assert (message.status, message.body, message.get("connection")) == (413, b"no", "close")
        assert await client.read_all() == b""


async def test_request_and_answer_may_flow_at_the_same_time():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await peer.read_until(b"\r\n"), 16):
            data = await peer.read(size + 2)
            await peer.send(b"%x\r\n%b" % (size, data))
        await peer.read_until(b"\r\n")
        await peer.send(b"0\r\n\r\n")

    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        await client.read_head()
        for word in (b"one", b"two", b"three"):
            await client.send(b"%x\r\n%b\r\n" % (len(word), word))
            assert await client.read_until(b"\r\n") == b"%x\r\n" % len(word)
            assert await client.read(len(word) + 2) == word + b"\r\n"
        await client.send(b"0\r\n\r\n")
        assert await client.read_until(b"\r\n\r\n") == b"0\r\n\r\n"


async def test_a_client_that_leaves_during_its_upload_takes_the_upstream_call_along():
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.closed()
        gone.set()

    async with scripted(script) as up, gateway(route("/", up.port)) as running:
        async with client_of(running) as client:
            await client.send(get("/", "Content-Length: 1000", method="POST") + b"x" * 10)
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
