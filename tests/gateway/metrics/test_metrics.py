"""What is counted: by names from the configuration, whatever is asked for."""

import asyncio
import random

import pytest

from switchgear.gateway.config.model import Endpoint, Fallback, Retry, Route, Service
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.metrics.families import counts_only, merged
from switchgear.gateway.retrying import RESERVE
from switchgear.metrics.histogram import BOUNDS
from tests.admin.desk import metrics, operated
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Peer,
    Upstream,
    answering,
    ask,
    circuit,
    client_of,
    get,
    post,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio

BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


async def test_requests_attempts_and_circuits_are_counted():
    guard = circuit("c", failure_threshold=2)
    async with (
        answering(OK, BROKEN) as up,
        operated(route("/x/{id}", up.port, service={"circuit": guard}), hosts=("gateway",)) as (
            running,
            desk,
        ),
    ):
        await ask(running, post("/x/1", b"four"))
        for _ in range(3):
            await ask(running, get("/x/2"))
        await ask(running, get("/none"))
        await ask(running, b"GET / HTTP/1.1\r\n\r\n")
        seen = await metrics(desk)
    origin = f"http://127.0.0.1:{up.port}"
    expected = {
        ("http_requests_total", "/x/{id}", "200", "POST"): 1,
        ("http_requests_total", "/x/{id}", "500", "GET"): 2,
        ("http_requests_total", "/x/{id}", "503", "GET"): 1,
        ("http_requests_total", "404", "GET", "_unmatched"): 1,
        ("http_requests_total", "400", "_OTHER", "_unmatched"): 1,
        ("http_bad_requests_total", "none_or_more_than_one_host"): 1,
        ("http_request_duration_seconds_count", "/x/{id}", "GET"): 3,
        ("http_request_duration_seconds_bucket", "+Inf", "/x/{id}", "GET"): 3,
        ("http_responses_by_origin_total", "/x/{id}", "upstream"): 3,
        ("http_responses_by_origin_total", "/x/{id}", "breaker"): 1,
        ("http_request_bytes_total", "/x/{id}"): 4,
        ("upstream_requests_total", "200", "none", origin, "up"): 1,
        ("upstream_requests_total", "500", "none", origin, "up"): 2,
        ("upstream_request_duration_seconds_count", "up"): 3,
        ("circuit_calls_total", "c", "success"): 1,
        ("circuit_calls_total", "c", "failure"): 2,
        ("circuit_calls_total", "c", "rejected"): 1,
        ("circuit_call_duration_seconds_count", "c", "success"): 1,
        ("circuit_call_duration_seconds_count", "c", "failure"): 2,
        ("circuit_call_duration_seconds_count", "c", "inconclusive"): 0,
        ("circuit_state", "c", "open"): 1,
        ("circuit_state", "c", "closed"): 0,
        ("circuit_transitions_total", "c", "closed", "consecutive", "open"): 1,
        ("circuit_window_failures", "c"): 2,
        ("http_requests_in_flight", "public"): 0,
        ("upstream_connections", origin, "idle"): 1,
    }
    assert {key: seen.get((key[0], *sorted(key[1:]))) for key in expected} == expected
    assert 0 < seen["circuit_retry_after_seconds", "c"] <= 30
    assert seen["http_response_bytes_total", "/x/{id}"] > len(OK)


async def test_parts_of_merged_answers_are_counted_by_what_became_of_them():
    part = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
    async with answering(part) as up:
        services = tuple(
            Service(name, (Endpoint("http", "127.0.0.1", port),), **more)
            for name, port, more in (
                ("works", up.port, {}),
                ("optional", 1, {"optional": True}),
                ("fixed", 1, {"fallback": Fallback(otherwise=b"{}")}),
            )
        )
        merged_route = Route(parse_path("/m"), "GET", services)
        async with operated(merged_route, hosts=("gateway",)) as (running, desk):
            assert (await ask(running, get("/m"))).status == 200
            seen = await metrics(desk)
    parts = {key[1:]: value for key, value in seen.items() if key[0] == "merge_parts_total"}
    assert parts == {
        ("/m", "ok", "works"): 1,
        ("/m", "omitted", "optional"): 1,
        ("/m", "fallback_static", "fixed"): 1,
    }


