"""Notes of requests that are over: none is lost, and each tells how things were at its end."""

import json
import random
from bisect import bisect_left

import pytest

from switchgear.gateway.access_line import text_of
from switchgear.gateway.config.model import Address, GatewayConfig, LogConfig
from switchgear.gateway.metrics.tallies import BATCH, Histogram
from switchgear.gateway.server import Gateway
from switchgear.metrics.histogram import BOUNDS
from tests.admin.desk import metrics, operated
from tests.gateway.upstreams import OK, answering, ask, circuit, client_of, gateway, get, post, route

pytestmark = pytest.mark.anyio

BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


def paths(file) -> list[str]:
    return [json.loads(line)["url.path"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("count", [1, BATCH, 2 * BATCH + 1])
async def test_every_request_has_its_line_in_order_however_many_there_are(tmp_path, count: int):
    file = tmp_path / "access.log"
    async with (
        answering(OK) as up,
        gateway(route("/{n}", up.port), access=str(file)) as running,
        client_of(running) as client,
    ):
        for number in range(count):
            await client.send(get(f"/{number}"))
            await client.read_message()
    assert paths(file) == [f"/{number}" for number in range(count)]


async def test_what_ended_before_a_reload_is_in_the_log_of_then(tmp_path):
    files = [tmp_path / name for name in ("before", "after")]
    async with answering(OK) as up:
        configs = [
            GatewayConfig((route("/{n}", up.port),), Address("127.0.0.1", 0), log=LogConfig(str(file)))
            for file in files
        ]
        running = Gateway(configs[0])
        await running.start()
        await ask(running, get("/first"))
        await running.adopt(configs[1])
        await ask(running, get("/second"))
        await running.close()
    assert [paths(file) for file in files] == [["/first"], ["/second"]]


async def test_who_reads_the_counts_sees_all_that_is_over():
    async with (
        answering(OK) as up,
        operated(route("/", up.port), hosts=("gateway",)) as (running, desk),
    ):
        for seen in range(1, 4):
            await ask(running, get("/"))
            assert (await metrics(desk))["http_requests_total", "/", "200", "GET"] == seen


@pytest.mark.parametrize("count", [BATCH - 1, 2 * BATCH + 1])
async def test_requests_and_attempts_are_counted_once_however_many_there_are(count: int):
    async with (
        answering(OK) as up,
        operated(route("/", up.port), hosts=("gateway",)) as (running, desk),
        client_of(running) as client,
    ):
        for _ in range(count):
            await client.send(get("/"))
            await client.read_message()
        first, again = await metrics(desk), await metrics(desk)
    origin = f"http://127.0.0.1:{up.port}"
    for seen in (first, again):
        assert seen["http_requests_total", "/", "200", "GET"] == count
        assert seen["http_request_duration_seconds_bucket", "+Inf", "/", "GET"] == count
        assert seen["upstream_requests_total", "200", origin, "none", "up"] == count
        assert seen["upstream_request_duration_seconds_bucket", "+Inf", "up"] == count


@pytest.mark.parametrize("count", [0, 1, 500])
def test_many_durations_at_once_are_counted_like_one_by_one(count: int):
    chance = random.Random(count)
    durations = [chance.choice((*BOUNDS, 0.0, 11.0, chance.expovariate(2))) for _ in range(count)]
    histogram = Histogram()
    for start in range(0, count, 100):
        histogram.extend(durations[start : start + 100])
    buckets = [0] * (len(BOUNDS) + 1)
    for seconds in durations:
        buckets[bisect_left(BOUNDS, seconds)] += 1  # an upper end belongs to its bucket
    assert histogram.value == [*buckets, pytest.approx(sum(durations))]


async def test_a_line_tells_the_same_in_the_same_order_whether_there_is_more_to_tell_or_not(tmp_path):
    file = tmp_path / "access.log"
    async with (
        answering(OK) as up,
        gateway(route("/", up.port, service={"circuit": circuit("c")}), access=str(file)) as running,
    ):
        await ask(running, get("/"))
        await ask(running, post("/", b"four"))
    ordinary, more = (list(json.loads(line)) for line in file.read_text().splitlines())
    assert [name for name in more if name != "bytes_in"] == ordinary


async def test_a_line_has_the_state_that_the_circuit_had_when_the_request_ended(tmp_path):
    file = tmp_path / "access.log"
    guard = circuit("c", failure_threshold=3)
    async with (
        answering(BROKEN) as up,
        gateway(route("/", up.port, service={"circuit": guard}), access=str(file)) as running,
        client_of(running) as client,
    ):
        for _ in range(5):
            await client.send(get("/"))
            await client.read_message()
    states = [json.loads(line)["circuit_state"] for line in file.read_text().splitlines()]
    assert states[:2] == ["closed", "closed"]
    assert states[3:] == ["open", "open"]


@pytest.mark.parametrize("path", ["/100%25", '/a"b', "/a\\b", '/%25s"%b'])
async def test_no_path_and_no_route_can_break_a_line(tmp_path, path: str):
    file = tmp_path / "access.log"
    async with (
        answering(OK) as up,
        gateway(route("/100%25", up.port), route("/{n}", up.port), access=str(file)) as running,
    ):
        assert (await ask(running, get(path))).status == 200
    assert paths(file) == [path]


async def test_a_client_that_left_is_told_of_as_such(tmp_path):
    file = tmp_path / "access.log"
    async with (
        answering(b"") as up,
        gateway(route("/", up.port), access=str(file)) as running,
        client_of(running) as client,
    ):
        await client.send(get("/"))
        while not up.requests:  # it is under way
            await ask(running, get("/none"))
        client.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    told = {(line["http.response.status_code"], line["origin"]) for line in lines}
    assert told == {(404, "error"), (499, "client_gone")}


def test_a_point_in_time_has_milliseconds():
    assert text_of(1_000) == b"1970-01-01T00:00:01.000Z"
    assert text_of(1_764_446_841_759) == b"2025-11-29T20:07:21.759Z"
