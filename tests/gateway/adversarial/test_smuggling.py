"""Every published way to smuggle a request: refused, and nothing of it reaches the upstream."""

import pytest

from tests.gateway.adversarial.recorder import recording
from tests.gateway.adversarial.techniques import CHUNKS_IN_DOUBT, SMUGGLED, chunks, refused_heads
from tests.gateway.upstreams import client_of, gateway, get, route

pytestmark = pytest.mark.anyio

HEADS = refused_heads()


def test_the_table_is_as_long_as_it_claims():
    assert len(HEADS) + len(CHUNKS_IN_DOUBT) >= 120


@pytest.mark.parametrize("case", HEADS)
async def test_a_head_in_doubt_is_refused(case: str):
    async with recording() as upstream, gateway(route("/{rest:path}", upstream.port)) as running:
        async with client_of(running) as client:
            await client.send(HEADS[case] + SMUGGLED)
            answer = await client.read_message()
            assert answer.status in {400, 417, 501, 505}
            assert answer.get("connection") == "close"
            assert await client.read_all() == b""
        assert upstream.connections == 0


@pytest.mark.parametrize("case", CHUNKS_IN_DOUBT)
async def test_a_body_in_doubt_never_becomes_a_whole_request(case: str):
    async with recording() as upstream, gateway(route("/{rest:path}", upstream.port)) as running:
        async with client_of(running) as client:
            await client.send(chunks(CHUNKS_IN_DOUBT[case]) + SMUGGLED)
            answer = await client.read_message()
            assert (answer.status, answer.get("connection")) == (400, "close")
            assert await client.read_all() == b""
        assert upstream.recorded == []


@pytest.mark.parametrize(
    "case", ["CL.TE", "TE: folded before the value", "Host: two Hosts", "line: fragment"]
)
async def test_a_refusal_does_not_hurt_what_was_pipelined_before(case: str):
    async with recording() as upstream, gateway(route("/{rest:path}", upstream.port)) as running:
        async with client_of(running) as client:
            await client.send(get("/first") + HEADS[case] + SMUGGLED)
            assert (await client.read_message()).body == b"ok"
            assert (await client.read_message()).status == 400
            assert await client.read_all() == b""
        assert [request.start for request in upstream.recorded] == [b"GET /first HTTP/1.1"]


@pytest.mark.parametrize("case", sorted(HEADS)[::6])
async def test_a_refusal_does_not_depend_on_the_pieces_it_comes_in(case: str):
    async with recording() as upstream, gateway(route("/{rest:path}", upstream.port)) as running:
        async with client_of(running) as client:
            for byte in HEADS[case]:
                client.writer.write(bytes((byte,)))
            await client.send(SMUGGLED)
            answer = await client.read_message()
            assert answer.status in {400, 417, 501, 505}
            assert await client.read_all() == b""
        assert upstream.connections == 0
