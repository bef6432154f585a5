"""What holds for every HTTP client with circuits; each library's tests inherit it and bring a `Client`."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, Switchgear
from switchgear.integrations.retry_after import retry_after
from switchgear.testing import ManualClock
from tests.integrations.clients.driver import Driver
from tests.integrations.clients.service import (
    PATIENCE,
    Behaviour,
    Service,
    answering,
    break_chunks,
    break_length,
    drop,
    hang,
    hang_in_body,
    no_http,
)

Make = Callable[..., BreakerFamily]

BROKEN = answering(503)


async def fail(client: Driver, service: Service, times: int = 2, behaviour: Behaviour = BROKEN) -> None:
    """Requests that the service fails, and afterwards it is well again."""
    service.behaviour = behaviour
    for _ in range(times):
        with contextlib.suppress(client.broad):
            await client.get(service.url)
    service.behaviour = answering()


class ClientContract:
    """Opens, rejects, probes, closes; and what is evidence."""

    @pytest.fixture
    def client_type(self) -> type[Driver]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def the_client_type(self, client_type: type[Driver]) -> None:
        self.Client = client_type

    # ---- the life of a circuit

    async def test_it_opens_rejects_probes_and_closes(
        self, service: Service, make: Make, clock: ManualClock
    ) -> None:
        hosts = make()
        breaker = hosts[service.origin]
        async with self.Client(hosts) as client:
            await fail(client, service)
            assert breaker.state == "open"
            assert breaker.snapshot().reason == "2 consecutive failures (threshold 2)"
            with pytest.raises(client.rejection):
                await client.get(service.url)
            assert len(service.paths) == 2
            clock.advance(30)
            await fail(client, service, times=1)
            assert breaker.state == "open"
            clock.advance(30)
            assert (await client.get(service.url)).body == b"ok"
            assert breaker.state == "closed"
            assert len(service.paths) == 4

    async def test_a_success_ends_a_row_of_failures(self, service: Service, make: Make) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            for _ in range(3):
                await fail(client, service, times=1)
                await client.get(service.url)
        assert hosts[service.origin].state == "closed"

    async def test_in_shadow_mode_nothing_is_rejected(self, service: Service, make: Make) -> None:
        hosts = make(mode="shadow")
        async with self.Client(hosts) as client:
            await fail(client, service)
            assert hosts[service.origin].state == "open"
            assert (await client.get(service.url)).status == 200

    # ---- rejections

    async def test_a_rejection_is_the_librarys_error_too(self, service: Service, make: Make) -> None:
        async with self.Client(make()) as client:
            await fail(client, service)
            with pytest.raises(client.broad) as raised:
                await client.get(service.url)
        error = raised.value
        assert isinstance(error, CircuitOpenError)
        assert type(error) is client.rejection
        name = f"host:{service.origin}"
        for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert type(same) is client.rejection
            assert (same.name, same.state, same.retry_after) == (name, "open", 30.0)
            assert same.reason == "2 consecutive failures (threshold 2)"
            assert same.last_failure == "status 503"
            assert str(same).startswith(f"circuit '{name}' is open; 2 consecutive failures")
        assert error.__cause__ is None
        assert error.__suppress_context__

    async def test_a_plain_rejection_is_no_error_of_the_library(self, service: Service, make: Make) -> None:
        async with self.Client(make(), on_open="plain") as client:
            await fail(client, service)
            with pytest.raises(CircuitOpenError) as raised:
                await client.get(service.url)
            assert not isinstance(raised.value, client.broad)

    async def test_a_rejection_as_a_response(self, service: Service, make: Make) -> None:
        if not self.Client.makes_responses:
            with pytest.raises(ValueError, match=r"on_open must be one of 'raise', 'plain', got 'response'"):
                self.Client(make(), on_open="response")
            return
        async with self.Client(make(reset_timeout=7.2), on_open="response") as client:
            await fail(client, service)
            reply = await client.get(service.url)
        assert (reply.status, len(service.paths)) == (503, 2)
        fields = ("retry-after", "x-should-retry", "switchgear-origin", "content-type")
        assert [reply.headers[name] for name in fields] == [
            "8",
            "false",
            "breaker",
            "application/problem+json",
        ]
        assert b"2 consecutive failures" in reply.body

    async def test_a_rejection_as_a_response_without_a_time(self, service: Service, make: Make) -> None:
        if self.Client.makes_responses:
            hosts = make()
            hosts[service.origin].force_open()
            async with self.Client(hosts, on_open="response") as client:
                reply = await client.get(service.url)
            assert (reply.status, reply.headers.get("retry-after")) == (503, None)

    # ---- which circuit

    async def test_each_origin_has_a_circuit(
        self, service: Service, other_service: Service, make: Make
    ) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service)
            assert (await client.get(other_service.url)).status == 200
        assert {breaker.name for breaker in hosts} == {
            f"host:{service.origin}",
            f"host:{other_service.origin}",
        }

    async def test_a_key_chooses_the_circuit(
        self, service: Service, other_service: Service, make: Make
    ) -> None:
        hosts = make()
        async with self.Client(hosts, key=lambda request: f"{request.method} all") as client:
            await fail(client, service)
            with pytest.raises(client.rejection, match="host:GET all"):
                await client.get(other_service.url)

    async def test_one_breaker_guards_all(self, service: Service, other_service: Service) -> None:
        async with self.Client(CircuitBreaker("all", failure_threshold=2)) as client:
            await fail(client, service)
            with pytest.raises(client.rejection, match="'all' is open"):
                await client.get(other_service.url)

    async def test_each_hop_of_a_redirect_is_a_call(
        self, service: Service, other_service: Service, make: Make
    ) -> None:
        hosts = make()
        hosts[other_service.origin].force_open()
        service.behaviour = answering(302, location=other_service.url)
        async with self.Client(hosts) as client:
            with pytest.raises(client.rejection, match=f"host:{other_service.origin}"):
                await client.get(service.url)
        assert (service.paths, other_service.paths) == (["/x"], [])

    @pytest.mark.parametrize(
        ("breakers", "options", "error", "message"),
        [
            (Switchgear(), {}, TypeError, r"family of breakers or one breaker .* got <switchgear"),
            (CircuitBreaker("x"), {"key": str}, ValueError, r"key= chooses from a family; .* guards all"),
            (Switchgear().breakers("{}"), {"key": "host"}, TypeError, r"key= takes a function .* got 'host'"),
            (CircuitBreaker("x"), {"on_open": "never"}, ValueError, r"on_open must be one of .* got 'never'"),
        ],
        ids=["owner", "key for a breaker", "key", "on_open"],
    )
    async def test_wrong_arguments_are_told(
        self, breakers: Any, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            self.Client(breakers, **options)

    # ---- what is evidence

    @pytest.mark.parametrize("behaviour", [drop, break_length, break_chunks, no_http])
    async def test_what_does_not_end_well_is_a_failure(
        self, service: Service, make: Make, behaviour: Behaviour
    ) -> None:
        hosts = make(failure_threshold=3)
        service.behaviour = behaviour
        async with self.Client(hosts) as client:
            for _ in range(3):
                with pytest.raises(client.broad):
                    await client.get(service.url)
        assert hosts[service.origin].state == "open"
        assert len(service.paths) == 3  # sent by three calls, or by fewer where the library tries again

    async def test_a_service_that_is_gone_is_a_failure(self, make: Make) -> None:
        hosts = make()
        with socket.socket() as gone:
            gone.bind(("127.0.0.1", 0))  # and does not listen: nobody else will do so at its port
            origin = f"http://127.0.0.1:{gone.getsockname()[1]}"
            async with self.Client(hosts) as client:
                for _ in range(2):
                    with pytest.raises(client.broad):
                        await client.get(f"{origin}/x")
        assert hosts[origin].state == "open"

    @pytest.mark.parametrize("behaviour", [hang, hang_in_body])
    async def test_a_timeout_is_a_failure(self, service: Service, make: Make, behaviour: Behaviour) -> None:
        hosts = make(failure_threshold=1)
        service.behaviour = behaviour
        async with self.Client(hosts, timeout=0.1) as client:
            with pytest.raises((client.broad, TimeoutError)):
                await client.get(service.url)
        assert hosts[service.origin].state == "open"

    @pytest.mark.parametrize("status", [404, 429, 501])
    async def test_other_statuses_are_answers(self, service: Service, make: Make, status: int) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service, times=1)
            await fail(client, service, times=1, behaviour=answering(status))
        assert hosts[service.origin].snapshot().failure_count == 0

    async def test_the_policy_says_which_statuses_fail(self, service: Service, make: Make) -> None:
        hosts = make(failure_statuses={429})
        async with self.Client(hosts) as client:
            await fail(client, service, behaviour=answering(503))
            assert hosts[service.origin].state == "closed"
            await fail(client, service, behaviour=answering(429))
        assert hosts[service.origin].snapshot().last_failure_time
        assert hosts[service.origin].state == "open"

    async def test_a_function_of_the_response_may_decide(self, service: Service, make: Make) -> None:
        hosts = make(failure_if=lambda response: "x-degraded" in response.headers)
        async with self.Client(hosts) as client:
            await fail(client, service, behaviour=answering(x_degraded="yes"))
            with pytest.raises(client.rejection, match="status 200: failure_if says"):
                await client.get(service.url)

    async def test_a_function_that_raises_is_a_failure_and_is_heard_of(
        self, service: Service, make: Make
    ) -> None:
        hosts = make(failure_if=lambda response: 1 // 0)
        async with self.Client(hosts) as client:
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await client.get(service.url)
        assert hosts[service.origin].state == "open"

    @pytest.mark.parametrize(
        "fields",
        [
            {"retry_after": "120"},
            {"retry_after_ms": "120000", "retry_after": "7"},
            {
                "Date": "Sun, 01 Nov 2026 10:00:00 GMT",  # a machine whose clock is wrong
                "retry_after": "Sun, 01 Nov 2026 10:02:00 GMT",
            },
        ],
        ids=["seconds", "milliseconds", "date"],
    )
    async def test_an_upstream_may_say_how_long(
        self, service: Service, make: Make, fields: dict[str, str]
    ) -> None:
        hosts = make(retry_after_from=retry_after)
        async with self.Client(hosts) as client:
            await fail(client, service, behaviour=answering(503, **fields))
        assert hosts[service.origin].snapshot().retry_after == 120.0

    async def test_an_upstream_that_says_nothing_is_left_alone_as_usual(
        self, service: Service, make: Make
    ) -> None:
        hosts = make(retry_after_from=retry_after)
        async with self.Client(hosts) as client:
            await fail(client, service)
        assert hosts[service.origin].snapshot().retry_after == 30.0

    # ---- bodies

    async def test_a_probe_is_over_with_its_body(
        self, service: Service, make: Make, clock: ManualClock
    ) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service)
            clock.advance(30)
            await fail(client, service, times=1, behaviour=break_length)
            assert hosts[service.origin].state == "open"
            assert "probe failed" in hosts[service.origin].snapshot().reason

    async def test_a_body_that_is_not_read_to_its_end_is_a_success(
        self, service: Service, make: Make, clock: ManualClock
    ) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service)
            clock.advance(30)
            service.behaviour = hang_in_body
            assert await client.peek(service.url) == b"first"
        assert hosts[service.origin].state == "closed"

    async def test_an_answer_that_is_thrown_away_is_a_success(
        self, service: Service, make: Make, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service)
            clock.advance(30)
            assert await client.status(service.url) == 200
            async with asyncio.timeout(PATIENCE):
                while hosts[service.origin].state != "closed":  # aiohttp keeps it until all of it is here
                    gc.collect()
                    await asyncio.sleep(0.01)
        assert "thrown away" not in caplog.text

    async def test_an_empty_answer_is_a_success(self, service: Service, make: Make) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service, times=1)
            service.behaviour = answering(204, b"")
            await client.get(service.url)
        assert hosts[service.origin].snapshot().failure_count == 0

    async def test_time_that_a_reader_takes_is_not_the_services(
        self, service: Service, make: Make, clock: ManualClock
    ) -> None:
        hosts = make(slow_call_rate=1.0, minimum_calls=1, slow_call_duration=2)
        service.behaviour = hang_in_body

        def think() -> None:
            clock.advance(60)
            service.go_on.set()

        async with self.Client(hosts) as client:
            assert await client.read_slowly(service.url, think) == b"firstsecond"
        assert hosts[service.origin].state == "closed"


class AsyncContract(ClientContract):
    """What a request that can be cancelled adds."""

    @pytest.mark.parametrize("behaviour", [hang, hang_in_body])
    async def test_a_cancelled_request_is_no_evidence(
        self, service: Service, make: Make, clock: ManualClock, behaviour: Behaviour
    ) -> None:
        hosts = make()
        async with self.Client(hosts) as client:
            await fail(client, service, times=1)
            await self.cancelled(client, service, behaviour)
            assert hosts[service.origin].snapshot().failure_count == 1
            # A probe gives its place back, and decides nothing.
            await fail(client, service, times=1)
            clock.advance(30)
            await self.cancelled(client, service, behaviour)
            assert hosts[service.origin].state == "half-open"
            service.behaviour = answering()
            await client.get(service.url)
        assert hosts[service.origin].state == "closed"

    @pytest.mark.parametrize("behaviour", [hang, hang_in_body])
    async def test_a_service_that_hangs_is_a_failure_when_slow_calls_are(
        self, service: Service, make: Make, clock: ManualClock, behaviour: Behaviour
    ) -> None:
        hosts = make(failure_threshold=1, slow_call_duration=2)
        async with self.Client(hosts) as client:
            await self.cancelled(client, service, behaviour, meanwhile=lambda: clock.advance(3))
        assert hosts[service.origin].state == "open"

    async def cancelled(
        self,
        client: Driver,
        service: Service,
        behaviour: Behaviour,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """A request that is given up while the service hangs."""
        service.behaviour = behaviour
        service.arrived.clear()
        service.go_on.clear()
        request = asyncio.create_task(client.get(service.url))
        await asyncio.to_thread(service.arrived.wait, PATIENCE)
        await asyncio.sleep(
            0.05
        )  # until the first piece is read, so that the wait for the next one is given up
        meanwhile()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        service.go_on.set()
