"""`headers`: fields that are set and removed, on requests to services and on answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from switchgear.gateway.config.model import Endpoint, HeaderRules, Headers, Route, Service
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.policies import Response
from switchgear.gateway.proxy import Exchange
from switchgear.gateway.ruled import RuledExchange
from switchgear.gateway.upstream.endpoint import RuledEndpoint, UpstreamEndpoint
from tests.gateway.upstreams import (
    OK,
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

WHOLE = b"HTTP/1.1 200 OK\r\nServer: old\r\nX-Keep: a\r\nX-Set: b\r\nx-set: c\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nserver: old\r\nX-Keep: a\r\nX-Set: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n"
)
ON_ANSWERS = Headers(response=HeaderRules((("X-Set", "mine"),), ("SERVER",)))
ON_REQUESTS = Headers(request=HeaderRules((("X-Set", "mine"),), ("Cookie", "X-Forwarded-For")))


def told(message) -> tuple:
    return message.get_all("x-set"), message.get_all("server")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("answer", [WHOLE, CHUNKED], ids=["whole", "chunked"])
async def test_an_answer_gets_the_fields_of_its_route(answer: bytes, method: str):
    async def script(peer: Peer) -> None:
        await peer.read_message()
        await peer.send(answer if method == "GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")

    async with scripted(script) as up, gateway(route("/", up.port, headers=ON_ANSWERS)) as running:
        message = await ask(running, get("/", method=method))
    assert told(message) == (["mine"], [])
    assert message.get_all("x-keep") == ["a"]
    assert (message.start, message.body) == ("HTTP/1.1 200 OK", b"ok" if method == "GET" else b"")


@pytest.mark.parametrize("raw", [get("/", "Cookie: a=b", "x-SET: b"), post("/", b"body", "Cookie: a=b")])
async def test_a_request_gets_the_fields_of_its_route(raw: bytes):
    async with answering(OK) as up, gateway(route("/", up.port, headers=ON_REQUESTS)) as running:
        await ask(running, raw)
    (seen,) = up.requests
    assert seen.get_all("x-set") == ["mine"]
    assert seen.get_all("cookie") == seen.get_all("x-forwarded-for") == []
    assert seen.get_all("x-forwarded-host") == ["gateway"]
    assert seen.body == raw.partition(b"\r\n\r\n")[2]


async def test_fields_that_a_rule_only_begins_like_stay():
    rules = Headers(HeaderRules(remove=("X-A",)), HeaderRules(remove=("X-Kee",)))
    async with answering(WHOLE) as up, gateway(route("/", up.port, headers=rules)) as running:
        message = await ask(running, get("/", "X-A-B: 1", "X-AB: 2", "Y: X-A: 3"))
    assert [up.requests[0].get(name) for name in ("x-a-b", "x-ab", "y")] == ["1", "2", "X-A: 3"]
    assert message.get_all("x-keep") == ["a"]


async def test_a_services_rules_are_for_its_own_requests_and_answers():
    own = Headers(HeaderRules((("X-Set", "service"),)), HeaderRules((("X-Set", "service"),), ("X-Keep",)))
    outer = Headers(HeaderRules((("x-set", "route"), ("X-Route", "1"))))
    guard = circuit(failure_threshold=1)
    service = {"headers": own, "circuit": guard}
    async with (
        answering(WHOLE, b"HTTP/1.1 500 Oops\r\nX-Set: b\r\nContent-Length: 0\r\n\r\n") as up,
        gateway(route("/", up.port, service=service, headers=outer)) as running,
    ):
        good, bad, rejected = [await ask(running, get("/")) for _ in range(3)]
    assert [request.get_all("x-set") for request in up.requests] == [["service"]] * 2
    assert up.requests[0].get_all("x-route") == ["1"]
    assert (told(good), good.get("x-keep")) == ((["service"], ["old"]), None)
    assert (bad.status, bad.get_all("x-set")) == (500, ["service"])
    assert (rejected.status, rejected.get_all("x-set")) == (503, [])  # no answer of the service


async def test_what_the_gateway_answers_on_the_route_has_them_too():
    async with answering(b"") as silent:
        routes = (
            route("/open", 1, headers=ON_ANSWERS, circuit=circuit("c", failure_threshold=1)),
            route("/late", silent.port, headers=ON_ANSWERS, deadline=0.6),
        )
        async with gateway(*routes, in_flight=1) as running:
            failed, rejected = [await ask(running, get("/open")) for _ in range(2)]
            async with client_of(running) as first:
                await first.send(get("/late"))
                while not silent.requests:  # noqa: ASYNC110 - the upstream sets no event
                    await asyncio.sleep(0.001)
                full = await ask(running, get("/late"))
                late = await first.read_message()
            none = await ask(running, get("/none"))
    answers = [failed, rejected, full, late]
    assert [(message.status, message.get_all("x-set")) for message in answers] == [
        (502, ["mine"]),
        (503, ["mine"]),
        (503, ["mine"]),
        (504, ["mine"]),
    ]
    assert [message.get("switchgear-origin") for message in answers] == [
        "error",
        "breaker",
        "limit",
        "timeout",
    ]
    assert (none.status, none.get_all("x-set")) == (404, [])  # no route


async def test_a_merged_route_has_those_of_its_parts_and_its_own():
    def service(name: str, port: int, rules: Headers) -> Service:
        return Service(name, (Endpoint("http", "127.0.0.1", port),), headers=rules)

    part = b'HTTP/1.1 200 OK\r\nX-Part: p\r\nServer: old\r\nContent-Length: 7\r\n\r\n{"a":1}'
    async with answering(part) as one, answering(part) as two:
        services = (
            service(
                "one", one.port, Headers(HeaderRules((("X-For", "one"),)), HeaderRules(remove=("x-part",)))
            ),
            service("two", two.port, Headers(response=HeaderRules((("X-Two", "2"),)))),
        )
        merged = Route(parse_path("/"), "GET", services, headers=ON_ANSWERS.within(ON_REQUESTS))
        async with gateway(merged) as running:
            message = await ask(running, get("/", "Cookie: a=b"))
    assert json.loads(message.body) == {"a": 1}
    assert (told(message), message.get_all("x-two")) == ((["mine"], []), ["2"])
    assert message.get_all("x-part") == ["p"]  # the second part's
    seen = [up.requests[0] for up in (one, two)]
    assert [(request.get("x-set"), request.get("cookie")) for request in seen] == [("mine", None)] * 2
    assert [request.get("x-for") for request in seen] == ["one", None]


async def test_an_id_can_be_kept_from_the_client():
    rules = Headers(response=HeaderRules(remove=("X-Request-Id",)))
    async with answering(OK, CHUNKED) as up, gateway(route("/", up.port, headers=rules)) as running:
        answers = [await ask(running, get("/")) for _ in range(2)]
    assert [message.get_all("x-request-id") for message in answers] == [[], []]
    assert len(up.requests[0].get_all("x-request-id")) == 1


async def test_an_answer_that_a_policy_made_has_them():
    class Made:
        name, priority = "made", 50

        async def __call__(self, request, call_next):
            inner = await call_next(request)
            assert dict(inner.headers)[b"x-set"] == b"c"  # rules of the route are outside of policies
            return Response(201, [(b"x-set", b"policy"), (b"server", b"policy")], b"made")

    async with answering(WHOLE) as up:
        made = route("/", up.port, headers=ON_ANSWERS, policies=(Made(),))
        async with gateway(made) as running:
            message = await ask(running, get("/"))
    assert (message.status, message.body, told(message)) == (201, b"made", (["mine"], []))


async def test_an_upgrade_has_them():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(
            b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nServer: old\r\n\r\nhi"
        )
        await peer.closed()

    upgrade = ("Connection: upgrade", "Upgrade: websocket")
    async with (
        scripted(script) as up,
        gateway(route("/", up.port, headers=ON_ANSWERS)) as running,
        client_of(running) as client,
    ):
        await client.send(get("/", *upgrade))
        head = await client.read_head()
        assert await client.read(2) == b"hi"
    assert b"X-Set: mine\r\n" in head
    assert b"Server" not in head


async def test_a_route_without_rules_runs_what_knows_of_none():
    routes = [route("/"), route("/answers", headers=ON_ANSWERS), route("/requests", headers=ON_REQUESTS)]
    async with gateway(*(replace(each, services=route("/", 1).services) for each in routes)) as running:
        site = running._door.site
        plans = [site.find(b"GET", path).route for path in (b"/", b"/answers", b"/requests")]
    assert [(plan.exchange, type(plan.upstream.endpoint)) for plan in plans] == [
        (Exchange, UpstreamEndpoint),
        (RuledExchange, UpstreamEndpoint),
        (Exchange, RuledEndpoint),
    ]
