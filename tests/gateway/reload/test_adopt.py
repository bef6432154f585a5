"""Another configuration for a gateway that runs."""

import asyncio
import contextlib
import json
import logging
from dataclasses import replace

import pytest

from switchgear.gateway.config.model import (
    Address,
    Fallback,
    GatewayConfig,
    Limits,
    LogConfig,
    State,
)
from switchgear.gateway.server import Gateway
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Peer,
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

HERE = Address("127.0.0.1", 0)
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


def config(*routes, **more) -> GatewayConfig:
    return GatewayConfig(routes, HERE, **{"log": LogConfig(access=False), **more})


@contextlib.asynccontextmanager
async def running(first: GatewayConfig):
    gateway = Gateway(first)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


def guarded(path: str, port: int, **policy):
    return route(path, port, service={"circuit": circuit("c", **policy)})


async def test_thirty_reloads_under_load_fail_no_request_and_close_no_circuit():
    done, stop = asyncio.Semaphore(0), asyncio.Event()
    statuses: set[int] = set()

    async def load(gateway: Gateway) -> None:
        async with client_of(gateway) as client:
            while not stop.is_set():
                await client.send(get("/works"))
                statuses.add((await client.read_message()).status)
                done.release()

    async with answering(OK) as up, answering(BROKEN) as down:
        configs = [
            config(
                route("/works", up.port, timeout=5.0 + number),
                guarded("/broken", down.port, failure_threshold=3 + number),
                route(f"/only/{number}", up.port),
            )
            for number in range(2)
        ]
        async with running(configs[0]) as gateway:
            opened = [(await ask(gateway, get("/broken"))).status for _ in range(4)]
            clients = [asyncio.create_task(load(gateway)) for _ in range(8)]
            for number in range(1, 31):
                for _ in range(20):
                    await asyncio.wait_for(done.acquire(), PATIENCE)
                await gateway.adopt(configs[number % 2])
                assert (await ask(gateway, get("/broken"))).status == 503
                assert (await ask(gateway, get(f"/only/{number % 2}"))).status == 200
            stop.set()
            await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)
            snapshot = gateway.circuits["c"].snapshot()
    assert statuses == {200}
    assert opened == [500, 500, 500, 503]
    assert (snapshot.state, snapshot.generation, len(down.requests)) == ("open", 2, 3)
    assert up.connections <= 9  # eight at once, and now and then another one: the pool was kept


async def test_evidence_stays_and_the_new_policy_holds_at_once():
    async with answering(BROKEN) as down, running(config(guarded("/", down.port))) as gateway:
        await ask(gateway, get("/"))
        await gateway.adopt(config(guarded("/", down.port, failure_threshold=2)))
        assert [(await ask(gateway, get("/"))).status for _ in range(2)] == [500, 503]


async def test_a_request_under_way_ends_on_the_plan_that_it_began_with():
    asked, answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        asked.set()
        await answer.wait()
        await peer.send(OK)

    async with (
        scripted(script) as slow,
        answering(BROKEN) as other,
        running(config(route("/", slow.port))) as gateway,
        client_of(gateway) as client,
    ):
        await client.send(post("/", b"body"))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        await gateway.adopt(config(route("/", other.port)))
        assert (await ask(gateway, get("/"))).status == 500
        answer.set()
        assert (await client.read_message()).body == b"ok"
        await client.send(get("/"))
        assert (await client.read_message()).status == 500


async def test_what_cannot_be_used_changes_nothing():
    class Nameless:
        pass

    async with answering(OK) as up, running(config(guarded("/", up.port))) as gateway:
        bad = replace(guarded("/", up.port, failure_threshold=1), policies=(Nameless(),))
        extra = route("/new", up.port, circuit=circuit("new"))
        with pytest.raises(ValueError, match="is no policy"):
            await gateway.adopt(config(extra, bad))
        taken = Address("127.0.0.1", up.port)
        with pytest.raises(OSError, match="in use"):
            await gateway.adopt(replace(config(extra), listen=taken))
        with pytest.raises(OSError, match="No such file"):
            await gateway.adopt(config(extra, log=LogConfig(access="/nowhere/at/all")))
        assert (await ask(gateway, get("/"))).status == 200
        assert (await ask(gateway, get("/new"))).status == 404
        assert "new" not in gateway.circuits
        assert gateway.circuits["c"].policy.failure_threshold == 5


