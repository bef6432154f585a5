"""The access log: refusals, streams that fail, files that are moved away."""

import asyncio
import json

import pytest

from switchgear.gateway.access_line import LONGEST_AGENT
from switchgear.gateway.access_log import MAX_WAITING, AccessLog, open_log
from switchgear.gateway.config.model import (
    Address,
    Endpoint,
    GatewayConfig,
    LogConfig,
    Retry,
    Route,
    Service,
)
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.exchange import Request
from switchgear.gateway.policies import CallNext, Response
from switchgear.gateway.retrying import RESERVE
from switchgear.gateway.server import Gateway
from tests.gateway.upstreams import OK, PATIENCE, answering, ask, circuit, client_of, gateway, get, route

pytestmark = pytest.mark.anyio


async def lines_of(*raw: bytes, tmp_path) -> list[dict]:
    path = tmp_path / "access.log"
    async with gateway(route("/", 1), access=str(path)) as running:
        for request in raw:
            assert (await ask(running, request)).status >= 400
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_refusal_tells_what_is_known_of_the_request(tmp_path):
    lines = await lines_of(
        b"GET /secret?token=1 HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
        b'POST /a"b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
        b"\x16\x03\x01\x00\r\n\r\n",
        b"GET /new\x1bline HTTP/1.1\r\nHost: a\r\n\r\n",
        tmp_path=tmp_path,
    )
    told = [
        (line["http.request.method"], line["url.path"], line["http.response.status_code"]) for line in lines
    ]
    assert told[:3] == [("GET", "/secret", 400), ("BREW", "/pot", 501), ("POST", '/a"b', 400)]
    assert told[3:] == [("", "", 400), ("GET", "/new\x1bline", 400)]
    assert b"\x1b" not in (tmp_path / "access.log").read_bytes()
    assert {line["origin"] for line in lines} == {"error"}


async def test_a_head_that_never_ends_is_told_too(tmp_path):
    path = tmp_path / "access.log"
    async with (
        gateway(route("/", 1), access=str(path), client_head=0.05) as running,
        client_of(running) as client,
    ):
        await client.send(b"GET /slow HTTP/1.1\r\nHos")
        assert (await client.read_message()).status == 408
    [line] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (line["http.request.method"], line["url.path"]) == ("GET", "/slow")


async def test_what_the_gateway_says_without_a_fault_is_its_own(tmp_path):
    path = tmp_path / "access.log"
    async with gateway(route("/", 1, method="GET"), access=str(path)) as running:
        assert (await ask(running, get("/", method="OPTIONS"))).status == 204
        assert (await ask(running, get("/nowhere"))).status == 404
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["origin"] for line in lines] == ["gateway", "error"]


class FullDisk:
    """Takes nothing until `room` is set."""

    def __init__(self) -> None:
        self.room = False
        self.written = b""
        self.tried = 0

    def write(self, data: bytes) -> None:
        self.tried += 1
        if not self.room:
            raise OSError(28, "No space left on device")
        self.written += data

    def flush(self) -> None: ...
    def close(self) -> None: ...


async def test_what_a_full_disk_took_is_counted_and_the_log_goes_on(caplog):
    disk = FullDisk()
    log = AccessLog(lambda: disk)
    log.add(b'{"url.path":"/lost"}\n', 1)
    log.reopen()
    async with asyncio.timeout(PATIENCE):
        while not log.dropped:  # noqa: ASYNC110 - the log's thread tells nobody
            await asyncio.sleep(0.01)
    disk.room = True
    log.add(b'{"url.path":"/kept"}\n', 1)
    await log.close()
    kept, lost = (json.loads(line) for line in disk.written.splitlines())
    assert (kept["url.path"], lost["msg"], lost["lines"], log.dropped) == ("/kept", "lines lost", 1, 1)
    assert "No space left on device" in caplog.text


async def test_no_more_is_kept_than_the_bound():
    log = AccessLog(FullDisk)
    while not log.dropped:
        log.add(b"x" * 60_000 + b"\n", 1)
    assert log._size < MAX_WAITING + 100_000
    await log.close()


async def test_a_log_that_is_off_is_none():
    assert open_log(False) is None


# ---- what a line tells of a request that a route took


PART = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
PIECES = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


async def one_line(tmp_path, *routes, request: bytes = get("/"), **limits) -> dict:
    path = tmp_path / "access.log"
    async with gateway(*routes, access=str(path), **limits) as running:
        await ask(running, request)
    (line,) = path.read_text().splitlines()
    return json.loads(line)


async def test_a_merged_answer(tmp_path):
    async with answering(PART) as whole, answering(BUSY, BUSY, PART) as busy:
        one, two, three = (
            Service(name, (Endpoint("http", "127.0.0.1", port),), **more)
            for name, port, more in (
                ("one", whole.port, {"circuit": circuit("c")}),
                ("two", 1, {"optional": True}),
                ("three", busy.port, {"retry": Retry(3, backoff=0.001)}),
            )
        )
        line = await one_line(tmp_path, Route(parse_path("/"), "GET", (one, two, three)))
    assert line["parts"] == "one;ok, two;omitted;reason=error, three;ok"
    assert (line["attempts"], line["service"], line["circuit"]) == (5, "one,two,three", "c")
    assert 0 < line["upstream_ms"] < line["duration_ms"]


