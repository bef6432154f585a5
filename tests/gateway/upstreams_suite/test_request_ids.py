"""`X-Request-Id`: made or kept, told to the service and to the client; `traceparent` goes on as it came."""

import pytest

from switchgear.gateway.config.model import Endpoint, Route, Service
from switchgear.gateway.config.paths import parse_path
from tests.gateway.upstreams import OK, answering, ask, gateway, get, post, route

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [OK, CHUNKED])
@pytest.mark.parametrize("raw", [get("/"), post("/", b"body")])
async def test_every_request_has_one_that_all_are_told(answer: bytes, raw: bytes):
    async with answering(answer) as up, gateway(route("/", up.port)) as running:
        answers = [await ask(running, raw) for _ in range(3)]
    told = [message.get_all("x-request-id") for message in answers]
    assert told == [request.get_all("x-request-id") for request in up.requests]
    assert all(len(ids) == 1 for ids in told)
    assert len({ids[0] for ids in told}) == 3


@pytest.mark.parametrize("mine", ["a", "0af7651916cd43dd-8448", "A._~+/=-9", "x" * 128])
async def test_a_fit_one_is_kept(mine: str):
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        message = await ask(running, get("/", f"x-ReQuest-ID: {mine}"))
    assert message.get_all("x-request-id") == up.requests[0].get_all("x-request-id") == [mine]


@pytest.mark.parametrize("lines", [[""], ["x" * 129], ['"quoted"'], ["a b"], ["a\xe9"], ["one", "two"]])
async def test_any_other_one_is_replaced(lines: list[str]):
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        message = await ask(running, get("/", *[f"X-Request-Id: {line}" for line in lines]))
    (made,) = message.get_all("x-request-id")
    assert up.requests[0].get_all("x-request-id") == [made]
    assert made not in lines


async def test_the_services_own_one_is_left_alone():
    own = b"HTTP/1.1 200 OK\r\nX-Request-ID: theirs\r\nContent-Length: 2\r\n\r\nok"
    async with answering(own) as up, gateway(route("/", up.port)) as running:
        message = await ask(running, get("/"))
    assert message.get_all("x-request-id") == ["theirs"]


async def test_what_the_gateway_says_by_itself_has_it_too():
    async with gateway(route("/dead", 1)) as running:
        answers = [await ask(running, get(path, "X-Request-Id: mine")) for path in ("/dead", "/none")]
    assert [(message.status, message.get("x-request-id")) for message in answers] == [
        (502, "mine"),
        (404, "mine"),
    ]


async def test_the_parts_of_a_merged_route_share_it():
    good = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
    async with answering(good) as up:
        endpoints = (Endpoint("http", "127.0.0.1", up.port),)
        merged = Route(parse_path("/"), "GET", (Service("a", endpoints), Service("b", endpoints)))
        async with gateway(merged) as running:
            message = await ask(running, get("/"))
    (made,) = message.get_all("x-request-id")
    assert [request.get_all("x-request-id") for request in up.requests] == [[made], [made]]


async def test_a_trace_goes_on_unchanged():
    fields = ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=1,b=2")
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        await ask(running, get("/", *fields))
    assert [f"{name}: {up.requests[0].get(name)}" for name in ("traceparent", "tracestate")] == list(fields)
