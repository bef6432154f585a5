"""When a request is tried again: the rule, its budget, and the layer that waits."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.config.model import Retry
from switchgear.gateway.exchange import BufferedResponse, UpstreamFailure
from switchgear.gateway.policies import Response
from switchgear.gateway.policies.retry import RetryLayer
from switchgear.gateway.retrying import RESERVE, Last, RetryBudget, RetryRule
from tests.gateway.upstreams import PATIENCE

pytestmark = pytest.mark.anyio


def answer(status: int, *headers: tuple[bytes, bytes]) -> BufferedResponse:
    return BufferedResponse(status, list(headers))


def rule(chance: float = 0.5, **policy) -> RetryRule:
    return RetryRule(Retry(**policy), RetryBudget(1.0), chance=lambda: chance)


def test_the_wait_doubles_up_to_the_longest_one():
    asked = rule(attempts=9, backoff=0.1, max_backoff=0.5)
    waits = [asked.wait(attempts, b"GET", answer(503)) for attempts in range(1, 6)]
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.25, 0.25])


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 9))
def test_the_wait_is_anything_up_to_its_bound(chance: float, attempts: int):
    wait = rule(chance, attempts=10, backoff=0.1, max_backoff=1.0).wait(attempts, b"GET", answer(503))
    assert wait == pytest.approx(chance * min(1.0, 0.1 * 2 ** (attempts - 1)))


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (b"0", 0.0125),
        (b"2", 2.0),
        (b"7200", 5.0),
        (b"-1", 0.0125),
        (b"Fri, 01 Jan 2027 00:00:00 GMT", 0.0125),
    ],
)
def test_retry_after_is_honoured_as_far_as_the_longest_wait(value: bytes, wait: float):
    asked = rule(max_backoff=5.0)
    assert asked.wait(1, b"GET", answer(503, (b"retry-after", value))) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("method", "outcome", "again"),
    [
        (b"GET", answer(502), True),
        (b"HEAD", answer(503), True),
        (b"OPTIONS", answer(504), True),
        (b"GET", answer(500), False),
        (b"GET", answer(200), False),
        (b"POST", answer(503), False),
        (b"DELETE", answer(503), False),
        (b"GET", UpstreamFailure("connect"), True),
        (b"GET", UpstreamFailure("reset"), True),
        (b"GET", UpstreamFailure("timeout"), True),
        (b"GET", UpstreamFailure("too_large"), False),
        (b"POST", UpstreamFailure("connect"), False),
    ],
)
def test_what_is_tried_again_by_default(method: bytes, outcome, again: bool):
    assert (rule().wait(1, method, outcome) is not Last.DONE) is again


def test_attempts_are_counted_in_all():
    asked = rule(attempts=3)
    assert [asked.wait(attempts, b"GET", answer(503)) is Last.DONE for attempts in (1, 2, 3)] == [
        False,
        False,
        True,
    ]


@given(st.integers(0, 400), st.floats(0, 1))
def test_a_budget_gives_a_share_of_the_requests_and_its_reserve(requests: int, share: float):
    budget = RetryBudget(share)
    given_ = 0
    for _ in range(requests):
        budget.add_request()
        given_ += budget.take_retry()
    assert given_ <= requests * share + RESERVE
    assert given_ >= min(requests, int(requests * share * 0.999))


def test_a_budget_does_not_save_up():
    budget = RetryBudget(0.5)
    for _ in range(10_000):
        budget.add_request()
    assert sum(budget.take_retry() for _ in range(10_000)) == RESERVE


class FakeCall:
    """A request at a layer."""

    method = b"GET"
    repeatable = True
    origin = b""

    def __init__(self) -> None:
        self.tokens = [None]
        self.asked = asyncio.Event()
        self.count = 0

    def descend(self, place: int) -> None:
        self.count += 1
        self.asked.set()

    def abandon(self, place: int) -> None:
        """Nothing is inside."""


async def test_a_client_that_leaves_ends_the_waiting():
    loop = asyncio.get_running_loop()
    layer = RetryLayer(loop, rule(chance=0.0, attempts=9))
    stays, leaves = FakeCall(), FakeCall()
    for call in (leaves, stays):
        layer.down(call, 0)
        call.asked.clear()
        assert layer.up(call, 0, Response(503, evidence=True)) is None
    layer.abandon(leaves, 0)
    await asyncio.wait_for(stays.asked.wait(), PATIENCE)
    assert (stays.count, leaves.count) == (2, 1)
