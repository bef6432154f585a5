"""Circuits in sessions of requests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import pickle
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError, ResponseNotChunked
from urllib3.util import Retry

from switchgear import BreakerFamily, CircuitBreaker
from switchgear.integrations.requests import CircuitBreakerAdapter, CircuitOpenConnectionError
from tests.integrations.clients.contract import ClientContract
from tests.integrations.clients.driver import Driver, Reply
from tests.integrations.clients.service import Handler, Service, answering, break_length

pytestmark = pytest.mark.anyio

Make = Callable[..., BreakerFamily]


class SessionDriver(Driver):
    broad = requests.RequestException
    rejection = CircuitOpenConnectionError

    def __init__(self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 60, **options: Any) -> None:
        adapter = CircuitBreakerAdapter(breakers, **options)
        self.session = requests.Session()
        self.session.mount("http://", adapter)
        self.timeout = timeout

    async def get(self, url: str) -> Reply:
        response = await asyncio.to_thread(self.session.get, url, timeout=self.timeout)
        return Reply(response.status_code, response.headers, response.content)

    async def peek(self, url: str) -> bytes:
        def work() -> bytes:
            with self.session.get(url, stream=True, timeout=self.timeout) as response:
                return next(response.iter_content(5))

        return await asyncio.to_thread(work)

    async def read_slowly(self, url: str, think: Callable[[], None]) -> bytes:
        def work() -> bytes:
            with self.session.get(url, stream=True, timeout=self.timeout) as response:
                pieces = response.iter_content(5)
                first = next(pieces)
                think()
                return first + b"".join(pieces)

        return await asyncio.to_thread(work)

    async def status(self, url: str) -> int:
        def work() -> int:
            return self.session.get(url, stream=True, timeout=self.timeout).status_code

        return await asyncio.to_thread(work)

    async def close(self) -> None:
        self.session.close()


class TestSession(ClientContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return SessionDriver


# ---- what is particular to it


@contextlib.contextmanager
def session(breakers: BreakerFamily | CircuitBreaker, inner: Any = None, **options: Any) -> Iterator[Any]:
    with requests.Session() as session:
        session.mount("http://", CircuitBreakerAdapter(breakers, inner, **options))
        yield session


def test_a_rejection_knows_its_request_and_pickles_without_it(service: Service, make: Make) -> None:
    hosts = make()
    hosts[service.origin].force_open()
    with session(hosts) as client, pytest.raises(requests.ConnectionError) as raised:
        client.post(service.url, data=(piece for piece in [b"a stream"]))
    error = raised.value
    assert error.request is not None
    assert error.request.method == "POST"
    assert pickle.loads(pickle.dumps(error)).request is None
    assert error.errno is None


def test_a_made_up_response_is_one_of_the_library(service: Service, make: Make) -> None:
    hosts = make()
    hosts[service.origin].force_open("maintenance")
    with session(hosts, on_open="response") as client:
        response = client.get(service.url)
        assert "maintenance" in response.json()["detail"]
        assert (response.url, response.ok, response.reason) == (service.url, False, "Service Unavailable")
        with pytest.raises(requests.HTTPError, match="503 Server Error: Service Unavailable"):
            response.raise_for_status()
        with client.get(service.url, stream=True) as streamed:
            assert b"maintenance" in b"".join(streamed.iter_content(7))


READERS: dict[str, Callable[[requests.Response], object]] = {
    "content": lambda response: response.content,
    "lines": lambda response: list(response.iter_lines()),
    "raw.read": lambda response: response.raw.read(),
    "raw in pieces": lambda response: shutil.copyfileobj(response.raw, io.BytesIO(), 3),
    "raw by lines": lambda response: list(response.raw),
    "raw.stream": lambda response: list(response.raw.stream(3)),
    "raw.readinto": lambda response: io.BufferedReader(response.raw).read(),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_however_a_body_is_read_its_end_is_seen(
    service: Service, make: Make, read: Callable[[requests.Response], object]
) -> None:
    hosts = make()
    hosts[service.origin].acquire().failure()
    with session(hosts) as client:
        response = client.get(service.url, stream=True)
        read(response)
        assert hosts[service.origin].snapshot().failure_count == 0
        service.behaviour = break_length
        response = client.get(service.url, stream=True)
        with pytest.raises((requests.RequestException, ProtocolError)):
            read(response)
        assert hosts[service.origin].snapshot().failure_count == 1
        response.close()
    assert hosts[service.origin].snapshot().failure_count == 1


def test_the_librarys_own_retries_are_one_call(service: Service, make: Make) -> None:
    hosts = make()
    service.behaviour = answering(503)
    retries = Retry(2, status_forcelist=[503], backoff_factor=0)
    with (
        session(hosts, HTTPAdapter(max_retries=retries)) as client,
        pytest.raises(requests.exceptions.RetryError),
    ):
        client.get(service.url)
    assert (hosts[service.origin].snapshot().failure_count, len(service.paths)) == (1, 3)


def test_the_second_request_of_an_authentication_is_guarded(service: Service, make: Make) -> None:
    hosts = make()
    ask = answering(401, www_authenticate='Digest realm="r", nonce="n"')

    def ask_once(handler: Handler) -> None:
        hosts[service.origin].force_open()
        ask(handler)

    service.behaviour = ask_once
    auth = requests.auth.HTTPDigestAuth("name", "password")
    with session(hosts) as client, pytest.raises(CircuitOpenConnectionError):
        client.get(service.url, auth=auth)
    assert len(service.paths) == 1


def test_mistakes_of_the_caller_are_no_evidence(service: Service, make: Make) -> None:
    hosts = make(failure_threshold=1)
    service.behaviour = answering(302, location=service.url)
    with session(hosts) as client:
        with pytest.raises(requests.TooManyRedirects):
            client.get(service.url)
        service.behaviour = answering()
        with pytest.raises(requests.exceptions.InvalidProxyURL):
            client.get(service.url, proxies={"http": "http:///x"})
        with pytest.raises(OSError, match="TLS certificate"):
            client.get(service.url, cert="/nothing")
    assert hosts[service.origin].snapshot().failure_count == 0


def test_what_is_inside_is_closed(make: Make) -> None:
    closed = []

    class Inner(HTTPAdapter):
        def close(self) -> None:
            closed.append(self)

    inner = Inner()
    with session(make(), inner):
        pass
    assert closed == [inner]


def test_a_response_whose_judgement_fails_is_closed(service: Service, make: Make) -> None:
    responses = []
    hosts = make(failure_if=lambda response: responses.append(response) or 1 // 0)
    with session(hosts) as client, pytest.raises(ZeroDivisionError):
        client.get(service.url)
    assert responses[0].raw.closed


def test_reading_in_a_way_that_does_not_fit_is_no_evidence(service: Service, make: Make) -> None:
    hosts = make(failure_threshold=1)
    with session(hosts) as client:
        response = client.get(service.url, stream=True)
        with pytest.raises(ResponseNotChunked):
            list(response.raw.read_chunked())
        response.close()
    assert hosts[service.origin].snapshot().failure_count == 0
