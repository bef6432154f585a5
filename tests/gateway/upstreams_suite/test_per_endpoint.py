"""`perEndpoint`: each URL has a circuit of its own, and at most a share of them is out."""

from dataclasses import replace

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


# ---- the circuit of the service beside those of its URLs


WINDOWED = [{"failure_threshold": 3, "window": 60}, {"failure_rate": 0.5, "minimum_calls": 4}]


def windowed(*ports: int, **policy) -> Route:
    return balanced(*ports, service=circuit(**policy), **{"failure_threshold": None} | policy)


@pytest.mark.parametrize("policy", WINDOWED, ids=["count", "rate"])
async def test_a_single_url_never_opens_the_circuit_of_its_service(policy):
    clock = ManualClock()
    async with (
        answering(BROKEN) as sick,
        answering(OK) as well,
        gateway(windowed(sick.port, well.port, reset_timeout=5, **policy), clock=clock) as running,
    ):
        for _ in range(5):
            assert set(await statuses(running, 12)) <= {200, 500}
            assert running.circuits["service:up"].state is CircuitState.CLOSED
            assert states(running, 2) == [CircuitState.OPEN, CircuitState.CLOSED]
            clock.advance(6)
        assert running.circuits["service:up"].snapshot().failure_count == 0


async def test_urls_that_fail_together_open_it_as_if_nothing_had_been_held_back():
    async with (
        answering(BROKEN) as a,
        answering(BROKEN) as b,
        gateway(windowed(a.port, b.port, failure_threshold=3, window=60)) as running,
    ):
        assert await statuses(running, 4) == [500, 500, 500, 503]
        assert running.circuits["service:up"].snapshot().failure_count == 3


async def test_what_was_held_back_is_forgotten_with_its_window():
    clock = ManualClock()
    async with (
        answering(BROKEN) as a,
        answering(*[OK] * 4, BROKEN) as b,
        gateway(windowed(a.port, b.port, failure_threshold=5, window=10), clock=clock) as running,
    ):
        assert await statuses(running, 6) == [500, 200] * 3
        clock.advance(11)
        assert await statuses(running, 4) == [500, 200, 500, 500]
        assert running.circuits["service:up"].snapshot().failure_count == 3  # of this window


async def test_a_probe_that_meets_the_one_sick_url_does_not_keep_the_service_shut():
    clock = ManualClock()
    async with (
        answering(BROKEN) as sick,
        answering(BROKEN, OK) as well,
        gateway(windowed(sick.port, well.port, failure_threshold=2, window=60), clock=clock) as running,
    ):
        assert await statuses(running, 3) == [500, 500, 503]
        clock.advance(61)
        assert await statuses(running, 4) == [500, 200, 500, 200]
        assert running.circuits["service:up"].state is CircuitState.CLOSED


async def test_a_run_of_failures_of_one_url_does_not_open_it_either():
    """Errors come back quickly: whoever asks the less busy one may meet the sick one again and again."""
    rules = {"failure_threshold": 3}
    both = balanced(1, 2, service=circuit(**rules), share=0.5, **rules).services[0]
    async with answering(BROKEN) as sick, answering(OK, BROKEN) as well:
        urls = [replace(url, port=up.port) for url, up in zip(both.endpoints, (sick, well), strict=True)]
        only, other = (replace(both, endpoints=tuple(order)) for order in (urls, urls[::-1]))
        # Routes with turns of their own, so that the sick one is always asked first.
        routes = [Route(parse_path(f"/{n}"), "ALL", (only,)) for n in range(4)]
        async with gateway(*routes, Route(parse_path("/well"), "ALL", (other,))) as running:
            paths = [*[f"/{n}" for n in range(3)], "/3", "/well"]
            asked = [(await ask(running, get(path))).status for path in paths]
            assert asked == [500, 500, 500, 200, 500]
            assert running.circuits["e0"].state is CircuitState.OPEN
            # The answer of the other one has ended the run, and its failure is the first of the next.
            assert running.circuits["service:up"].snapshot().failure_count == 1


async def test_a_run_of_failures_of_several_urls_does():
    guard = circuit(failure_threshold=3)
    async with (
        answering(BROKEN) as a,
        answering(BROKEN) as b,
        gateway(balanced(a.port, b.port, service=guard, failure_threshold=3)) as running,
    ):
        assert await statuses(running, 4) == [500, 500, 500, 503]
