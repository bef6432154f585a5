"""Circuits in the gateway: what is evidence, who hears of it, and what a rejected client is told."""

import asyncio
import json

import pytest

from switchgear import CircuitState
from switchgear.stores import InMemoryCircuitBreakerStore
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Message,
    Peer,
    answering,
    ask,
    circuit,
    client_of,
    gateway,
    get,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio

BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
MISSING = b"HTTP/1.1 404 Missing\r\nContent-Length: 0\r\n\r\n"


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize("place", ["route", "service"])
async def test_a_circuit_opens_rejects_probes_and_closes(place: str):
    clock = ManualClock()
    guard = circuit("c", failure_threshold=3, window=150, reset_timeout=150)
    options = {"circuit": guard} if place == "route" else {"service": {"circuit": guard}}
    async with (
        answering(BROKEN, BROKEN, BROKEN, OK) as up,
        gateway(route("/", up.port, **options), clock=clock) as running,
        client_of(running) as client,
    ):

        async def answer() -> Message:
            await client.send(get("/"))
            return await client.read_message()

        async def status() -> int:
            return (await answer()).status

        assert [await status() for _ in range(3)] == [500, 500, 500]
        assert running.circuits["c"].state is CircuitState.OPEN
        rejection = await answer()
        assert rejection.status == 503
        assert rejection.get("retry-after") == "150"
        assert rejection.get("switchgear-origin") == "breaker"
        assert rejection.get("content-type") == "application/problem+json"
        clock.now += 149.5
        assert (await answer()).get("retry-after") == "1"
        assert len(up.requests) == 3
        clock.now += 1
        assert await status() == 200  # the probe
        assert running.circuits["c"].state is CircuitState.CLOSED
        assert await status() == 200
        assert len(up.requests) == 5


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("come back later", "text/plain; charset=utf-8", "come back later"),
        ({"sorry": 1}, "application/json", None),
    ],
)
async def test_a_rejection_has_its_own_words(body, kind, text):
    guard = circuit(failure_threshold=1, error_status=429, error_body=body)
    async with answering(BROKEN) as up, gateway(route("/", up.port, service={"circuit": guard})) as running:
        await ask(running, get("/"))
        rejection = await ask(running, get("/"))
    assert (rejection.status, rejection.get("content-type")) == (429, kind)
    assert rejection.body.decode() == text if text else json.loads(rejection.body) == body


async def test_a_forced_open_circuit_names_no_time():
    async with answering(OK) as up, gateway(route("/", up.port, service={"circuit": circuit()})) as running:
        running.circuits["service:up"].force_open("maintenance")
        rejection = await ask(running, get("/"))
    assert (rejection.status, rejection.get("retry-after")) == (503, None)
    assert up.requests == []


async def test_a_rejection_by_the_service_is_no_evidence_for_the_route():
    outer, inner = circuit("outer", failure_threshold=2), circuit("inner", failure_threshold=1)
    async with (
        answering(BROKEN) as up,
        gateway(route("/", up.port, service={"circuit": inner}, circuit=outer)) as running,
    ):
        for _ in range(5):
            await ask(running, get("/"))
        assert running.circuits["inner"].state is CircuitState.OPEN
        assert running.circuits["outer"].state is CircuitState.CLOSED
        assert running.circuits["outer"].snapshot().failure_count == 1
    assert len(up.requests) == 1


async def test_both_circuits_count_what_the_service_did():
    outer, inner = circuit("outer", failure_threshold=9), circuit("inner", failure_threshold=9)
    async with (
        answering(BROKEN, BUSY, MISSING) as up,
        gateway(route("/", up.port, service={"circuit": inner}, circuit=outer)) as running,
    ):

        async def counts() -> list[int]:
            await ask(running, get("/"))
            return [running.circuits[name].snapshot().failure_count for name in ("outer", "inner")]

        assert await counts() == [1, 1]
        assert await counts() == [2, 2]
        assert await counts() == [0, 0]  # a 404 is an answer


