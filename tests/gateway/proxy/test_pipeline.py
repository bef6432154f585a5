"""Policies of a route: their order, users' own ones, and what they may do to a request."""

import asyncio
from dataclasses import replace

import pytest

from switchgear.gateway.config.model import Endpoint, Route, Service
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.pipeline import in_order
from switchgear.gateway.policies import Response
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


class Mark:
    """Writes down when a request passes it on its way in and out."""

    def __init__(self, name: str, priority: int, seen: list[str]) -> None:
        self.name, self.priority, self.seen = name, priority, seen

    async def __call__(self, request, call_next):
        self.seen.append(f"{self.name} in")
        response = await call_next(request)
        self.seen.append(f"{self.name} out {response.status}")
        return response


class Custom:
    name, priority = "custom", 50

    def __init__(self, run) -> None:
        self.run = run

    async def __call__(self, request, call_next):
        return await self.run(request, call_next)


async def test_lower_priorities_are_outside_and_equal_ones_as_declared():
    seen: list[str] = []
    marks = tuple(
        Mark(name, priority, seen) for name, priority in (("c", 90), ("a", 10), ("b1", 50), ("b2", 50))
    )
    async with answering(OK) as up, gateway(route("/", up.port, policies=marks)) as running:
        assert (await ask(running, get("/"))).body == b"ok"
    way_in = ["a in", "b1 in", "b2 in", "c in"]
    assert seen == way_in + [mark.replace("in", "out 200") for mark in reversed(way_in)]


class Named:
    def __init__(self, name: str, priority: int) -> None:
        self.name, self.priority = name, priority


def test_one_policy_twice_is_an_error():
    with pytest.raises(ValueError, match="GET /x: policy 'a' is there twice"):
        in_order([Named("a", 1), Named("b", 1), Named("a", 2)], "GET /x")


async def test_what_is_no_policy_is_an_error():
    with pytest.raises(ValueError, match=r"ALL /: 'x' is no policy: it needs name, priority"):
        async with gateway(route("/", 9, policies=("x",))):
            pass


async def test_a_policy_may_answer_by_itself_and_that_is_no_evidence():
    async def refuse(request, call_next):
        return Response(500, [(b"x-own", b"yes")], b"no")

    guard = circuit("c", failure_threshold=1)
    async with (
        answering(OK) as up,
        gateway(route("/", up.port, circuit=guard, policies=(Custom(refuse),))) as running,
    ):
        for _ in range(2):
            message = await ask(running, get("/"))
            assert (message.status, message.get("x-own"), message.body) == (500, "yes", b"no")
        assert running.circuits["c"].snapshot().failure_count == 0
    assert up.connections == 0


@pytest.mark.parametrize(
    "wire",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
    ],
)
async def test_a_policy_may_change_request_and_answer(wire: bytes):
    async def change(request, call_next):
        request = replace(request, target=b"/other?q", headers=[*request.headers, (b"x-in", b"1")])
        response = await call_next(request)
        response.headers.append((b"x-out", b"2"))
        response.status = 201
        return response

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.read_message())
            await peer.send(wire)
            if b"close" in wire:
                return

    seen: list = []
    async with (
        scripted(script) as up,
        gateway(route("/{rest:path}", up.port, policies=(Custom(change),))) as running,
        client_of(running) as client,
    ):
        for raw in (get("/"), post("/", b"body")):
            await client.send(raw)
            message = await client.read_message()
            assert (message.status, message.get("x-out"), message.body) == (201, "2", b"ok")
    assert [request.start for request in seen] == ["GET /other?q HTTP/1.1", "POST /other?q HTTP/1.1"]
    assert [request.get("x-in") for request in seen] == ["1", "1"]
    assert seen[1].body == b"body"


async def test_a_policy_may_replace_an_answer_that_streams():
    dropped = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")
        await peer.closed()
        dropped.set()

    async def replaced(request, call_next):
        await call_next(request)
        return Response(200, [], b"mine")

    async with (
        scripted(script) as up,
        gateway(route("/", up.port, policies=(Custom(replaced),))) as running,
        client_of(running) as client,
    ):
        for _ in range(2):
            await client.send(get("/"))
            assert (await client.read_message()).body == b"mine"
        await asyncio.wait_for(dropped.wait(), PATIENCE)


async def test_a_policy_that_raises_is_a_500_and_logged(caplog):
    async def broken(request, call_next):
        raise RuntimeError("secret")

    async with (
        answering(OK) as up,
        gateway(route("/", up.port, policies=(Custom(broken),))) as running,
    ):
        message = await ask(running, get("/"))
    assert (message.status, message.get("switchgear-origin")) == (500, "error")
    assert b"secret" not in message.body
    assert "policy 'custom' failed" in caplog.text


