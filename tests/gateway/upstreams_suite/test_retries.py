"""`retry`: which outcomes are tried again, when, how often, and what that costs a service."""

import asyncio
import socket
from dataclasses import replace

import pytest

from switchgear import CircuitState
from switchgear.gateway.config.model import Endpoint, Retry, Route, Service
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.policies import Response
from switchgear.gateway.retrying import RESERVE
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Peer,
    Upstream,
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

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
STREAMED = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n"  # and never ends
QUICK = Retry(attempts=3, backoff=0.001, max_backoff=0.002)


@pytest.mark.parametrize("bad", [BUSY, STREAMED])
@pytest.mark.parametrize("place", ["route", "service"])
async def test_a_bad_answer_is_not_the_last_word(bad: bytes, place: str):
    async def script(peer: Peer) -> None:
        while True:
            asked.append(await peer.read_head())
            await peer.send(bad if len(asked) < 3 else OK)

    asked: list[bytes] = []
    options = {"retry": QUICK} if place == "route" else {"service": {"retry": QUICK}}
    async with scripted(script) as up, gateway(route("/", up.port, **options)) as running:
        message = await ask(running, get("/"))
    assert (message.status, message.body, len(asked)) == (200, b"ok", 3)
    assert asked[0] == asked[2]


async def test_the_last_answer_goes_to_the_client_as_it_is():
    async with answering(BUSY) as up, gateway(route("/", up.port, retry=QUICK)) as running:
        message = await ask(running, get("/"))
    assert (message.status, message.body, len(up.requests)) == (503, b"busy", 3)
    assert message.get("switchgear-origin") is None


async def test_network_errors_are_tried_again():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        seen.append(1)
        if len(seen) < 3:
            peer.reset()
        else:
            await peer.send(OK)

    seen: list[int] = []
    async with scripted(script) as up, gateway(route("/", up.port, retry=QUICK)) as running:
        assert (await ask(running, get("/"))).status == 200


async def test_an_expired_attempt_is_tried_again():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        seen.append(1)
        await (peer.closed() if len(seen) == 1 else peer.send(OK))

    seen: list[int] = []
    async with (
        scripted(script) as up,
        gateway(route("/", up.port, retry=QUICK, service={"timeout": 0.05})) as running,
    ):
        assert (await ask(running, get("/"))).status == 200


async def test_each_attempt_is_evidence_for_the_service_and_none_of_them_for_the_route():
    outer, inner = circuit("outer", failure_threshold=9), circuit("inner", failure_threshold=9)
    async with (
        answering(BUSY, BUSY, OK) as up,
        gateway(route("/", up.port, circuit=outer, retry=QUICK, service={"circuit": inner})) as running,
    ):
        transitions = []
        running.circuits["inner"].on_transition(transitions.append)
        assert (await ask(running, get("/"))).status == 200
        assert running.circuits["outer"].snapshot().failure_count == 0
    assert len(up.requests) == 3


async def test_a_service_that_opens_meanwhile_is_not_asked_again():
    inner = circuit("inner", failure_threshold=2)
    many = Retry(attempts=9, backoff=0.001)
    async with (
        answering(BUSY) as up,
        gateway(route("/", up.port, retry=many, service={"circuit": inner})) as running,
    ):
        message = await ask(running, get("/"))
        assert running.circuits["inner"].state is CircuitState.OPEN
    assert (message.status, message.get("switchgear-origin")) == (503, "breaker")
    assert len(up.requests) == 2


async def test_another_endpoint_is_asked_the_next_time():
    two = Retry(attempts=2, backoff=0.001)
    async with (
        answering(BUSY) as sick,
        answering(OK) as well,
        gateway(
            route("/", sick.port, well.port, retry=two, service={"balance": "least-requests"})
        ) as running,
    ):
        for _ in range(8):
            assert (await ask(running, get("/"))).status == 200


async def test_a_body_that_went_out_is_not_sent_again():
    anything = Retry(attempts=3, methods=frozenset({"POST"}), backoff=0.001)
    async with answering(BUSY, OK) as up, gateway(route("/", up.port, retry=anything)) as running:
        assert (await ask(running, post("/", b"pay"))).status == 503
        assert (await ask(running, get("/", method="POST"))).status == 200
    assert [request.body for request in up.requests] == [b"pay", b""]


async def test_a_body_that_nobody_took_is_sent_the_next_time():
    anything = Retry(attempts=3, methods=frozenset({"POST"}), backoff=0.001)
    upstream = None

    class Restart:
        """Brings the upstream back between two attempts."""

        name, priority = "restart", 95

        async def __call__(self, request, call_next):
            nonlocal upstream
            response = await call_next(request)
            if response.failure is not None and upstream is None:
                upstream = answering_at(place)
                await upstream.__aenter__()
            return response

    place = socket.socket()  # bound, it refuses connections until somebody listens
    place.bind(("127.0.0.1", 0))
    port = place.getsockname()[1]
    async with gateway(route("/", port, retry=anything, policies=(Restart(),))) as running:
        async with client_of(running) as client:
            await client.send(get("/", "Content-Length: 6", method="POST") + b"abc")
            await client.send(b"def")
            message = await client.read_message()
        assert upstream is not None
        await upstream.__aexit__(None, None, None)
    assert (message.status, message.body) == (200, b"abcdef")


