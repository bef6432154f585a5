"""What is particular to httpx and httpx2; the tests of each inherit it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from switchgear import BreakerFamily, CircuitBreaker
from tests.integrations.clients.httpx_drivers import CONTEXT
from tests.integrations.clients.service import PATIENCE, Service, answering, hang, hang_in_body

Make = Callable[..., BreakerFamily]


class TransportCases:
    """`library` and `integration` are the modules."""

    @pytest.fixture(autouse=True)
    def modules(self, library: ModuleType, integration: ModuleType) -> None:
        self.library = library
        self.integration = integration

    @contextlib.contextmanager
    def client(self, breakers: BreakerFamily | CircuitBreaker, **options: Any) -> Iterator[Any]:
        inner = self.library.HTTPTransport(verify=CONTEXT, **options)
        transport = self.integration.CircuitBreakerTransport(breakers, inner)
        with self.library.Client(transport=transport, timeout=60) as client:
            yield client

    # ---- errors

    def test_a_rejection_knows_its_request(self, service: Service, make: Make) -> None:
        hosts = make()
        hosts[service.origin].force_open()
        with self.client(hosts) as client, pytest.raises(self.library.TransportError) as raised:
            client.post(service.url, json={"a": 1})
        for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
            assert (error.request.method, error.request.url) == ("POST", service.url)

    def test_a_rejection_that_was_never_sent_has_no_request(self) -> None:
        error = self.integration.CircuitOpenTransportError("x", "open")
        assert (error.name, error.retry_after) == ("x", None)
        with pytest.raises(RuntimeError, match="request property has not been set"):
            _ = error.request

    def test_a_made_up_response_is_one_of_the_library(self, service: Service, make: Make) -> None:
        hosts = make()
        hosts[service.origin].force_open("maintenance")
        inner = self.library.HTTPTransport(verify=CONTEXT)
        transport = self.integration.CircuitBreakerTransport(hosts, inner, on_open="response")
        with self.library.Client(transport=transport) as client:
            response = client.get(service.url)
        assert response.json()["title"] == "Service Unavailable"
        assert "maintenance" in response.json()["detail"]
        with pytest.raises(self.library.HTTPStatusError, match="503 Service Unavailable"):
            response.raise_for_status()

    # ---- no evidence

    def test_mistakes_of_the_caller_are_no_evidence(self, service: Service, make: Make) -> None:
        hosts = make(failure_threshold=1)
        with self.client(hosts) as client:
            for _ in range(2):
                with pytest.raises(self.library.UnsupportedProtocol):
                    client.get(f"ftp{service.url.removeprefix('http')}")
                with pytest.raises(self.library.LocalProtocolError):
                    client.get(service.url, headers={"X-Wrong": "a\nb"})
        assert {(breaker.state, breaker.snapshot().failure_count) for breaker in hosts} == {("closed", 0)}

    def test_redirects_in_a_circle_are_no_evidence(self, service: Service, make: Make) -> None:
        hosts = make(failure_threshold=1)
        service.behaviour = answering(302, location=service.url)
        with self.client(hosts) as client, pytest.raises(self.library.TooManyRedirects):
            client.get(service.url, follow_redirects=True)
        assert hosts[service.origin].snapshot().failure_count == 0

    def test_an_upload_that_cannot_be_read_is_no_evidence(self, service: Service, make: Make) -> None:
        hosts = make(failure_threshold=1)

        def upload() -> Iterator[bytes]:
            yield b"first"
            raise OSError("disk")

        with self.client(hosts) as client, pytest.raises(OSError, match="disk"):
            client.post(service.url, content=upload(), headers={"content-length": "100"})
        assert hosts[service.origin].snapshot().failure_count == 0

    async def test_a_full_pool_is_no_evidence(self, service: Service, make: Make) -> None:
        hosts = make(failure_threshold=1)
        service.behaviour = hang
        limits = self.library.Limits(max_connections=1)
        inner = self.library.AsyncHTTPTransport(verify=CONTEXT, limits=limits)
        transport = self.integration.AsyncCircuitBreakerTransport(hosts, inner)
        timeout = self.library.Timeout(60, pool=0.02)
        async with self.library.AsyncClient(transport=transport, timeout=timeout) as client:
            hanging = asyncio.create_task(client.get(service.url))
            await asyncio.to_thread(service.arrived.wait, PATIENCE)
            with pytest.raises(self.library.PoolTimeout):
                await client.get(service.url)
            assert hosts[service.origin].snapshot().failure_count == 0
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging

    # ---- the transport inside

    def test_what_is_inside_is_entered_and_closed(self, make: Make) -> None:
        told = []
        integration, library = self.integration, self.library

        class Inner(library.BaseTransport):  # type: ignore[misc, name-defined]
            def __enter__(self) -> Any:
                told.append("enter")
                return self

            def __exit__(self, *args: object) -> None:
                told.append("exit")

            def close(self) -> None:
                told.append("close")

        with library.Client(transport=integration.CircuitBreakerTransport(make(), Inner())):
            pass
        library.Client(transport=integration.CircuitBreakerTransport(make(), Inner())).close()
        assert told == ["enter", "exit", "close"]

    async def test_what_is_inside_is_entered_and_closed_async(self, make: Make) -> None:
        told = []
        integration, library = self.integration, self.library

        class Inner(library.AsyncBaseTransport):  # type: ignore[misc, name-defined]
            async def __aenter__(self) -> Any:
                told.append("enter")
                return self

            async def __aexit__(self, *args: object) -> None:
                told.append("exit")

            async def aclose(self) -> None:
                told.append("close")

        async with library.AsyncClient(transport=integration.AsyncCircuitBreakerTransport(make(), Inner())):
            pass
        await library.AsyncClient(
            transport=integration.AsyncCircuitBreakerTransport(make(), Inner())
        ).aclose()
        assert told == ["enter", "exit", "close"]

    async def test_without_one_it_brings_its_own(self, service: Service, make: Make) -> None:
        with self.library.Client(transport=self.integration.CircuitBreakerTransport(make())) as client:
            assert client.get(service.url).text == "ok"
        transport = self.integration.AsyncCircuitBreakerTransport(make())
        async with self.library.AsyncClient(transport=transport) as client:
            assert (await client.get(service.url)).text == "ok"

    def test_mounted_it_guards_what_is_below(self, service: Service, other_service: Service) -> None:
        one = CircuitBreaker("one")
        one.force_open()
        inner = self.library.HTTPTransport(verify=CONTEXT)
        mounts = {service.origin: self.integration.CircuitBreakerTransport(one, inner)}
        with self.library.Client(mounts=mounts, verify=CONTEXT) as client:
            assert client.get(other_service.url).status_code == 200
            with pytest.raises(self.integration.CircuitOpenTransportError):
                client.get(service.url)

    def test_a_breaker_inside_another_that_rejects_is_no_evidence(self, service: Service, make: Make) -> None:
        inside, outside = CircuitBreaker("inside"), CircuitBreaker("outside", failure_threshold=1)
        inside.force_open()
        guarded = self.integration.CircuitBreakerTransport
        transport = guarded(outside, guarded(inside, self.library.HTTPTransport(verify=CONTEXT)))
        with (
            self.library.Client(transport=transport) as client,
            pytest.raises(self.library.TransportError, match="inside"),
        ):
            client.get(service.url)
        assert outside.snapshot().failure_count == 0

    async def test_a_stream_that_is_left_in_its_middle_is_closed_and_a_success(
        self, service: Service, make: Make
    ) -> None:
        hosts = make()
        hosts[service.origin].acquire().failure()
        service.behaviour = hang_in_body
        inner = self.library.AsyncHTTPTransport(verify=CONTEXT)
        transport = self.integration.AsyncCircuitBreakerTransport(hosts, inner)
        async with self.library.AsyncClient(transport=transport) as client:
            async with client.stream("GET", service.url) as response:
                async for _ in response.aiter_raw():
                    break
                assert hosts[service.origin].snapshot().failure_count == 1
            assert hosts[service.origin].snapshot().failure_count == 0

    async def test_a_response_whose_judgement_fails_is_closed(self, service: Service, make: Make) -> None:
        responses = []
        hosts = make(failure_if=lambda response: responses.append(response) or 1 // 0)
        with self.client(hosts) as client, pytest.raises(ZeroDivisionError):
            client.get(service.url)
        inner = self.library.AsyncHTTPTransport(verify=CONTEXT)
        transport = self.integration.AsyncCircuitBreakerTransport(hosts, inner)
        async with self.library.AsyncClient(transport=transport) as client:
            with pytest.raises(ZeroDivisionError):
                await client.get(service.url)
        assert [response.is_closed for response in responses] == [True, True]
