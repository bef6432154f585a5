"""What passes through unchanged, what is taken off, and what is added; keep-alive, pipelining, HTTP/1.0."""

import asyncio

import pytest

from tests.gateway.upstreams import (
    OK,
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


async def test_path_query_and_fields_reach_the_upstream_byte_for_byte():
    target = "/a%2Fb//c/%7Euser/;p=1?q=%20+&&x=[]|\"'<>\\^`{}"
    async with answering(OK) as up, gateway(route("/{rest:path}", up.port)) as running:
        fields = [
            "X-Case: KEPT",
            "x-lower: kept",
            "X-Twice: 1",
            "X-Twice: 2",
            "X-Latin: \xe9",
            "Cookie: a=1; b=2",
        ]
        await ask(running, get(target, *fields))
    request = up.requests[0]
    assert request.start == f"GET {target} HTTP/1.1"
    assert [f"{name}: {value}" for name, value in request.fields if name.lower() not in ADDED] == fields


ADDED = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"}


async def test_the_upstream_learns_who_asked_and_for_what():
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        await ask(
            running,
            get("/", "X-Forwarded-For: 10.1.2.3", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https"),
        )
    request = up.requests[0]
    assert request.get_all("host") == [f"127.0.0.1:{up.port}"]
    assert request.get_all("x-forwarded-for") == ["10.1.2.3, 127.0.0.1"]
    assert request.get_all("x-forwarded-host") == ["gateway"]
    assert request.get_all("x-forwarded-proto") == ["http"]


async def test_preserve_host_keeps_the_clients_host():
    async with answering(OK) as up, gateway(route("/", up.port, service={"preserve_host": True})) as running:
        await ask(running, get("/"))
        await ask(running, b"GET / HTTP/1.0\r\n\r\n")
    assert [request.get("host") for request in up.requests] == ["gateway", f"127.0.0.1:{up.port}"]


async def test_fields_for_one_hop_are_taken_off_both_ways():
    hop = [
        "Connection: keep-alive, X-Mine",
        "X-Mine: secret",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic x",
        "TE: trailers",
        "Trailer: X",
        "Upgrade: websocket",
    ]
    answer = "".join(f"{line}\r\n" for line in hop if not line.startswith("Upgrade"))
    wire = f"HTTP/1.1 200 OK\r\n{answer}X-Kept: 1\r\nContent-Length: 2\r\n\r\nok".encode()
    async with answering(wire) as up, gateway(route("/", up.port)) as running:
        message = await ask(running, get("/", *hop, "X-Kept: 1"))
    assert {name.lower() for name, _ in up.requests[0].fields} == ADDED | {"x-kept"}
    assert {name.lower() for name, _ in message.fields} == {"x-kept", "content-length", "x-request-id"}


@pytest.mark.parametrize(
    "status", ["200 OK", "204 No Content", "304 Not Modified", "404 Not Found", "503 Busy", "299 "]
)
async def test_statuses_and_reasons_pass(status: str):
    length = "" if status[:3] in {"204", "304"} else "Content-Length: 0\r\n"
    wire = f"HTTP/1.1 {status}\r\nX-A: b\r\n{length}\r\n".encode()
    async with answering(wire) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for _ in range(2):  # the connection stays in step
            await client.send(get("/"))
            message = await client.read_message()
            assert (message.start.split(" ")[1], message.get("x-a")) == (status[:3], "b")


async def test_an_answer_to_head_has_its_length_and_no_body():
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"
    async with (
        answering(wire, OK) as up,
        gateway(route("/", up.port)) as running,
        client_of(running) as client,
    ):
        await client.send(get("/", method="HEAD"))
        assert (await client.read_message(to_head=True)).get("content-length") == "12345"
        await client.send(get("/"))
        assert (await client.read_message()).body == b"ok"
    assert up.connections == 1


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
)


async def test_a_chunked_answer_keeps_its_content_and_trailers():
    async with answering(CHUNKED) as up, gateway(route("/", up.port)) as running:
        message = await ask(running, get("/"))
    assert message.body == b"abcde"
    assert message.trailers == [b"X-Sum: 5\r\n"]


async def test_http_1_0_gets_no_chunks_and_the_end_of_the_connection():
    async with (
        answering(CHUNKED) as up,
        gateway(route("/", up.port)) as running,
        client_of(running) as client,
    ):
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = Message.parse(await client.read_head())
        assert head.get("transfer-encoding") is None
        assert head.get("connection") == "close"
        assert await client.read_all() == b"abcde"


async def test_http_1_0_may_keep_its_connection():
    async with answering(OK) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for _ in range(2):
            await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            message = await client.read_message()
            assert (message.body, message.get("connection")) == (b"ok", "keep-alive")
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.read_message()).get("connection") == "close"
        assert await client.read_all() == b""


