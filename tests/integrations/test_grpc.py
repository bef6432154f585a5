"""gRPC's sync and aio channels, calls of all four kinds, against a real server."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

import grpc
import pytest
from grpc import StatusCode, aio

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, CircuitState, Switchgear
from switchgear.integrations.grpc import (
    FAILURE_CODES,
    CircuitBreakerInterceptor,
    CircuitOpenRpcError,
    aio_interceptors,
    by_method,
    by_service,
)
from switchgear.integrations.grpc.calls import Calls
from switchgear.testing import ManualClock
from tests.integrations.grpc_service import KINDS, SERVICE, Payments

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("colour", ["sync", "aio"])]

TIMEOUT = 60


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
async def one_loop() -> AsyncIterator[None]:
    """A process has one event loop for `grpc.aio`, which goes on to tell it of events when it is closed."""
    yield
    gc.collect()


@pytest.fixture
def service() -> Iterator[Payments]:
    with Payments() as service:
        yield service


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("payments", failure_threshold=2, reset_timeout=30, clock=clock)


def path(kind: str) -> str:
    return f"/{SERVICE}/{kind}"


def request(kind: str) -> Any:
    return iter([b"a", b"b"]) if kind.startswith("stream_") else b"a"


@contextmanager
def sync_channel(address: str, *arguments: Any, **options: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield grpc.intercept_channel(channel, CircuitBreakerInterceptor(*arguments, **options))


@asynccontextmanager
async def aio_channel(address: str, *arguments: Any, **options: Any) -> AsyncIterator[aio.Channel]:
    interceptors = aio_interceptors(*arguments, **options)
    async with aio.insecure_channel(address, interceptors=interceptors) as channel:
        yield channel


def complete(channel: grpc.Channel, kind: str) -> list[bytes]:
    answer = getattr(channel, kind)(path(kind))(request(kind), timeout=TIMEOUT)
    return list(answer) if kind.endswith("_stream") else [answer]


async def complete_async(channel: aio.Channel, kind: str) -> list[bytes]:
    call = getattr(channel, kind)(path(kind))(request(kind), timeout=TIMEOUT)
    return [message async for message in call] if kind.endswith("_stream") else [await call]


@contextmanager
def reports() -> Iterator[tuple[list[None], list[None]]]:
    """Meanwhile: of calls that were let in, and of those whose end was reported to their circuit."""
    begun: list[None] = []
    ended: list[None] = []

    def counted(method: Any, tally: list[None]) -> Any:
        def call(*arguments: Any) -> Any:
            found = method(*arguments)
            tally.append(None)
            return found

        async def call_async(*arguments: Any) -> Any:
            found = await method(*arguments)
            tally.append(None)
            return found

        return call_async if asyncio.iscoroutinefunction(method) else call

    with ExitStack() as stack:
        for owner, name, tally in (
            (CircuitBreaker, "acquire", begun),
            (CircuitBreaker, "acquire_async", begun),
            (Calls, "ended", ended),
            (Calls, "raised", ended),
        ):
            stack.enter_context(patch.object(owner, name, counted(getattr(owner, name), tally)))
        yield begun, ended


class Client:
    """The same calls through either channel; each is over for its circuit when it returns."""

    def __init__(self, colour: str, address: str, *arguments: Any, **options: Any) -> None:
        self._colour = colour
        self._open = (address, arguments, options)

    async def call(self, kind: str) -> list[bytes]:
        """Its messages; raises `RpcError`."""
        with reports() as (begun, ended):
            try:
                return await self._call(kind)
            finally:  # callbacks hear of the end after readers do
                await until(lambda: len(ended) >= len(begun))

    async def _call(self, kind: str) -> list[bytes]:
        target, arguments, options = self._open
        if self._colour == "aio":
            async with aio_channel(target, *arguments, **options) as aio_calls:
                return await complete_async(aio_calls, kind)

        def run() -> list[bytes]:
            with sync_channel(target, *arguments, **options) as calls:
                return complete(calls, kind)

        return await asyncio.to_thread(run)

    async def code(self, kind: str) -> StatusCode:
        """How a call ends."""
        try:
            await self.call(kind)
        except grpc.RpcError as error:
            return error.code()
        return StatusCode.OK


@pytest.mark.parametrize("kind", KINDS)
async def test_it_opens_rejects_probes_and_closes(colour, kind, service, breaker, clock):
    client = Client(colour, service.target, breaker)
    expected = [b"0", b"1", b"2"] if kind.endswith("_stream") else [b"0"]
    assert await client.call(kind) == expected
    service.fails = StatusCode.UNAVAILABLE
    assert [await client.code(kind) for _ in range(2)] == [StatusCode.UNAVAILABLE] * 2
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError) as rejected:
        await client.call(kind)
    assert isinstance(rejected.value, grpc.RpcError)
    assert rejected.value.code() is StatusCode.UNAVAILABLE
    assert (service.calls, rejected.value.name, rejected.value.retry_after) == (3, "payments", 30)
    assert rejected.value.last_failure == "UNAVAILABLE: as told"
    service.fails = None
    clock.advance(30)
    assert await client.call(kind) == expected
    assert breaker.state == "closed"


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
async def test_each_status_is_a_failure_an_answer_or_no_evidence(colour, code, service, breaker):
    breaker.acquire().failure()
    service.fails = code
    assert await Client(colour, service.target, breaker).code("unary_unary") is code
    expected = 1 if code is StatusCode.CANCELLED else 2 if code in FAILURE_CODES else 0
    assert breaker.snapshot().failure_count == expected


async def test_the_codes_of_failures_can_be_chosen(colour, service, breaker):
    client = Client(colour, service.target, breaker, failure_codes={StatusCode.NOT_FOUND})
    service.fails = StatusCode.NOT_FOUND
    await client.code("unary_unary")
    assert breaker.snapshot().failure_count == 1
    service.fails = StatusCode.UNAVAILABLE
    await client.code("unary_unary")
    assert breaker.snapshot().failure_count == 0


async def test_a_server_that_is_not_there_is_a_failure(colour, breaker):
    assert await Client(colour, "127.0.0.1:1", breaker).code("unary_unary") is StatusCode.UNAVAILABLE
    assert breaker.snapshot().failure_count == 1


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
async def test_a_stream_that_breaks_halfway_is_a_failure(colour, kind, service, breaker):
    service.fails, service.after = StatusCode.INTERNAL, 2
    assert await Client(colour, service.target, breaker).code(kind) is StatusCode.INTERNAL
    assert breaker.snapshot().failure_count == 1


# ---- cancellation


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another process or thread sets no event here
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
@pytest.mark.parametrize("how", ["cancelled", "dropped"])
async def test_a_stream_that_is_given_up_is_no_evidence(colour, kind, how, service, breaker):
    if (colour, how) == ("aio", "dropped"):
        return  # grpc.aio lets a stream that is dropped run on, with and without interceptors
    service.lasts = True
    breaker.acquire().failure()

    def give_up_sync() -> None:
        with sync_channel(service.target, breaker) as channel:
            call = getattr(channel, kind)(path(kind))(request(kind))
            next(call)
            if how == "cancelled":
                call.cancel()
            del call
            gc.collect()
            assert service.ended.wait(30), "the server was told"

    if colour == "sync":
        await asyncio.to_thread(give_up_sync)
    else:
        async with aio_channel(service.target, breaker) as channel:
            call = getattr(channel, kind)(path(kind))(request(kind))
            await anext(aiter(call))
            if how == "cancelled":
                call.cancel()
            del call
            gc.collect()
            await until(service.ended.is_set)
    assert breaker.snapshot().failure_count == 1


async def test_a_cancelled_probe_gives_its_place_back(colour, service, breaker, clock):
    service.lasts = True
    for _ in range(2):
        breaker.acquire().failure()
    clock.advance(30)
    if colour == "sync":
        with sync_channel(service.target, breaker) as channel:
            call = channel.unary_stream(path("unary_stream"))(b"a")
            assert next(call) == b"0"
            assert call.is_active()  # what a call has, its stream has
            call.cancel()
    else:
        async with aio_channel(service.target, breaker) as channel:
            call = channel.unary_stream(path("unary_stream"))(b"a")
            assert await anext(aiter(call)) == b"0"
            call.cancel()
            await until(service.ended.is_set)
    assert breaker.state == "half-open"
    await until(lambda: breaker.snapshot().retry_after == 0.0)


async def test_the_stream_of_a_probe_that_lasts_is_good_before_its_place_is_lost(colour, service, clock):
    fast = CircuitBreaker("payments", failure_threshold=1, reset_timeout=30, clock=clock, probe_timeout=0.2)
    service.lasts = True
    fast.acquire().failure()
    clock.advance(30)

    def read_on() -> None:
        with sync_channel(service.target, fast) as channel:
            for _ in channel.unary_stream(path("unary_stream"))(b"a", timeout=TIMEOUT):
                if fast.state == "closed":
                    return

    if colour == "sync":
        await asyncio.to_thread(read_on)
    else:
        async with aio_channel(service.target, fast) as channel:
            async for _ in channel.unary_stream(path("unary_stream"))(b"a", timeout=TIMEOUT):
                if fast.state == "closed":
                    break
    assert fast.state == "closed"


# ---- futures, writers, and other interceptors


async def test_calls_that_are_no_simple_calls(colour, service, breaker):
    """`future` of a sync channel, `write` of an async one: the call is known before its end."""
    service.fails = StatusCode.UNAVAILABLE

    def futures() -> None:
        with sync_channel(service.target, breaker) as channel:
            for kind in ("unary_unary", "stream_unary"):
                future = getattr(channel, kind)(path(kind)).future(request(kind), timeout=TIMEOUT)
                assert future.exception().code() is StatusCode.UNAVAILABLE
            rejected = channel.unary_unary(path("unary_unary")).future(b"a")
            assert (rejected.done(), rejected.code()) == (True, StatusCode.UNAVAILABLE)
            with pytest.raises(CircuitOpenError):
                rejected.result()
            told: list[Any] = []
            rejected.add_done_callback(told.append)
            assert told == [rejected]

    async def writers() -> None:
        async with aio_channel(service.target, breaker) as channel:
            for kind in ("stream_unary", "stream_stream"):
                call = getattr(channel, kind)(path(kind))(timeout=TIMEOUT)
                await call.write(b"a")
                await call.done_writing()
                assert await call.code() is StatusCode.UNAVAILABLE
            call = channel.stream_stream(path("stream_stream"))()
            assert await call.code() is StatusCode.UNAVAILABLE
            assert "circuit 'payments' is open" in await call.details()

    await (asyncio.to_thread(futures) if colour == "sync" else writers())
    assert (breaker.state, service.calls) == ("open", 2)


async def test_a_rejection_further_inside_is_no_evidence(colour, service, breaker):
    inner = CircuitBreaker("inner")
    inner.force_open()
    breaker.acquire().failure()

    def nested() -> None:
        with grpc.insecure_channel(service.target) as channel:
            interceptors = (CircuitBreakerInterceptor(breaker), CircuitBreakerInterceptor(inner))
            guarded = grpc.intercept_channel(channel, *interceptors)
            for kind in KINDS:
                with pytest.raises(CircuitOpenError, match="inner"):
                    complete(guarded, kind)

    async def nested_async() -> None:
        interceptors = [*aio_interceptors(breaker), *aio_interceptors(inner)]
        async with aio.insecure_channel(service.target, interceptors=interceptors) as channel:
            for kind in KINDS:
                with pytest.raises(CircuitOpenError, match="inner"):
                    await complete_async(channel, kind)

    await (asyncio.to_thread(nested) if colour == "sync" else nested_async())
    assert breaker.snapshot().failure_count == 1


# ---- which circuit, which error, and mistakes


def family() -> BreakerFamily:
    return Switchgear().breakers("grpc:{}", failure_threshold=1)


async def test_a_family_has_a_circuit_for_each_target_or_by_key(colour, service):
    service.fails = StatusCode.UNAVAILABLE
    for options, name in (
        ({"target": service.target}, f"grpc:{service.target}"),
        ({"key": by_method}, "grpc:shop.Payments/unary_unary"),
        ({"key": by_service}, "grpc:shop.Payments"),
    ):
        circuits = family()
        await Client(colour, service.target, circuits, **options).code("unary_unary")
        assert [(breaker.name, breaker.state) for breaker in circuits] == [(name, "open")]


async def test_the_time_that_a_server_asks_for_can_be_read(colour, service, clock):
    breaker = CircuitBreaker("payments", failure_threshold=1, retry_after_from=lambda _: 77, clock=clock)
    service.fails = StatusCode.RESOURCE_EXHAUSTED
    await Client(colour, service.target, breaker).code("unary_unary")
    assert breaker.snapshot().retry_after == 77


async def test_mistakes_show_at_once(colour):
    make = CircuitBreakerInterceptor if colour == "sync" else aio_interceptors
    for arguments, options, error, message in (
        ([family()], {}, TypeError, r"needs the channel's target, or key="),
        (["payments"], {}, TypeError, "a family of breakers or one breaker"),
        ([family(), "x"], {"failure_codes": [14]}, ValueError, "failure_codes are status codes"),
        ([family(), "x"], {"failure_codes": [StatusCode.OK]}, ValueError, "but OK and CANCELLED"),
    ):
        with pytest.raises(error, match=message):
            make(*arguments, **options)  # type: ignore[operator]


async def test_a_rejection_copies_and_pickles(colour):
    error = CircuitOpenRpcError("payments", CircuitState.OPEN, 7.5, "reason", "last")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), twin.args, twin.code()) == (type(error), error.args, StatusCode.UNAVAILABLE)
        assert twin.details() == str(error)