@pytest.mark.parametrize("where", ["route", "service", "endpoint"])
async def test_the_calls_of_a_circuit_are_measured_wherever_it_guards_and_however_they_end(where: str):
    guard = circuit("c", failure_threshold=100)
    async with answering(OK, BROKEN) as up:
        endpoints = [
            Endpoint("http", "127.0.0.1", port, circuit=guard if where == "endpoint" else None)
            for port in (up.port, 1)
        ]
        routes = [
            Route(
                parse_path(path),
                "GET",
                (Service("up", (endpoint,), circuit=guard if where == "service" else None),),
                circuit=guard if where == "route" else None,
            )
            for path, endpoint in zip(("/up", "/down"), endpoints, strict=True)
        ]
        async with operated(*routes, hosts=("gateway",)) as (running, desk):
            for path in ("/up", "/up", "/up", "/down"):
                await ask(running, get(path))
            seen = await metrics(desk)
    for outcome, count in (("success", 1), ("failure", 3)):
        assert seen["circuit_calls_total", "c", outcome] == count
        assert seen["circuit_call_duration_seconds_count", "c", outcome] == count
        assert seen["circuit_call_duration_seconds_sum", "c", outcome] > 0


async def test_an_override_and_a_connect_failure_are_told():
    guard = circuit("c")
    async with operated(route("/", 1, service={"circuit": guard}), hosts=("gateway",)) as (running, desk):
        await ask(running, get("/"))
        running.circuits["c"].force_open()
        seen = await metrics(desk)
    assert seen["upstream_requests_total", "", "connect", "http://127.0.0.1:1", "up"] == 1
    assert seen["circuit_override", "c", "forced-open"] == 1
    assert seen["circuit_override", "c", "disabled"] == 0


async def test_retries_and_the_end_of_their_budget_are_counted():
    retry = Retry(attempts=3, backoff=0.001, budget=0.01)
    async with (
        answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as up,
        operated(route("/", up.port, retry=retry), hosts=("gateway",)) as (running, desk),
    ):
        for _ in range(7):
            await ask(running, get("/"))
        seen = await metrics(desk)
    assert seen["upstream_retries_total", "up"] == RESERVE
    assert seen["upstream_retry_budget_exhausted_total", "up"] == 2
    assert seen["http_responses_by_origin_total", "/", "retry_budget"] == 2
    assert seen["http_responses_by_origin_total", "/", "upstream"] == 5
    assert len(up.requests) == 7 + RESERVE


async def test_an_endpoint_is_down_while_it_takes_no_connection_or_its_circuit_rejects():
    guard = circuit("endpoint", failure_threshold=1)
    async with answering(OK, BROKEN) as up:
        good, bad, rejecting = (
            Service(name, (Endpoint("http", "127.0.0.1", port, circuit=own),))
            for name, port, own in (("good", up.port, None), ("bad", 1, None), ("sick", up.port, guard))
        )
        routes = [Route(parse_path(f"/{each.name}"), "GET", (each,)) for each in (good, bad, rejecting)]
        async with operated(*routes, hosts=("gateway",)) as (running, desk):
            before = await metrics(desk)
            for path in ("/good", "/bad", "/sick"):
                await ask(running, get(path))
            async with asyncio.timeout(PATIENCE):
                while (seen := await metrics(desk))["upstream_endpoint_up", origin_of(up), "sick"]:
                    pass  # transitions are told on a thread of their own
    assert all(value == 1 for key, value in before.items() if key[0] == "upstream_endpoint_up")
    assert seen["upstream_endpoint_up", "good", origin_of(up)] == 1
    assert seen["upstream_endpoint_up", "bad", "http://127.0.0.1:1"] == 0


def origin_of(up: Upstream) -> str:
    return f"http://127.0.0.1:{up.port}"


