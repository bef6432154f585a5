"""What an older circuit breaker policy of a gateway got wrong, each as a test of how it is here."""

import asyncio
import json
import re

import pytest

from switchgear import CircuitBreaker, CircuitBreakerSnapshot, CircuitState
from switchgear.stores import InMemoryCircuitBreakerStore
from tests.gateway.seeds import BROKEN, ManualClock, answer, merged, one, running
from tests.gateway.upstreams import OK, PATIENCE, Peer, answering, ask, client_of, get, scripted

pytestmark = pytest.mark.anyio

FIVE = "{failureThreshold: 5, resetTimeoutMs: 30000, halfOpenMax: 1}"
CLOSING = b"HTTP/1.1 %d Status\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def test_a_success_ends_the_run_of_failures(tmp_path):
    """The count was never reset: five failures over days opened the circuit."""
    days = [BROKEN] * 4 + [OK] + [BROKEN] * 4 + [OK]
    async with answering(*days) as up, running(tmp_path, one(up.port, FIVE)) as gateway:
        statuses = [(await ask(gateway, get("/x"))).status for _ in range(10)]
    assert statuses == [500] * 4 + [200] + [500] * 4 + [200]


async def test_failed_probes_make_the_open_time_grow(tmp_path):
    """There was no back-off, and the count lived on when the circuit opened again."""
    clock = ManualClock()
    breaker = "{failureThreshold: 1, resetTimeout: 10s, resetTimeoutFactor: 2, resetTimeoutMax: 30s}"
    async with answering(BROKEN) as up, running(tmp_path, one(up.port, breaker), clock=clock) as gateway:
        waits = []
        for _ in range(4):
            assert (await ask(gateway, get("/x"))).status == 500
            waits.append(int((await ask(gateway, get("/x"))).get("retry-after") or 0))
            clock.now += waits[-1]
    assert waits == [10, 20, 30, 30]


@pytest.mark.parametrize("allowed", [1, 3])
async def test_no_more_probes_at_once_than_allowed(tmp_path, allowed):
    """Each racer set the number of probes back to zero, so that more than the maximum passed."""
    clock, probes, all_there = ManualClock(), 0, asyncio.Event()
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal probes
        await peer.read_message()
        if clock.now > 1000:
            probes += 1
            if probes == allowed:
                all_there.set()
            await release.wait()
            await peer.send(CLOSING % 200)
        await peer.send(CLOSING % 500)

    breaker = (
        f"{{failureThreshold: 1, resetTimeout: 10s, halfOpenMax: {allowed}, successThreshold: {allowed}}}"
    )
    async with scripted(script) as up, running(tmp_path, one(up.port, breaker), clock=clock) as gateway:
        assert (await ask(gateway, get("/x"))).status == 500
        clock.now += 10
        racers = [asyncio.create_task(ask(gateway, get("/x"))) for _ in range(20)]
        await asyncio.wait_for(all_there.wait(), PATIENCE)
        rejected = 0
        for racer in asyncio.as_completed(racers):
            rejected += (await racer).status == 503
            if rejected == 20 - allowed:
                release.set()
        assert (probes, rejected) == (allowed, 20 - allowed)
        (circuit,) = gateway.circuits
        assert circuit.state is CircuitState.CLOSED


async def test_a_late_failure_neither_prolongs_an_outage_nor_tells_it_twice(tmp_path):
    """A call from before the opening moved the time of the state's change when it failed at last."""
    clock, late, release = ManualClock(), asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        request = await peer.read_message()
        if "/slow" in request.start:
            late.set()
            await release.wait()
        await peer.send(CLOSING % 500)

    text = "{failureThreshold: 1, resetTimeout: 10s}"
    async with (
        scripted(script) as up,
        running(tmp_path, one(up.port, text, path="/*"), clock=clock) as gateway,
    ):
        (circuit,) = gateway.circuits
        slow = asyncio.create_task(ask(gateway, get("/slow")))
        await asyncio.wait_for(late.wait(), PATIENCE)
        await ask(gateway, get("/quick"))
        opened = circuit.snapshot()
        clock.now += 6
        release.set()
        assert (await slow).status == 500
        after = circuit.snapshot()
        assert (opened.state, after.state) == (CircuitState.OPEN, CircuitState.OPEN)
        assert after.generation == opened.generation
        assert (await ask(gateway, get("/quick"))).get("retry-after") == "4"


