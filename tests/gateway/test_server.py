"""Start, address, drain and close of a gateway; the access log."""

import asyncio
import json
import threading

import pytest

from switchgear.gateway.access_log import AccessLog
from switchgear.gateway.config.model import Address, GatewayConfig
from switchgear.gateway.server import Gateway
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
    route,
    scripted,
)

pytestmark = pytest.mark.anyio


async def test_a_drain_answers_what_is_under_way_and_takes_nothing_new():
    asked, answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        asked.set()
        await answer.wait()
        await peer.send(OK)

    async with (
        scripted(script) as up,
        gateway(route("/", up.port)) as running,
        client_of(running) as idle,
        client_of(running) as busy,
    ):
        port = running.address.port
        await busy.send(get("/"))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        drain = asyncio.create_task(running.drain())
        assert await idle.read_all() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        answer.set()
        message = await busy.read_message()
        assert (message.body, message.get("connection")) == (b"ok", "close")
        busy.close()
        await asyncio.wait_for(drain, PATIENCE)


async def test_a_drain_does_not_wait_forever():
    async def script(peer: Peer) -> None:
        await peer.closed()

    async with (
        scripted(script) as up,
        gateway(route("/", up.port), drain=0.05) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        await asyncio.wait_for(running.drain(), PATIENCE)
        await running.close()
        assert await client.read_all() == b""


async def test_an_address_in_use_is_an_os_error():
    async with answering(OK) as up:
        taken = Gateway(GatewayConfig(routes=(route("/", up.port),), listen=Address("127.0.0.1", up.port)))
        with pytest.raises(OSError, match="in use"):
            await taken.start()
        await taken.close()
        await taken.close()


async def test_the_access_log_has_a_line_a_request(tmp_path):
    path = tmp_path / "access.log"
    guard = circuit("c", failure_threshold=1)
    broken = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
    async with answering(OK, broken) as up:
        async with gateway(
            route("/x/{id}", up.port, service={"circuit": guard}), access=str(path)
        ) as running:
            await ask(running, get('/x/"quoted"?token=secret'))
            await ask(running, post("/x/1", b"body"))
            await ask(running, get("/x/1"))
            await ask(running, get("/none"))
            await ask(running, b"GARBAGE\r\n\r\n")
            async with client_of(running) as client:
                await client.send(get("/x/1"))
                rejected = await client.read_message()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert rejected.status == 503
    first = lines[0]
    assert first.pop("time").endswith("Z")
    assert first.pop("duration_ms") > 0
    assert first.pop("upstream_ms") > 0
    assert first.pop("upstream_status") == 200
    own = f"X-Request-Id: {first.pop('request_id')}\r\n"
    assert first == {
        "http.request.method": "GET",
        "url.path": '/x/"quoted"',
        "http.response.status_code": 200,
        "bytes_out": len(OK) + len(own),
        "origin": "upstream",
        "client.address": "127.0.0.1",
        "http.route": "/x/{id}",
        "service": "up",
        "circuit": "c",
        "circuit_state": "closed",
        "attempts": 1,
    }
    assert [lines[1][name] for name in ("attempts", "bytes_in", "circuit")] == [1, 4, "c"]
    rejection = lines[2]
    assert (rejection["circuit_state"], "attempts" in rejection) == ("open", True)
    told = [(line["http.response.status_code"], line["origin"]) for line in lines[1:]]
    assert told == [(500, "upstream"), (503, "breaker"), (404, "error"), (400, "error"), (503, "breaker")]


class SlowStream:
    """A stream that takes nothing until it is let."""

    def __init__(self) -> None:
        self.let, self.written = threading.Event(), b""

    def write(self, data: bytes) -> None:
        self.let.wait(PATIENCE)
        self.written += data

    def flush(self) -> None: ...

    def close(self) -> None: ...


async def test_a_log_that_can_not_be_written_loses_lines_and_says_so(monkeypatch):
    monkeypatch.setattr("switchgear.gateway.access_log.MAX_WAITING", 1000)
    stream = SlowStream()
    log = AccessLog(lambda: stream, lambda: 0.5)  # type: ignore[arg-type]
    for _ in range(100):
        log.add(b'{"url.path":"/a/path/of/usual/length"}\n', 1)
    stream.let.set()
    await log.close()
    lines = [json.loads(line) for line in stream.written.decode().splitlines()]
    assert lines[-1]["time"] == "1970-01-01T00:00:00.500Z"
    assert lines[-1]["msg"] == "lines lost"
    assert lines[-1]["lines"] + len(lines) - 1 == 100


async def test_requests_under_way_are_bounded_and_the_rest_wait_in_line():
    asked, answer = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        while True:
            seen.append((await peer.read_message()).start)
            asked.release()
            await answer.acquire()
            await peer.send(OK)

    seen: list[str] = []
    guard = circuit("c", failure_threshold=1)
    async with (
        scripted(script) as up,
        gateway(route("/{n}", up.port, service={"circuit": guard}), in_flight=1, queue=2) as running,
        client_of(running) as one,
        client_of(running) as two,
        client_of(running) as three,
    ):
        await one.send(get("/1"))
        await asyncio.wait_for(asked.acquire(), PATIENCE)
        await line_up(two, post("/2", b"body"))
        async with client_of(running) as leaver:
            await line_up(leaver, get("/left"))
            await three.send(get("/refused"))
            refused = await three.read_message()
        assert (refused.status, refused.get("switchgear-origin")) == (503, "limit")
        assert refused.get("retry-after") == "1"
        for client in (one, two):
            answer.release()
            assert (await client.read_message()).body == b"ok"
        answer.release()
        await three.send(get("/3"))
        assert (await three.read_message()).body == b"ok"
        assert running.circuits["c"].snapshot().failure_count == 0
    assert [start.split(" ")[1] for start in seen] == ["/1", "/2", "/3"]


async def line_up(client: Peer, raw: bytes) -> None:
    """Sends a request behind one that is answered at once: with its answer, both have been read."""
    await client.send(get("/no/route") + raw)
    assert (await client.read_message()).status == 404