async def test_circuits_that_are_gone_are_forgotten_with_their_counts():
    async with answering(BROKEN) as down, running(config(guarded("/", down.port))) as gateway:
        await ask(gateway, get("/"))
        await gateway.adopt(config(route("/other", down.port)))
        assert list(gateway.circuits) == []
        [picture] = await gateway.pictures()
        assert not any("c" in labels or "/" in labels for _, labels, _ in picture)
        await gateway.adopt(config(guarded("/", down.port)))
        assert gateway.circuits["c"].snapshot().failure_count == 0


async def test_the_new_address_is_listened_at_and_the_old_one_left():
    async with (
        answering(OK) as up,
        running(config(route("/", up.port))) as gateway,
        client_of(gateway) as kept,
    ):
        before = gateway.address
        await gateway.adopt(replace(config(route("/", up.port)), listen=Address("localhost", 0)))
        assert gateway.address.port != before.port
        assert (await ask(gateway, get("/"))).status == 200
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(before.host, before.port)
        await kept.send(get("/"))
        assert (await kept.read_message()).status == 200


async def test_limits_hold_for_what_comes_from_now_on():
    async with (
        answering(OK) as up,
        running(config(route("/{x}", up.port))) as gateway,
        client_of(gateway) as client,
    ):
        await client.send(get("/" + "x" * 200))
        assert (await client.read_message()).status == 200
        await gateway.adopt(config(route("/{x}", up.port), limits=Limits(target=100)))
        await client.send(get("/" + "x" * 200))
        assert (await client.read_message()).status == 414


async def test_requests_that_waited_in_line_start_when_there_is_room():
    answer = asyncio.Event()
    asked = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.read_message()
        asked.release()
        await answer.wait()
        await peer.send(OK)

    async with scripted(script) as up:
        routes = route("/", up.port)
        async with (
            running(config(routes, limits=Limits(in_flight=1, queue=1))) as gateway,
            client_of(gateway) as one,
            client_of(gateway) as two,
        ):
            for client in (one, two):
                await client.send(get("/"))
            await asyncio.wait_for(asked.acquire(), PATIENCE)
            await gateway.adopt(config(routes))
            await asyncio.wait_for(asked.acquire(), PATIENCE)
            answer.set()
            assert [(await client.read_message()).status for client in (one, two)] == [200, 200]


async def test_stale_answers_stay():
    fallback = Fallback(stale=60.0)
    answer = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
    async with answering(answer, BROKEN) as up:
        merged = config(route("/", up.port, service={"fallback": fallback}))
        async with running(merged) as gateway:
            assert (await ask(gateway, get("/"))).body == b'{"a":1}'
            await gateway.adopt(replace(merged, routes=(replace(merged.routes[0], timeout=3.0),)))
            stale = await ask(gateway, get("/"))
            assert (stale.status, stale.body) == (200, b'{"a":1}')
            assert "stale" in stale.get("switchgear-parts")


async def test_the_access_log_goes_where_it_is_told_and_a_moved_file_is_opened_anew(tmp_path):
    first, moved, second = (tmp_path / name for name in ("first", "moved", "second"))

    def lines(path) -> list[str]:
        return [json.loads(line)["url.path"] for line in path.read_text().splitlines()]

    async def written(path, *paths) -> None:
        async with asyncio.timeout(PATIENCE):
            while not path.exists() or lines(path) != list(paths):  # noqa: ASYNC110 - the log's thread tells nobody
                await asyncio.sleep(0.01)

    async with answering(OK) as up:
        routes = route("/{x}", up.port)
        async with running(config(routes, log=LogConfig(access=str(first)))) as gateway:
            await ask(gateway, get("/1"))
            await written(first, "/1")
            first.rename(moved)
            gateway.reopen_log()
            await ask(gateway, get("/2"))
            await written(first, "/2")
            await gateway.adopt(config(routes, log=LogConfig(access=str(second))))
            await ask(gateway, get("/3"))
            await written(second, "/3")
            await gateway.adopt(config(routes))
            await ask(gateway, get("/4"))
    assert [lines(path) for path in (moved, first, second)] == [["/1"], ["/2"], ["/3"]]


async def test_another_store_is_named_and_not_taken(caplog):
    async with answering(OK) as up, running(config(route("/", up.port))) as gateway:
        with caplog.at_level(logging.WARNING, "switchgear"):
            await gateway.adopt(config(route("/", up.port), state=State("redis", port=1)))
        assert gateway.config.state == State()
        assert "state: another place" in caplog.text
        assert (await ask(gateway, get("/"))).status == 200
