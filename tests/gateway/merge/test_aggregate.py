"""Merged routes over real services: stages, order of failures, deadline, cancellation, earlier answers."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitState
from switchgear.errors import CircuitOpenError
from switchgear.gateway.aggregate import Aggregator
from switchgear.gateway.composition import Evidence, Merged
from switchgear.gateway.config.model import Circuit, Fallback, Route, Service
from switchgear.gateway.exchange import BufferedResponse, Request
from switchgear.gateway.stale import StaleStore
from tests.gateway.upstreams import PATIENCE

from .services import Reply, Upstream, fetch, otherwise, request, route, upstream

pytestmark = pytest.mark.anyio


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def services() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running


def aggregator(merged_route: Route, **options) -> Aggregator:
    return Aggregator(merged_route, **({"fetch": fetch, "stale": StaleStore(), "clock": Clock()} | options))


async def ask(merged_route: Route, asked: Request | None = None) -> Merged:
    return await asyncio.wait_for(aggregator(merged_route)(asked or request()), PATIENCE)


def parts_header(merged: Merged) -> bytes | None:
    return dict(merged.answer.headers).get(b"switchgear-parts")


async def arrived(services: Upstream, *names: str) -> None:
    async with asyncio.timeout(PATIENCE):
        for name in names:
            await services.arrived[name].wait()


async def test_parts_are_merged_in_declared_order_whoever_is_first(services: Upstream):
    held = asyncio.Event()
    slow = services.service("slow", Reply(b'{"who":"slow","n":1.10}', release=held))
    fast = services.service("fast", b'{"who":"fast","m":1e400}')
    running = asyncio.create_task(ask(route(slow, fast)))
    await arrived(services, "slow", "fast")  # both are asked before one answers
    held.set()
    merged = await running
    assert merged.answer.status == 200
    assert merged.answer.body == b'{"who":"fast","n":1.10,"m":1e400}'
    assert [str(result) for result in merged.results] == ["slow;ok", "fast;ok"]


async def test_each_part_gets_the_request(services: Upstream):
    asked = request(
        b"/all?x=%20",
        method=b"POST",
        headers=(
            (b"x-a", b"1"),
            (b"accept-encoding", b"gzip"),
            (b"if-none-match", b'"1"'),
            (b"range", b"bytes=0-1"),
        ),
        body=b"\x00body",
    )
    await ask(route(services.service("one"), services.service("two"), method="POST"), asked)
    for name in ("one", "two"):
        [seen] = services.asked[name]
        assert seen.line == b"POST /%b/all?x=%%20 HTTP/1.1" % name.encode()
        assert seen.headers == [
            (b"x-a", b"1"),
            (b"accept-encoding", b"identity"),
            (b"content-length", b"5"),
        ]
        assert seen.body == b"\x00body"


@pytest.mark.parametrize(("declared", "sent"), [("GET", b"GET"), ("ALL", b"GET"), ("HEAD", b"HEAD")])
async def test_head_is_merged_from_get_unless_declared(services: Upstream, declared: str, sent: bytes):
    await ask(route(services.service("one"), method=declared), request(method=b"HEAD"))
    assert services.asked["one"][0].line.startswith(sent + b" ")


async def test_stages_wait_for_each_other(services: Upstream):
    held = asyncio.Event()
    last = services.service("last", b'{"order":3}')
    second = services.service("second", b'{"order":2}', stage=7)
    first = services.service("first", Reply(b'{"order":1}', release=held), stage=1)
    beside = services.service("beside", b"{}", stage=1)
    running = asyncio.create_task(ask(route(last, second, first, beside)))
    await arrived(services, "first", "beside")
    assert not services.asked["second"]
    held.set()
    assert (await running).answer.body == b'{"order":1}'  # declared last of those with the member
    assert services.asked["second"]
    assert services.asked["last"]


async def test_a_part_that_is_not_merged_is_awaited_and_never_read(services: Upstream):
    held = asyncio.Event()
    audit = services.service("audit", Reply(b"not json", 500, release=held), merge=False, stage=1)
    users = services.service("users", b'{"a":1}')
    running = asyncio.create_task(ask(route(audit, users)))
    await arrived(services, "audit")
    assert not services.asked["users"]
    held.set()
    merged = await running
    assert (merged.answer.status, merged.answer.body) == (200, b'{"a":1}')
    assert parts_header(merged) is None


async def test_first_failure_in_declared_order_decides_though_it_comes_later(services: Upstream):
    held = asyncio.Event()
    first = services.service("first", Reply(b"first", 500, release=held))
    second = services.service("second", Reply(b"second", 501))
    third = services.service("third", Reply(release=asyncio.Event()))
    running = asyncio.create_task(ask(route(first, second, third)))
    await arrived(services, "first", "second", "third")
    held.set()
    assert (await running).answer.body == b"first"


async def test_a_decisive_failure_ends_the_waiting(services: Upstream):
    failing = services.service("failing", Reply(b"no", 500))
    hanging = services.service("hanging", Reply(release=asyncio.Event()))
    optional = services.service("optional", Reply(release=asyncio.Event()), optional=True)
    audit = services.service("audit", Reply(release=asyncio.Event()), merge=False)
    held = asyncio.Event()
    services.replies["failing"].release = held
    running = asyncio.create_task(ask(route(audit, optional, failing, hanging)))
    await arrived(services, "failing", "hanging", "optional", "audit")
    held.set()
    assert (await running).answer.status == 500
    async with asyncio.timeout(PATIENCE):
        await services.left["hanging"].wait()
        await services.left["optional"].wait()
        await services.left["audit"].wait()


async def test_after_a_failed_stage_no_other_begins(services: Upstream):
    later = services.service("later", stage=2)
    failing = services.service("failing", Reply(b"no", 503), stage=1)
    assert (await ask(route(later, failing))).answer.body == b"no"
    assert not services.asked["later"]


async def test_an_optional_failure_stops_nothing(services: Upstream):
    inbox = services.service("inbox", Reply(b"no", 503), stage=1, optional=True)
    users = services.service("users", b'{"a":1}', stage=2)
    merged = await ask(route(inbox, users))
    assert merged.answer.body == b'{"a":1}'
    assert parts_header(merged) == b"inbox;omitted;reason=error, users;ok"


async def test_deadline_over_a_required_part(services: Upstream):
    hanging = services.service("hanging", Reply(release=asyncio.Event()))
    merged = await ask(route(services.service("users"), hanging, deadline=0.05))
    assert merged.answer.status == 504
    assert json.loads(merged.answer.body)["part"] == "hanging"
    assert dict(merged.answer.headers)[b"switchgear-origin"] == b"timeout"
    assert merged.evidence is Evidence.FAILURE


async def test_deadline_is_one_for_all_stages(services: Upstream):
    first = services.service("first", Reply(release=asyncio.Event()), stage=1, optional=True)
    second = services.service("second", stage=2, merge_field="b", fallback=otherwise(b"[]"))
    merged = await ask(route(first, second, deadline=0.05))
    assert merged.answer.body == b'{"b":[]}'
    assert parts_header(merged) == b"first;omitted;reason=timeout, second;else;reason=timeout"
    assert not services.asked["second"]


async def test_deadline_over_a_part_that_is_not_merged(services: Upstream):
    audit = services.service("audit", Reply(release=asyncio.Event()), merge=False)
    merged = await ask(route(audit, services.service("users", b'{"a":1}'), deadline=0.05))
    assert (merged.answer.status, merged.answer.body) == (200, b'{"a":1}')
    assert parts_header(merged) is None


async def test_the_shorter_of_deadline_and_timeout_counts(services: Upstream):
    hanging = services.service("hanging", Reply(release=asyncio.Event()))
    bounded = Route(route().path, "GET", (hanging,), timeout=0.05, deadline=60.0)
    assert (await ask(bounded)).answer.status == 504


async def test_nothing_is_kept_until_the_deadline(services: Upstream):
    class Params(dict):
        """A dict that can be watched."""

    params = Params()
    watched = weakref.ref(params)
    merge = aggregator(route(services.service("users")))
    await merge(replace(request(), params=params))
    del params
    gc.collect()
    assert watched() is None


async def test_a_client_that_leaves_cancels_every_part(services: Upstream):
    one = services.service("one", Reply(release=asyncio.Event()))
    two = services.service("two", Reply(release=asyncio.Event()), optional=True)
    running = asyncio.create_task(ask(route(one, two)))
    await arrived(services, "one", "two")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(PATIENCE):
        await services.left["one"].wait()
        await services.left["two"].wait()


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), asyncio.CancelledError()])
async def test_what_nobody_expects_ends_the_waiting(services: Upstream, error: BaseException):
    async def broken(service: Service, asked: Request) -> BufferedResponse:
        if service.name == "one":
            raise error
        return await fetch(service, asked)

    hanging = services.service("two", Reply(release=asyncio.Event()))
    merge = aggregator(route(services.service("one"), hanging), fetch=broken)
    with pytest.raises(type(error)):
        await asyncio.wait_for(merge(request()), PATIENCE)


async def test_a_service_that_cannot_be_reached(services: Upstream):
    cut = services.service("cut", Reply(cut=True), optional=True)
    merged = await ask(route(services.service("users", b'{"a":1}'), cut))
    assert parts_header(merged) == b"users;ok, cut;omitted;reason=error"


async def test_a_rejection_answers_as_its_circuit_says(services: Upstream):
    async def rejecting(service: Service, asked: Request) -> BufferedResponse:
        raise CircuitOpenError("service:users", CircuitState.OPEN, 1.2, "why", None)

    circuit = Circuit("service:users", CircuitBreakerPolicy(), 429, "Busy.")
    merge = aggregator(route(services.service("users", circuit=circuit)), fetch=rejecting)
    answer = (await merge(request())).answer
    assert (answer.status, answer.body) == (429, b"Busy.")
    assert dict(answer.headers)[b"retry-after"] == b"2"


class TestEarlierAnswers:
    """A part with `stale`, good at first and then not."""

    @pytest.fixture
    def inbox(self, services: Upstream) -> Service:
        fallback = Fallback(stale=600.0, otherwise=b'{"n":0}')
        return services.service(
            "inbox", Reply(b'{"n":7}', headers=[(b"set-cookie", b"s=1")]), fallback=fallback
        )

    @pytest.fixture
    def merge(self, services: Upstream, inbox: Service) -> Aggregator:
        self.clock = Clock()
        return aggregator(route(services.service("users", b"{}"), inbox), clock=self.clock)

    async def test_stands_in_while_young_enough(self, services: Upstream, merge: Aggregator):
        await merge(request())
        services.replies["inbox"] = Reply(cut=True)
        self.clock.now += 42.5
        merged = await merge(request())
        assert merged.answer.body == b'{"n":7}'
        assert parts_header(merged) == b"users;ok, inbox;stale;age=42;reason=error"
        assert b"set-cookie" not in dict(merged.answer.headers)
        self.clock.now += 600
        merged = await merge(request())
        assert merged.answer.body == b'{"n":0}'
        assert parts_header(merged) == b"users;ok, inbox;else;reason=error"

    @pytest.mark.parametrize(
        "other",
        [
            request(b"/all?page=2"),
            request(headers=((b"authorization", b"Bearer other"),)),
            request(headers=((b"cookie", b"session=other"),)),
            request(method=b"POST"),
        ],
    )
    async def test_only_for_the_same_request(self, services: Upstream, merge: Aggregator, other: Request):
        await merge(request())
        services.replies["inbox"] = Reply(b"no", 500)
        assert (await merge(other)).answer.body == b'{"n":0}'
        assert (await merge(request())).answer.body == b'{"n":7}'

    async def test_not_after_the_service_refused(self, services: Upstream, merge: Aggregator):
        await merge(request())
        services.replies["inbox"] = Reply(b"gone", 410)
        assert (await merge(request())).answer.body == b'{"n":0}'
        services.replies["inbox"] = Reply(cut=True)  # and it is not remembered either
        assert (await merge(request())).answer.body == b'{"n":0}'

    async def test_an_overloaded_service_did_not_refuse(self, services: Upstream, merge: Aggregator):
        await merge(request())
        services.replies["inbox"] = Reply(b"later", 429)
        assert (await merge(request())).answer.body == b'{"n":7}'

    async def test_not_when_the_service_forbids_storage(self, services: Upstream, merge: Aggregator):
        await merge(request())
        services.replies["inbox"] = Reply(b'{"n":8}', headers=[(b"cache-control", b"private, No-Store")])
        await merge(request())
        services.replies["inbox"] = Reply(cut=True)
        assert (await merge(request())).answer.body == b'{"n":0}'

    async def test_at_the_deadline(self, services: Upstream, inbox: Service):
        store, clock = StaleStore(), Clock()
        await aggregator(route(inbox), stale=store, clock=clock)(request())
        services.replies["inbox"] = Reply(release=asyncio.Event())
        merged = await aggregator(route(inbox, deadline=0.05), stale=store, clock=clock)(request())
        assert parts_header(merged) == b"inbox;stale;age=0;reason=timeout"
        assert dict(merged.answer.headers)[b"switchgear-origin"] == b"fallback"