async def test_a_stale_probe_does_not_open_a_closed_circuit(tmp_path):
    """A probe that failed after another one had closed the circuit opened it again."""
    clock, slow_probe, release = ManualClock(), asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        request = await peer.read_message()
        if "/slow" in request.start:
            slow_probe.set()
            await release.wait()
        await peer.send(CLOSING % (200 if "/good" in request.start else 500))

    text = "{failureThreshold: 1, resetTimeout: 10s, halfOpenMax: 2}"
    async with (
        scripted(script) as up,
        running(tmp_path, one(up.port, text, path="/*"), clock=clock) as gateway,
    ):
        (circuit,) = gateway.circuits
        await ask(gateway, get("/bad"))
        clock.now += 10
        stale = asyncio.create_task(ask(gateway, get("/slow")))
        await asyncio.wait_for(slow_probe.wait(), PATIENCE)
        assert (await ask(gateway, get("/good"))).status == 200
        assert circuit.state is CircuitState.CLOSED
        release.set()
        assert (await stale).status == 500
        assert circuit.state is CircuitState.CLOSED


async def test_a_client_that_leaves_is_no_failure(tmp_path):
    """Whatever was thrown was a failure: the end of a client's connection, too."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        asked.set()
        await peer.closed()
        left.set()

    async with (
        scripted(script) as up,
        running(tmp_path, one(up.port, "{failureThreshold: 1}", of="route")) as gateway,
    ):
        async with client_of(gateway) as client:
            await client.send(get("/x"))
            await asyncio.wait_for(asked.wait(), PATIENCE)
        await asyncio.wait_for(left.wait(), PATIENCE)
        (circuit,) = gateway.circuits
        assert (circuit.state, circuit.snapshot().failure_count) == (CircuitState.CLOSED, 0)


async def test_a_refused_request_is_no_failure(tmp_path):
    """A request that the gateway itself refused counted against the service."""
    async with (
        answering(OK) as up,
        running(tmp_path, one(up.port, "{failureThreshold: 1}", of="route")) as gateway,
    ):
        for raw in (get("/x", "Content-Length: 1", "Content-Length: 2", method="POST"), b"nonsense\r\n\r\n"):
            assert (await ask(gateway, raw)).status == 400
        (circuit,) = gateway.circuits
        assert circuit.snapshot().failure_count == 0
    assert up.requests == []


async def test_a_clock_that_is_set_back_or_forward_changes_nothing(tmp_path):
    """Open times were differences of hosts' wall clocks."""
    clock = ManualClock()
    async with answering(BROKEN, OK) as up:
        text = one(up.port, "{failureThreshold: 1, resetTimeout: 10s}")
        async with running(tmp_path, text, clock=clock) as gateway:
            await ask(gateway, get("/x"))
            for step in (86400.0, -86400.0 * 2):
                clock.wall += step
                assert (await ask(gateway, get("/x"))).get("retry-after") == "10"
            clock.now += 10
            assert (await ask(gateway, get("/x"))).status == 200


async def test_one_circuit_however_many_paths_and_one_for_each_method(tmp_path):
    """The key was the path as the client wrote it: without bound, and blind to method and service."""
    async with answering(BROKEN) as up:
        services = f"{{services: {{up: {{url: 'http://127.0.0.1:{up.port}'}}}}}}"
        text = (
            "http: {circuitBreaker: {failureThreshold: 1}, routes: {'/users/{id}': "
            f"{{GET: {services}, DELETE: {services}}}}}}}"
        )
        async with running(tmp_path, text) as gateway:
            statuses = [(await ask(gateway, get(f"/users/{i}"))).status for i in range(50)]
            assert statuses == [500] + [503] * 49
            assert (await ask(gateway, get("/users/1", method="DELETE"))).status == 500
            assert sorted(circuit.name for circuit in gateway.circuits) == [
                "route:DELETE /users/{id}",
                "route:GET /users/{id}",
            ]


