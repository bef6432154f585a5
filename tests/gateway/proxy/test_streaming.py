"""Large bodies: flat memory both ways, and backpressure from end to end."""

import asyncio

import pytest

from tests.gateway.upstreams import PATIENCE, Peer, client_of, gateway, get, route, scripted

pytestmark = pytest.mark.anyio

PIECE = b"x" * 65536
HUGE = 1 << 40  # bytes: no test waits for its end


async def endless(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE)
    while True:
        peer.writer.write(PIECE)
        await peer.writer.drain()


async def held_back(sent: list[int]) -> int:
    """Waits until nothing moves any more, and returns how many bytes had been sent by then."""
    async with asyncio.timeout(PATIENCE):
        last = -1
        while last != sent[0]:
            last = sent[0]
            await asyncio.sleep(0.2)
    return last


async def test_a_client_that_does_not_read_holds_back_the_upstream():
    sent = [0]

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE)
        while True:
            peer.writer.write(PIECE)
            await peer.writer.drain()
            sent[0] += len(PIECE)

    # The time between bytes is short on purpose: it must not run while we are the ones who hold back.
    async with (
        scripted(script) as up,
        gateway(route("/", up.port), idle=0.1) as running,
        client_of(running) as client,
    ):
        client.writer.transport.pause_reading()
        await client.send(get("/"))
        held = await held_back(sent)
        assert held < 32 << 20  # what the sockets' own buffers take
        client.writer.transport.resume_reading()
        await client.read_head()
        for _ in range(held // len(PIECE) + 100):  # and it goes on when the client reads
            assert await client.read(len(PIECE)) == PIECE


async def test_a_client_that_only_asks_is_answered_no_more_than_it_reads():
    asked, sent = (128 << 20) // len(PIECE), [0]
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PIECE) + PIECE

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_message()
            await peer.send(answer)
            sent[0] += 1

    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        client.writer.transport.pause_reading()
        asking = asyncio.create_task(client.send(get("/") * asked))
        held = await held_back(sent)
        assert held * len(answer) < 32 << 20
        client.writer.transport.resume_reading()
        for _ in range(asked):
            assert (await client.read_message()).body == PIECE
        await asking


async def test_an_upstream_that_does_not_read_holds_back_the_client():
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await go_on.wait()
        peer.writer.transport.resume_reading()
        await peer.read_head()
        while True:
            await peer.read(len(PIECE))
            taken.release()

    go_on, taken = asyncio.Event(), asyncio.Semaphore(0)
    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        await client.send(get("/", f"Content-Length: {HUGE}", method="POST"))
        sent = [0]

        async def upload() -> None:
            while True:
                client.writer.write(PIECE)
                await client.writer.drain()
                sent[0] += len(PIECE)

        task = asyncio.create_task(upload())
        held = await held_back(sent)
        assert held < 32 << 20
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            for _ in range(held // len(PIECE) + 100):
                await taken.acquire()
        task.cancel()


async def test_a_client_that_leaves_in_the_middle_of_an_answer_ends_the_upstreams():
    dropped = asyncio.Event()

    async def script(peer: Peer) -> None:
        try:
            await endless(peer)
        finally:
            dropped.set()

    async with scripted(script) as up, gateway(route("/", up.port)) as running:
        async with client_of(running) as client:
            await client.send(get("/"))
            await client.read_head()
            await client.read(1 << 20)
        await asyncio.wait_for(dropped.wait(), PATIENCE)