async def test_an_answer_that_ends_with_its_connection_becomes_chunked():
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    async with scripted(script) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for _ in range(2):
            await client.send(get("/"))
            message = await client.read_message()
            assert (message.get("transfer-encoding"), message.body) == ("chunked", b"until the end")


async def test_interim_answers_pass_but_not_to_http_1_0():
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK
    async with answering(wire) as up, gateway(route("/", up.port)) as running:
        async with client_of(running) as client:
            await client.send(get("/"))
            hint = Message.parse(await client.read_head())
            assert (hint.status, hint.get("link")) == (103, "</x>")
            assert (await client.read_message()).body == b"ok"
        assert (await ask(running, b"GET / HTTP/1.0\r\n\r\n")).body == b"ok"


async def test_connections_are_kept_on_both_sides():
    async with answering(OK) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for _ in range(5):
            await client.send(get("/"))
            assert (await client.read_message()).body == b"ok"
        await client.send(get("/", "Connection: close"))
        assert (await client.read_message()).get("connection") == "close"
        assert await client.read_all() == b""
    assert (up.connections, len(up.requests)) == (1, 6)


async def test_the_upstreams_close_is_not_the_clients():
    wire = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with answering(wire) as up, gateway(route("/", up.port)) as running, client_of(running) as client:
        for _ in range(2):
            await client.send(get("/"))
            message = await client.read_message()
            assert (message.body, message.get("connection")) == (b"ok", None)
    assert up.connections == 2


async def test_pipelined_requests_are_answered_in_order():
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.read_message()
            number = request.start.split(" ")[1][1:].encode()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(number), number))

    async with (
        scripted(script) as up,
        gateway(route("/{n}", up.port)) as running,
        client_of(running) as client,
    ):
        raw = b"".join(post(f"/{n}", b"x" * n) if n % 3 else get(f"/{n}") for n in range(50))
        await client.send(raw + get("/") + get("/last"))  # `/` has no route
        bodies = [(await client.read_message()).body for _ in range(50)]
        assert bodies == [str(n).encode() for n in range(50)]
        assert (await client.read_message()).status == 404
        assert (await client.read_message()).body == b"last"


async def test_thousands_of_pipelined_requests_answered_by_the_gateway_itself():
    async with gateway(route("/x", 9)) as running, client_of(running) as client:
        send = asyncio.create_task(client.send(get("/none") * 5000))
        for _ in range(5000):
            assert (await client.read_message()).status == 404
        await send


async def test_own_answers_keep_the_connection_in_step():
    async with (
        answering(OK) as up,
        gateway(route("/", up.port, method="GET")) as running,
        client_of(running) as client,
    ):
        await client.send(post("/", b"a body that nobody reads") + get("/"))
        refused = await client.read_message()
        assert (refused.status, refused.get("allow")) == (405, "GET, HEAD, OPTIONS")
        assert (await client.read_message()).body == b"ok"


async def test_a_long_body_that_nobody_reads_costs_the_connection():
    async with (
        answering(OK) as up,
        gateway(route("/", up.port, method="GET")) as running,
        client_of(running) as client,
    ):
        await client.send(get("/", "Content-Length: 10000000", method="POST") + b"x" * 100_000)
        refused = await client.read_message()
        assert (refused.status, refused.get("connection")) == (405, "close")
        assert await client.read_all() == b""


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_own_answers_to_head_have_no_body(method: str):
    async with gateway(route("/x", 9)) as running, client_of(running) as client:
        await client.send(get("/none", "Connection: close", method=method))
        await client.read_head()
        assert (await client.read_all() == b"") == (method == "HEAD")


async def test_several_urls_take_turns():
    async with answering(OK) as one, answering(OK) as two:
        async with gateway(route("/", one.port, two.port)) as running, client_of(running) as client:
            for _ in range(6):
                await client.send(get("/"))
                await client.read_message()
        assert (len(one.requests), len(two.requests)) == (3, 3)
