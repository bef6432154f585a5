"""`perEndpoint`: each URL has a circuit of its own, and at most a share of them is out."""

import pytest

from switchgear import CircuitBreakerPolicy, CircuitState
from switchgear.gateway.config.model import Circuit, Endpoint, Route, Service
from switchgear.gateway.config.paths import parse_path
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.testing import ManualClock
from tests.gateway.upstreams import OK, Peer, answering, ask, circuit, gateway, get, scripted

pytestmark = pytest.mark.anyio

BROKEN = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
NOBODY = 1


def balanced(*ports: int, share: float = 0.5, service: Circuit | None = None, **policy) -> Route:
    """A route to a service whose URLs have circuits called `e0`, `e1`, ..."""
    rules = CircuitBreakerPolicy(**{"failure_threshold": 2} | policy)
    endpoints = tuple(
        Endpoint("http", "127.0.0.1", port, circuit=Circuit(f"e{i}", rules)) for i, port in enumerate(ports)
    )
    one = Service("up", endpoints, circuit=service, per_endpoint=True, max_ejected=share)
    return Route(parse_path("/"), "ALL", (one,))


def states(running, count: int) -> list[CircuitState]:
    return [running.circuits[f"e{i}"].state for i in range(count)]


async def statuses(running, count: int) -> list[int]:
    return [(await ask(running, get("/"))).status for _ in range(count)]


async def test_a_broken_endpoint_is_left_out_and_probed_again():
    clock = ManualClock()
    async with (
        answering(BROKEN, BROKEN, OK) as sick,
        answering(OK) as well,
        gateway(balanced(sick.port, well.port), clock=clock) as running,
    ):
        assert sorted(await statuses(running, 4)) == [200, 200, 500, 500]
        assert states(running, 2) == [CircuitState.OPEN, CircuitState.CLOSED]
        assert await statuses(running, 6) == [200] * 6
        assert len(sick.requests) == 2

        clock.advance(30)
        assert await statuses(running, 4) == [200] * 4
        assert states(running, 2) == [CircuitState.CLOSED, CircuitState.CLOSED]
        assert len(sick.requests) == 4


async def test_a_refused_connection_is_evidence_for_its_endpoint_alone():
    guard = circuit(failure_threshold=1)
    async with (
        answering(OK) as up,
        gateway(balanced(NOBODY, up.port, service=guard)) as running,
    ):
        assert await statuses(running, 6) == [200] * 6
        assert states(running, 2) == [CircuitState.OPEN, CircuitState.CLOSED]
        assert running.circuits["e0"].snapshot().failure_count == 2
        assert running.circuits[guard.key].state is CircuitState.CLOSED


async def test_beyond_the_share_open_circuits_are_used_all_the_same():
    async with (
        answering(BROKEN) as a,
        answering(BROKEN) as b,
        gateway(balanced(a.port, b.port)) as running,
    ):
        assert await statuses(running, 10) == [500] * 10
        assert states(running, 2) == [CircuitState.OPEN, CircuitState.OPEN]
    assert len(a.requests) + len(b.requests) == 10


@pytest.mark.parametrize("share", [0.5, 1.0])
async def test_a_single_endpoint_is_never_left_out(share: float):
    async with answering(BROKEN) as up, gateway(balanced(up.port, share=share)) as running:
        assert await statuses(running, 5) == [500] * 5
        assert states(running, 1) == [CircuitState.OPEN]


async def test_what_passed_an_open_circuit_is_no_evidence_for_it():
    clock = ManualClock()
    async with (
        answering(BROKEN, BROKEN, OK) as up,
        gateway(balanced(up.port, reset_timeout=30), clock=clock) as running,
    ):
        assert await statuses(running, 4) == [500, 500, 200, 200]
        assert states(running, 1) == [CircuitState.OPEN]  # closed by a probe only
        clock.advance(30)
        assert await statuses(running, 1) == [200]
        assert states(running, 1) == [CircuitState.CLOSED]


async def test_service_and_endpoint_both_hear_of_an_answer():
    guard = circuit(failure_threshold=9)
    async with (
        answering(BROKEN) as up,
        gateway(balanced(up.port, service=guard, failure_threshold=9)) as running,
    ):
        await statuses(running, 3)
        counts = [running.circuits[key].snapshot().failure_count for key in (guard.key, "e0")]
    assert counts == [3, 3]


async def test_a_body_that_is_cut_off_is_one_more_failure():
    async def cut(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        peer.close()

    async with (
        scripted(cut) as up,
        gateway(balanced(up.port, failure_threshold=1)) as running,
    ):
        with pytest.raises(Exception, match="bytes"):
            await ask(running, get("/"))
        assert states(running, 1) == [CircuitState.OPEN]


async def test_endpoints_share_their_circuits_through_a_store():
    clock = ManualClock()
    store = InMemoryCircuitBreakerStore(clock=clock)
    async with (
        answering(BROKEN, BROKEN, OK) as sick,
        answering(OK) as well,
        gateway(balanced(sick.port, well.port), store=store, clock=clock) as one,
        gateway(balanced(sick.port, well.port), store=store, clock=clock) as two,
    ):
        await statuses(one, 4)
        assert states(one, 2) == states(two, 2) == [CircuitState.OPEN, CircuitState.CLOSED]
        assert await statuses(two, 4) == [200] * 4
        assert len(sick.requests) == 2
        clock.advance(30)
        assert await statuses(two, 4) == [200] * 4
        assert states(one, 2) == states(two, 2) == [CircuitState.CLOSED, CircuitState.CLOSED]