async def test_a_merged_answer_that_came_too_late(tmp_path):
    async with answering(PART) as quick, answering(b"") as silent:
        services = tuple(
            Service(name, (Endpoint("http", "127.0.0.1", port),), **more)
            for name, port, more in (("a", quick.port, {}), ("b", silent.port, {"optional": True}))
        )
        line = await one_line(tmp_path, Route(parse_path("/"), "GET", services, deadline=0.1))
    assert (line["attempts"], line["parts"]) == (2, "a;ok, b;omitted;reason=timeout")


async def test_an_answer_in_pieces_of_one_of_several_urls(tmp_path):
    async with answering(PIECES) as up:
        line = await one_line(tmp_path, route("/", 1, up.port))
    assert line["endpoint"] == f"http://127.0.0.1:{up.port}"
    assert 0 < line["ttfb_ms"] <= line["duration_ms"]
    assert (line["attempts"], line["origin"]) == (1, "upstream")


async def test_a_service_that_let_wait_in_vain(tmp_path):
    async with answering(b"") as silent:
        line = await one_line(tmp_path, route("/", silent.port, circuit=circuit("c")), first_byte=0.1)
    assert (line["http.response.status_code"], line["origin"], line["circuit_state"]) == (
        504,
        "timeout",
        "closed",
    )
    assert 0 < line["upstream_ms"] <= line["duration_ms"]
    assert "upstream_status" not in line
    assert not {"endpoint", "ttfb_ms", "parts"} & set(line)


async def test_what_the_service_said_where_the_client_got_something_else(tmp_path):
    class Softens:
        name, priority = "softens", 20

        async def __call__(self, request: Request, call_next: CallNext) -> Response:
            await call_next(request)
            return Response(200)

    async with answering(BUSY) as up:
        line = await one_line(tmp_path, route("/", up.port, policies=(Softens(),)))
    assert (line["http.response.status_code"], line["upstream_status"]) == (200, 503)


async def test_a_retry_that_the_budget_refused(tmp_path):
    path = tmp_path / "access.log"
    retry = Retry(attempts=2, backoff=0.001, budget=0.0)
    async with (
        answering(BUSY) as up,
        gateway(route("/up", up.port, retry=retry), route("/down", 1, retry=retry), access=str(path)) as run,
    ):
        for target in ["/up"] * (int(RESERVE) + 1) + ["/down"] * (int(RESERVE) + 1):
            await ask(run, get(target))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = {
        (line["url.path"], line["origin"], line["attempts"], line.get("upstream_status")) for line in lines
    }
    assert told == {
        ("/up", "upstream", 2, 503),
        ("/up", "retry_budget", 1, 503),
        ("/down", "error", 2, None),
        ("/down", "retry_budget", 1, None),
    }
    assert [line["origin"] for line in lines].count("retry_budget") == 2


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("answer", [OK, PIECES, b""], ids=["ordinary", "in pieces", "failed"])
@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TraceParent", "TRACEPARENT"])
async def test_the_span_of_a_request_and_what_its_client_calls_itself(tmp_path, answer: bytes, name: str):
    request = get("/", "X-A: 1", 'USER-agent: \ta "b"\\\xe9 ', f"{name}: {GOOD}")
    async with answering(answer) as up:
        line = await one_line(tmp_path, route("/", up.port), request=request, first_byte=0.05)
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
    assert line["user_agent.original"] == 'a "b"\\\xe9'


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (GOOD, True),
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"{GOOD} ", True),
        (f"{GOOD}-more", False),
        (f"{GOOD}0", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        (f"{GOOD}\r\ntraceparent: {GOOD}", False),
        ('"', False),
        ("", False),
    ],
)
async def test_only_a_valid_trace_is_told(tmp_path, value: str, told: bool):
    async with answering(OK) as up:
        request = get("/", f"traceparent: {value}")
        line = await one_line(tmp_path, route("/", up.port), request=request)
    assert ("trace_id" in line, "span_id" in line) == (told, told)


async def test_who_is_not_believed_tells_no_trace(tmp_path):
    path = tmp_path / "access.log"
    async with answering(OK) as up:
        config = GatewayConfig(
            (route("/", up.port),), Address("127.0.0.1", 0), log=LogConfig(str(path)), trusted_proxies=()
        )
        running = Gateway(config)
        await running.start()
        await ask(running, get("/", f"traceparent: {GOOD}"))
        await running.close()
    assert "trace_id" not in json.loads(path.read_text())


async def test_a_long_name_is_cut(tmp_path):
    request = get("/", f"User-Agent: {'x' * (LONGEST_AGENT + 1)}")
    line = await one_line(tmp_path, route("/", 1), request=request)
    assert line["user_agent.original"] == "x" * LONGEST_AGENT