def answering_at(place: socket.socket):
    """An upstream that echoes bodies."""

    async def echo(peer: Peer) -> None:
        while True:
            body = (await peer.read_message()).body
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    return Upstream(echo).running(place)


async def test_nothing_is_tried_again_once_the_client_has_a_byte():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        seen.append(1)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        peer.reset()

    seen: list[int] = []
    async with (
        scripted(script) as up,
        gateway(route("/", up.port, retry=QUICK)) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        assert (await client.read_all()).startswith(b"HTTP/1.1 200")
    assert len(seen) == 1


async def test_the_timeout_of_all_attempts_ends_the_waiting():
    slow = Retry(attempts=9, backoff=60.0, max_backoff=60.0)
    async with answering(BUSY) as up, gateway(route("/", up.port, retry=slow, timeout=0.1)) as running:
        message = await ask(running, get("/"))
    assert (message.status, message.get("switchgear-origin")) == (504, "timeout")


async def test_the_budget_bounds_what_a_dead_service_gets():
    meagre = Retry(attempts=5, backoff=0.0001, max_backoff=0.0001, budget=0.1)
    async with (
        answering(BUSY) as up,
        gateway(route("/a", up.port, retry=meagre), route("/b", up.port, retry=meagre)) as running,
        client_of(running) as client,
    ):
        for path in ("/a", "/b") * 50:
            await client.send(get(path))
            assert (await client.read_message()).status == 503
    assert 100 + RESERVE <= len(up.requests) <= 100 + 100 * 0.1 + RESERVE


async def test_a_policy_inside_sees_each_attempt_and_its_own_answer_is_final():
    seen: list[int] = []

    class Inside:
        name, priority = "inside", 95

        async def __call__(self, request, call_next):
            response = await call_next(request)
            seen.append(response.status)
            return response if len(seen) < 2 else Response(503, [], b"mine")

    async with (
        answering(BUSY) as up,
        gateway(route("/", up.port, retry=QUICK, policies=(Inside(),))) as running,
    ):
        message = await ask(running, get("/"))
    assert (message.body, seen) == (b"mine", [503, 503])


async def test_a_whole_exchange_after_a_retry_streams_as_ever():
    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            seen.append(1)
            if len(seen) == 1:
                await peer.send(STREAMED)
                await peer.closed()
                return
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await peer.send(b"3\r\ndef\r\n0\r\nX-Sum: 6\r\n\r\n")

    seen: list[int] = []
    async with scripted(script) as up, gateway(route("/", up.port, retry=QUICK)) as running:
        message = await ask(running, get("/"))
    assert (message.body, message.trailers) == (b"abcdef", [b"X-Sum: 6\r\n"])


async def test_the_rest_of_a_bad_answer_is_dropped():
    dropped = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        if up.connections == 2:
            await peer.send(OK)
        else:
            await peer.send(STREAMED)
            await peer.closed()
            dropped.set()

    async with (
        scripted(script) as up,
        gateway(route("/", up.port, retry=QUICK)) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        assert (await client.read_message()).status == 200
        await asyncio.wait_for(dropped.wait(), PATIENCE)


async def test_a_failure_after_a_bad_answer_is_told():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        if up.connections == 1:
            await peer.send(STREAMED)
            await peer.closed()
        else:
            peer.reset()

    async with scripted(script) as up, gateway(route("/", up.port, retry=QUICK)) as running:
        assert (await ask(running, get("/"))).status == 502
    assert up.connections == 3


async def test_parts_of_a_merged_route_are_tried_again_each_by_itself():
    good = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
    async with answering(BUSY, good) as a, answering(good.replace(b'"a"', b'"b"')) as b:
        guard = circuit("a", failure_threshold=9)
        first = Service("a", (Endpoint("http", "127.0.0.1", a.port),), circuit=guard)
        second = replace(first, name="b", endpoints=(Endpoint("http", "127.0.0.1", b.port),), circuit=None)
        merged = Route(parse_path("/"), "GET", (first, second), retry=QUICK)
        async with gateway(merged) as running:
            message = await ask(running, get("/"))
    assert message.body == b'{"a":1,"b":1}'
    assert (len(a.requests), len(b.requests)) == (2, 1)


async def test_a_part_is_tried_as_often_as_allowed():
    async with answering(BUSY) as up:
        endpoint = Endpoint("http", "127.0.0.1", up.port)
        only = Service("a", (endpoint,), merge_field="a", retry=QUICK)
        async with gateway(Route(parse_path("/"), "GET", (only,))) as running:
            assert (await ask(running, get("/"))).status == 503
    assert len(up.requests) == 3
