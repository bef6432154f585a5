"""Several URLs: whose turn it is, and where a request goes that finds no connection."""

import asyncio
from collections import Counter
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear import CircuitOpenError, CircuitState
from switchgear.gateway.upstream.balancing import Balancer, most_ejected
from tests.gateway.upstreams import (
    OK,
    Peer,
    answering,
    ask,
    circuit,
    client_of,
    gateway,
    get,
    post,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio

NOBODY = 1  # a port that refuses connections


# ---- the logic alone


class Door:
    """An endpoint's circuit, open or not."""

    def __init__(self, is_open: bool) -> None:
        self.is_open = is_open

    def try_enter(self):
        if self.is_open:
            raise CircuitOpenError("endpoint", CircuitState.OPEN)
        return self

    def rejected(self) -> None:
        """Counted elsewhere."""


def endpoints(*are_open: bool, busy: tuple[int, ...] = ()):
    counts = busy or (0,) * len(are_open)
    return [
        SimpleNamespace(guard=Door(is_open), pool=SimpleNamespace(busy=count))
        for is_open, count in zip(are_open, counts, strict=True)
    ]


def chosen(balancer: Balancer) -> object:
    turn = balancer.turn()
    assert turn.next() is True
    return turn.endpoint


@pytest.mark.parametrize(
    ("count", "share", "most"),
    [
        (1, 0.5, 0),
        (1, 1.0, 0),
        (2, 0.5, 1),
        (3, 0.5, 1),
        (4, 0.5, 2),
        (4, 1.0, 3),
        (5, 0.1, 0),
        (100, 0.29, 29),
    ],
)
def test_a_share_is_ejected_and_never_all(count: int, share: float, most: int):
    assert most_ejected(count, share) == most


def test_round_robin_begins_with_the_first_and_goes_round():
    each = endpoints(False, False, False)
    balancer = Balancer(each, "round-robin", 0.5)
    assert [each.index(chosen(balancer)) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_the_neighbour_of_an_ejected_endpoint_gets_no_more_than_the_others():
    each = endpoints(True, False, False, False)
    balancer = Balancer(each, "round-robin", 0.5)
    counts = Counter(each.index(chosen(balancer)) for _ in range(30))
    assert counts == {1: 10, 2: 10, 3: 10}


@given(
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.floats(0.01, 1.0),
    st.sampled_from(["round-robin", "least-requests"]),
    st.integers(0, 1 << 16),
)
def test_at_most_the_share_is_passed_over(are_open: list[bool], share: float, balance, seed: int):
    each = endpoints(*are_open)
    balancer = Balancer(each, balance, share, Random(seed))
    most = most_ejected(len(each), share)
    for _ in range(2 * len(each)):
        turn = balancer.turn()
        assert turn.next() is True  # somebody always gets the request
        if turn.endpoint.guard.is_open:
            assert sum(are_open) > most  # only beyond the share is an open circuit used
    if sum(are_open) <= most:
        assert not chosen(balancer).guard.is_open


def test_of_two_at_random_the_less_busy_one_is_chosen():
    each = endpoints(*[False] * 4, busy=(9, 5, 1, 0))
    balancer = Balancer(each, "least-requests", 0.5, Random(1))
    counts = Counter(each.index(chosen(balancer)) for _ in range(6000))
    assert 0 not in counts  # the busiest one wins against nobody
    assert counts[1] == pytest.approx(1000, rel=0.15)
    assert counts[2] == pytest.approx(2000, rel=0.15)
    assert counts[3] == pytest.approx(3000, rel=0.15)


@pytest.mark.parametrize("balance", ["round-robin", "least-requests"])
def test_an_endpoint_that_was_tried_comes_last(balance):
    each = endpoints(False, False, False)
    balancer = Balancer(each, balance, 0.5, Random(7))
    for _ in range(20):
        turn = balancer.turn(each[1])
        order = []
        while turn.next():
            order.append(turn.endpoint)
        assert len(order) == 3
        assert order[-1] is each[1]


class Asking(Door):
    """A circuit whose store has to be asked for a probe."""

    def try_enter(self):
        return None

    async def enter(self):
        return super().try_enter()


@pytest.mark.parametrize("granted", [True, False])
async def test_a_store_may_be_asked_for_a_probe(granted: bool):
    each = endpoints(False, False)
    each[0].guard = Asking(not granted)
    turn = Balancer(each, "round-robin", 0.5).turn()
    assert turn.next() is each[0].guard
    assert await turn.ask(each[0].guard) is granted
    assert granted or (turn.next() is True and turn.endpoint is each[1])


async def test_beyond_the_share_a_store_that_grants_nothing_changes_nothing():
    each = endpoints(False)
    each[0].guard = Asking(True)
    turn = Balancer(each, "round-robin", 0.5).turn()
    assert await turn.ask(turn.next()) is True


# ---- over sockets


async def test_requests_are_spread_in_turn():
    async with (
        answering(OK) as a,
        answering(OK) as b,
        answering(OK) as c,
        gateway(route("/", a.port, b.port, c.port)) as running,
    ):
        for _ in range(9):
            assert (await ask(running, get("/"))).status == 200
        assert [len(up.requests) for up in (a, b, c)] == [3, 3, 3]


async def test_least_requests_avoids_the_endpoint_that_hangs():
    async def hang(peer: Peer) -> None:
        await peer.read_head()
        hanging.set()
        await peer.closed()

    hanging = asyncio.Event()
    service = {"balance": "least-requests"}
    async with (
        scripted(hang) as slow,
        answering(OK) as quick,
        gateway(route("/", slow.port, quick.port, service=service)) as running,
    ):
        waiting: list[asyncio.Task] = []
        async with client_of(running) as client:
            while not hanging.is_set():  # chance decides when the slow one gets its first request
                await client.send(get("/"))
                answer = asyncio.ensure_future(client.read_message())
                stuck = asyncio.ensure_future(hanging.wait())
                await asyncio.wait((answer, stuck), return_when=asyncio.FIRST_COMPLETED)
                waiting = [answer, stuck]
                if answer.done():
                    stuck.cancel()
            before = len(quick.requests)
            for _ in range(20):
                assert (await ask(running, get("/"))).status == 200
            assert len(quick.requests) == before + 20
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("request_", [get("/"), post("/", b"body"), post("/", b"")])
async def test_a_refused_connection_moves_on_at_once(request_: bytes):
    guard = circuit(failure_threshold=1)
    async with (
        answering(OK) as up,
        gateway(route("/", NOBODY, up.port, NOBODY, service={"circuit": guard})) as running,
    ):
        for _ in range(4):
            assert (await ask(running, request_)).status == 200
        # The service did answer, every time.
        assert running.circuits[guard.key].snapshot().failure_count == 0
    assert len(up.requests) == 4


async def test_when_nobody_takes_the_connection_it_is_one_failure_of_the_service():
    guard = circuit(failure_threshold=9)
    async with gateway(route("/", NOBODY, NOBODY, service={"circuit": guard})) as running:
        assert (await ask(running, get("/"))).status == 502
        assert running.circuits[guard.key].snapshot().failure_count == 1


async def test_what_was_sent_is_not_sent_elsewhere():
    async def drop(peer: Peer) -> None:
        await peer.read_message()
        peer.close()

    async with (
        scripted(drop) as dropping,
        answering(OK) as up,
        gateway(route("/", dropping.port, up.port)) as running,
    ):
        statuses = [(await ask(running, post("/", b"pay"))).status for _ in range(4)]
    assert statuses == [502, 200, 502, 200]
