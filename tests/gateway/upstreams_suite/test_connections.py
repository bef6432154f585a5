"""What a connection is like when its next request takes it."""

import asyncio

import pytest

from switchgear.gateway.upstream.connection import UpstreamConnection
from switchgear.gateway.upstream.pool import Pool
from switchgear.gateway.upstream.resolver import Resolver
from tests.gateway.upstreams import PATIENCE, Peer, get, scripted

pytestmark = pytest.mark.anyio

IN_PIECES = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


async def answers(peer: Peer) -> None:
    while True:
        await peer.read_message()
        await peer.send(IN_PIECES)


class FullClient:
    """Takes an answer for a client that has had enough: what it does with each piece is `at_content`."""

    def __init__(self, connection: UpstreamConnection, at_content) -> None:
        self._connection = connection
        self._at_content = at_content
        self.content_seen, self.finished_seen = asyncio.Event(), asyncio.Event()

    async def ask(self) -> None:
        self._connection.send(self, get(), to_head=False, complete=True)
        await asyncio.wait_for(self.content_seen.wait(), PATIENCE)

    def head(self, head) -> None: ...

    def content(self, data: bytes) -> None:
        self._at_content(self._connection)
        self.content_seen.set()

    def finished(self, trailers: bytes) -> None:
        self.finished_seen.set()


@pytest.fixture
async def pool():
    async with scripted(answers) as up:
        pool = Pool("127.0.0.1", up.port, None, PATIENCE, Resolver(asyncio.get_running_loop()))
        yield pool
        await pool.close()
        await asyncio.sleep(0)


class Waiting:
    def __init__(self) -> None:
        self.connected_with = asyncio.get_running_loop().create_future()

    def connected(self, connection: UpstreamConnection) -> None:
        self.connected_with.set_result(connection)


async def connection_of(pool: Pool) -> UpstreamConnection:
    waiting = Waiting()
    pool.connect(waiting)
    return await asyncio.wait_for(waiting.connected_with, PATIENCE)


async def test_a_client_that_is_full_at_the_last_piece_holds_up_nobody_after_it(pool: Pool):
    await FullClient(await connection_of(pool), UpstreamConnection.pause).ask()
    again = pool.take()
    assert again is not None
    await FullClient(again, UpstreamConnection.pause).ask()  # it was paused for ever: a timeout, and a 504


async def test_a_client_that_leaves_at_the_last_piece_leaves_no_connection_that_is_closed(pool: Pool):
    leaving = FullClient(await connection_of(pool), UpstreamConnection.abort)
    await leaving.ask()
    assert pool.take() is None
    assert not leaving.finished_seen.is_set()