async def test_the_first_byte_of_an_answer_that_comes_in_pieces_is_earlier_than_its_end():
    pause, go_on = 0.12, asyncio.Event()

    async def in_pieces(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await go_on.wait()
        await peer.send(b"k")

    async with (
        scripted(in_pieces) as up,
        answering(OK) as quick,
        operated(route("/x", up.port), route("/y", quick.port), hosts=("gateway",)) as (running, desk),
        client_of(running) as client,
    ):
        await client.send(get("/x"))
        await client.read_until(b"\r\n\r\no")
        await asyncio.sleep(pause)
        go_on.set()
        assert await client.read(1) == b"k"
        assert (await ask(running, get("/y"))).body == b"ok"
        seen = await metrics(desk)
    began, ended = "http_time_to_first_byte_seconds", "http_request_duration_seconds"
    for name in (began, ended):
        assert seen[f"{name}_count", "/x", "GET"] == 1
        assert seen[f"{name}_bucket", "/x", "0.1", "GET"] == (seen[f"{name}_sum", "/x", "GET"] <= 0.1)
    assert 0 < seen[f"{began}_sum", "/x", "GET"] <= seen[f"{ended}_sum", "/x", "GET"] - pause
    # One that came whole began when it ended.
    for part in ("sum", "count"):
        sent = seen[f"http_time_to_first_byte_seconds_{part}", "/y", "GET"]
        assert sent == seen[f"http_request_duration_seconds_{part}", "/y", "GET"]


async def test_what_a_process_takes_is_told():
    async with operated(route("/", 1), hosts=("gateway",)) as (_, desk):
        seen = await metrics(desk)
    assert seen["worker_up", "0"] == 1
    assert seen["process_cpu_seconds_total", "0"] > 0
    assert seen["process_resident_memory_bytes", "0"] > 10_000_000
    assert seen["process_open_fds", "0"] > 3


async def test_a_client_that_leaves_is_no_answer_of_the_upstream():
    async with (
        answering(b"") as up,
        operated(route("/", up.port), hosts=("gateway",)) as (running, desk),
    ):
        async with client_of(running) as client:
            await client.send(get("/"))
            while not up.requests:
                await metrics(desk)
        seen = await metrics(desk)
        while ("http_responses_by_origin_total", "/", "client_gone") not in seen:
            seen = await metrics(desk)
    assert seen["http_requests_total", "/", "499", "GET"] == 1


async def test_ten_thousand_paths_hosts_and_methods_are_a_few_series():
    chance = random.Random(1)
    async with operated(route("/x/{id}", 1, method="GET"), hosts=("gateway",)) as (running, desk):
        counted = []
        for _ in range(2):
            async with client_of(running) as client:
                for _ in range(50):
                    requests = [random_request(chance) for _ in range(100)]
                    await client.send(b"".join(requests))
                    for _ in requests:
                        await client.read_message()
            counted.append(len(await metrics(desk)))
    assert counted[0] == counted[1] < 250


def random_request(chance: random.Random) -> bytes:
    path = f"/{chance.getrandbits(64):x}"
    method = chance.choice(("GET", "POST", "PUT", "PATCH", "DELETE"))
    return f"{method} {path} HTTP/1.1\r\nHost: {chance.getrandbits(64):x}.example\r\n\r\n".encode()


async def test_methods_that_nobody_knows_are_one_series():
    async with operated(route("/", 1), hosts=("gateway",)) as (running, desk):
        for number in range(20):
            assert (await ask(running, get("/", method=f"METHOD{'X' * number}"))).status == 501
        seen = await metrics(desk)
    assert seen["http_requests_total", "501", "_OTHER", "_unmatched"] == 20
    assert seen["http_bad_requests_total", "unknown_method"] == 20


async def test_openmetrics_for_who_asks_for_it():
    async with operated(route("/", 1), hosts=("gateway",)) as (_, desk):
        answer = await ask(desk, get("/metrics", "Accept: application/openmetrics-text; version=1.0.0"))
    assert answer.get("content-type").startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_counts_of_several_processes_are_added_and_states_are_the_worst():
    closed, is_open = 0.0, 3.0
    one = [
        ("http_requests", ("/x", "GET", "200"), 2),
        ("circuit_state", ("c",), closed),
        ("store_up", ("s",), 1.0),
        ("upstream_request_duration_seconds", ("up",), [1] * (len(BOUNDS) + 1) + [0.5]),
    ]
    two = [
        ["http_requests", ["/x", "GET", "200"], 3],  # as it comes out of JSON
        ["http_requests", ["/x", "GET", "404"], 1],
        ["circuit_state", ["c"], is_open],
        ["store_up", ["s"], 0.0],
        ["upstream_request_duration_seconds", ["up"], [2] * (len(BOUNDS) + 1) + [1.0]],
    ]
    assert merged([one, two]) == {
        "http_requests": {("/x", "GET", "200"): 5, ("/x", "GET", "404"): 1},
        "circuit_state": {("c",): is_open},
        "store_up": {("s",): 0.0},
        "upstream_request_duration_seconds": {("up",): [3] * (len(BOUNDS) + 1) + [1.5]},
    }
    assert [name for name, _, _ in counts_only(one)] == ["http_requests", "upstream_request_duration_seconds"]