async def test_the_statuses_that_count_are_the_policys():
    guard = circuit(failure_threshold=1, failure_statuses={404})
    async with (
        answering(BROKEN, MISSING) as up,
        gateway(route("/", up.port, service={"circuit": guard})) as running,
    ):
        assert [(await ask(running, get("/"))).status for _ in range(3)] == [500, 404, 503]


async def test_callables_of_a_policy_read_answers():
    guard = circuit(
        failure_threshold=1,
        reset_timeout=5,
        failure_if=lambda response: (b"x-sick", b"yes") in response.headers,
        ignore=lambda response: response.status == 500,
        retry_after_from=lambda response: float(dict(response.headers)[b"retry-after"]),
    )
    sick = b"HTTP/1.1 200 OK\r\nX-Sick: yes\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n"
    async with (
        answering(BROKEN, sick) as up,
        gateway(route("/", up.port, service={"circuit": guard})) as running,
    ):
        assert [(await ask(running, get("/"))).status for _ in range(2)] == [500, 200]
        rejection = await ask(running, get("/"))
    assert (rejection.status, rejection.get("retry-after")) == (503, "77")


async def test_a_failed_probe_opens_again_and_only_one_passes_at_a_time():
    clock = ManualClock()
    probing, answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        if clock.now > 1000:
            probing.set()
            await answer.wait()
        await peer.send(b"HTTP/1.1 500 Broken\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    guard = circuit("c", failure_threshold=1, reset_timeout=10)
    async with scripted(script) as up, gateway(route("/", up.port, circuit=guard), clock=clock) as running:
        assert (await ask(running, get("/"))).status == 500
        clock.now += 11
        probe = asyncio.create_task(ask(running, get("/")))
        await asyncio.wait_for(probing.wait(), PATIENCE)
        assert [(await ask(running, get("/"))).status for _ in range(5)] == [503] * 5
        answer.set()
        assert (await probe).status == 500
        assert (await ask(running, get("/"))).get("retry-after") == "10"
    assert up.connections == 2


async def test_a_client_that_leaves_gives_its_probe_back():
    clock = ManualClock()
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        if up.connections == 1:
            await peer.send(b"HTTP/1.1 500 Broken\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        elif up.connections == 2:
            asked.set()
            await peer.closed()
        else:
            await peer.send(OK)

    guard = circuit("c", failure_threshold=1, reset_timeout=10)
    async with scripted(script) as up, gateway(route("/", up.port, circuit=guard), clock=clock) as running:
        await ask(running, get("/"))
        clock.now += 11
        async with client_of(running) as client:
            await client.send(get("/"))
            await asyncio.wait_for(asked.wait(), PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while (message := await ask(running, get("/"))).status == 503:
                pass  # the gateway has not seen yet that the client left
        assert message.body == b"ok"
        assert running.circuits["c"].state is CircuitState.CLOSED


class FiveMethods:
    """A user's store: the five coroutines over the one that is shipped, and nothing else."""

    def __init__(self) -> None:
        store = InMemoryCircuitBreakerStore()
        for name in ("get_state", "record_success", "record_failure", "transition", "reset"):
            setattr(self, name, getattr(store, name))


async def test_a_users_store_keeps_the_circuits():
    store = FiveMethods()
    opened = asyncio.Event()
    guard = circuit("c", failure_threshold=2, reset_timeout=0.05)
    async with (
        answering(BROKEN, BROKEN, OK) as up,
        gateway(route("/", up.port, service={"circuit": guard}), store=store) as running,
    ):
        running.circuits.on_transition(lambda _event: opened.set())
        assert [(await ask(running, get("/"))).status for _ in range(2)] == [500, 500]
        await asyncio.wait_for(opened.wait(), PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while (message := await ask(running, get("/"))).status == 503:
                pass  # until the open time is over
        assert message.body == b"ok"