async def test_earlier_answers_are_served_while_open_and_are_no_successes(tmp_path):
    """An open circuit hid the answers that were kept, and answers that were kept counted as successes."""
    clock = ManualClock()
    async with answering(answer({"n": 1}), BROKEN) as up:
        service = (
            f"up: {{url: 'http://127.0.0.1:{up.port}', fallback: {{stale: 10m}}, "
            "circuitBreaker: {failureThreshold: 2}}"
        )
        async with running(tmp_path, merged(service), clock=clock) as gateway:
            (circuit,) = gateway.circuits
            answers = [await ask(gateway, get("/m")) for _ in range(6)]
            assert [(a.status, json.loads(a.body)) for a in answers] == [(200, {"n": 1})] * 6
            assert circuit.state is CircuitState.OPEN
            parts = [a.get("switchgear-parts") or "" for a in answers]
            assert parts[0] == ""
            assert all(re.fullmatch(r"up;stale;age=\d+;reason=error", part) for part in parts[1:3])
            assert all(re.fullmatch(r"up;stale;age=\d+;reason=open", part) for part in parts[3:])
    assert len(up.requests) == 3


class Silent:
    """A store that takes every question and never answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def get_state(self, key: str) -> CircuitBreakerSnapshot:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def record_success(self, key: str) -> CircuitBreakerSnapshot:
        return await self.get_state(key)

    async def record_failure(self, key: str) -> CircuitBreakerSnapshot:
        return await self.get_state(key)

    async def transition(self, key: str, to: CircuitState) -> CircuitBreakerSnapshot:
        return await self.get_state(key)

    async def reset(self, key: str) -> None:
        await self.get_state(key)


async def test_requests_do_not_wait_for_the_store(tmp_path):
    """Every request paid two round trips to the store."""
    store = Silent()
    async with (
        answering(*[OK] * 20, BROKEN) as up,
        running(tmp_path, one(up.port, "{failureThreshold: 5}"), store=store) as gateway,
    ):
        statuses = [(await ask(gateway, get("/x"))).status for _ in range(30)]
    assert statuses == [200] * 20 + [500] * 5 + [503] * 5
    assert store.asked < 20


async def test_the_store_that_is_given_is_the_one_that_is_used(tmp_path):
    """The store had to be wired by hand, although the documents said otherwise."""
    store = InMemoryCircuitBreakerStore()
    async with (
        answering(BROKEN) as up,
        running(tmp_path, one(up.port, "{failureThreshold: 2, name: up}"), store=store) as gateway,
    ):
        for _ in range(2):
            await ask(gateway, get("/x"))
        assert (await store.get_state("up")).state is CircuitState.OPEN
        elsewhere = CircuitBreaker("up", gateway.circuits["up"].policy, store=store)
        assert elsewhere.state is CircuitState.OPEN
        await store.transition("up", CircuitState.CLOSED)
        assert (await ask(gateway, get("/x"))).status == 500


async def test_retry_after_is_what_is_left(tmp_path):
    """While half-open, clients were told to wait for a whole open time."""
    clock, probing, release = ManualClock(), asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_message()
        if clock.now > 1000:
            probing.set()
            await release.wait()
        await peer.send(CLOSING % 500)

    breaker = "{failureThreshold: 1, resetTimeout: 100s, probeTimeout: 20s}"
    async with scripted(script) as up, running(tmp_path, one(up.port, breaker), clock=clock) as gateway:
        await ask(gateway, get("/x"))
        waits = []
        for _ in range(3):
            waits.append(int((await ask(gateway, get("/x"))).get("retry-after") or 0))
            clock.now += 30
        clock.now = 1100
        probe = asyncio.create_task(ask(gateway, get("/x")))
        await asyncio.wait_for(probing.wait(), PATIENCE)
        for _ in range(2):
            waits.append(int((await ask(gateway, get("/x"))).get("retry-after") or 0))
            clock.now += 5
        release.set()
        assert (await probe).status == 500
    assert waits == [100, 70, 40, 20, 15]