async def test_a_policy_sees_failures_as_answers():
    async def look(request, call_next):
        response = await call_next(request)
        response.headers.append((b"x-kind", response.failure.kind.encode()))
        return response

    guard = circuit("c", failure_threshold=9)
    async with gateway(route("/", 1, circuit=guard, policies=(Custom(look),))) as running:
        message = await ask(running, get("/"))
        assert (message.status, message.get("x-kind")) == (502, "connect")
        assert running.circuits["c"].snapshot().failure_count == 1


async def test_a_client_that_leaves_cancels_the_policy():
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request, call_next):
        waiting.set()
        try:
            return await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with gateway(route("/", 9, policies=(Custom(wait),))) as running:
        async with client_of(running) as client:
            await client.send(get("/"))
            await asyncio.wait_for(waiting.wait(), PATIENCE)
        await asyncio.wait_for(cancelled.wait(), PATIENCE)


# ---- merged routes


def merged(*ports: int, **options) -> Route:
    services = tuple(
        Service(name, (Endpoint("http", "127.0.0.1", port),), circuit=options.get("circuit"))
        for name, port in zip("ab", ports, strict=False)
    )
    return Route(parse_path("/"), "ALL", services)


def json_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


async def test_two_services_are_merged():
    async with (
        answering(json_answer(b'{"x":1.10}')) as one,
        answering(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"y":2}\r\n0\r\n\r\n') as two,
        gateway(merged(one.port, two.port)) as running,
        client_of(running) as client,
    ):
        for raw in (
            get("/"),
            post("/", b"body"),
            get("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
        ):
            await client.send(raw)
            message = await client.read_message()
            assert (message.status, message.body) == (200, b'{"x":1.10,"y":2}')
    for upstream in (one, two):
        assert [request.body for request in upstream.requests] == [b"", b"body", b""]
        assert upstream.requests[0].get("accept-encoding") == "identity"
        assert upstream.requests[0].get("host") == f"127.0.0.1:{upstream.port}"


async def test_a_body_that_came_while_a_policy_was_at_work_is_not_lost():
    async def wait(request, call_next):
        await asyncio.sleep(0)
        return await call_next(request)

    async with (
        answering(json_answer(b"{}")) as one,
        answering(json_answer(b"{}")) as two,
        gateway(replace(merged(one.port, two.port), policies=(Custom(wait),))) as running,
        client_of(running) as client,
    ):
        await client.send(post("/", b"body"))
        assert (await client.read_message()).body == b"{}"
        await client.send(get("/", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
        assert (await client.read_head()).startswith(b"HTTP/1.1 100 ")
        await client.send(b"more")
        assert (await client.read_message()).body == b"{}"
    assert [request.body for request in one.requests] == [b"body", b"more"]


async def test_a_part_and_a_request_to_be_buffered_have_bounds():
    async with (
        answering(json_answer(b'{"x":"%b"}' % (b"y" * 2000))) as one,
        answering(json_answer(b"{}")) as two,
        gateway(merged(one.port, two.port), buffered_part=1000, buffered_request=1000) as running,
    ):
        assert (await ask(running, get("/"))).status == 502
        assert (await ask(running, post("/", b"x" * 2000))).status == 413
        chunked = get("/", "Transfer-Encoding: chunked", method="POST") + b"7d0\r\n" + b"x" * 2000 + b"\r\n"
        assert (await ask(running, chunked)).status == 413
        expecting = get("/", "Expect: 100-continue", "Content-Length: 2000", method="POST")
        assert (await ask(running, expecting)).status == 413


async def test_a_client_that_leaves_a_merged_route_cancels_all_calls():
    asked, dropped = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        asked.release()
        await peer.closed()
        dropped.release()

    async with (
        scripted(script) as one,
        scripted(script) as two,
        gateway(merged(one.port, two.port)) as running,
    ):
        async with client_of(running) as client:
            await client.send(get("/"))
            for _ in range(2):
                await asyncio.wait_for(asked.acquire(), PATIENCE)
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                await dropped.acquire()


async def test_a_parts_circuit_counts_a_body_that_is_cut():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    guard = circuit("c", failure_threshold=100)
    async with (
        scripted(script) as one,
        answering(json_answer(b"{}")) as two,
        gateway(merged(one.port, two.port, circuit=guard)) as running,
    ):
        assert (await ask(running, get("/"))).status == 502
        snapshot = running.circuits["c"].snapshot()
        assert snapshot.last_failure is not None
