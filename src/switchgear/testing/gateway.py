"""Unit tests for a gateway's file: the gateway itself, in this process, in front of fake upstreams.

def test_a_dead_service_is_left_alone():
    with gateway_test("gateway.yaml") as gateway:
        gateway.fake("users").fail(500, times=5)
        statuses = [gateway.get("/users/1").status for _ in range(6)]
        assert statuses == [500] * 5 + [503]
        assert gateway.circuit("service:users").state == "open"
        gateway.clock.advance(30)
        assert gateway.get("/users/1").status == 200
        assert gateway.circuit("service:users").state == "closed"
"""

from __future__ import annotations

import asyncio
import json as json_module
import os
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from switchgear.testing.fakes import FakeUpstream
from switchgear.testing.loop_thread import LoopClock, LoopThread
from switchgear.testing.messages import MAX_HEAD, GatewayAnswer, read_answer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from switchgear import CircuitBreaker
    from switchgear.gateway.config import GatewayConfig
    from switchgear.gateway.config.model import Endpoint, Service
    from switchgear.gateway.server import Gateway

R = TypeVar("R")

_NOTHING: Final = object()
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


def gateway_test(file: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> GatewayTest:
    """A gateway with the configuration of a file, for a `with` or an `async with` block.

    Each URL of each service is replaced by a fake upstream. Circuits are kept in memory and go by a clock of
    the test's own; `listen`, `admin`, `log` and `tls` are left out. `environ` is what `${NAME}` stands for,
    by default the environment. Raises `ValueError` with all mistakes of the file.
    """
    # Late: who tests a store needs nothing of the gateway.
    from switchgear.gateway.config import load_config

    loaded = load_config(Path(file), os.environ if environ is None else environ)
    if loaded.config is None:
        raise ValueError("\n".join(mistake.text() for mistake in loaded.mistakes))
    return GatewayTest(loaded.config)


class GatewayTest:
    """Starts and ends the gateway: `with` gives a `RunningGateway`, `async with` an `AsyncRunningGateway`."""

    def __init__(self, config: GatewayConfig) -> None:
        self._scene = _Scene(config)

    def __enter__(self) -> RunningGateway:
        self._scene.start()
        return RunningGateway(self._scene)

    def __exit__(self, *_: object) -> None:
        self._scene.stop()

    async def __aenter__(self) -> AsyncRunningGateway:
        await asyncio.to_thread(self._scene.start)
        return AsyncRunningGateway(self._scene)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._scene.stop)


class _Scene:
    """The gateway and its fakes, in the thread in which they live."""

    def __init__(self, config: GatewayConfig) -> None:
        self.clock = LoopClock()
        self.thread = LoopThread(self.clock)
        self.fakes: dict[str, FakeUpstream] = {}
        self.gateway: Gateway
        self._config = config

    def start(self) -> None:
        self.thread.start(self._open)

    def stop(self) -> None:
        self.thread.stop()

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> GatewayAnswer:
        address = self.gateway.address
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=MAX_HEAD)
        try:
            fields = {
                "Host": str(address),
                "Content-Length": str(len(body)),
                "Connection": "close",
                **headers,
            }
            if not body and method in {"GET", "HEAD", "OPTIONS"}:
                del fields["Content-Length"]
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
            return await read_answer(reader, method)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[None]:
        from switchgear.gateway.server import Gateway

        try:
            self.gateway = Gateway(self._faked(), clock=self.clock)
            for fake in self.fakes.values():
                await fake.listen()
            await self.gateway.start()
            yield
            await self.gateway.close()
        finally:
            for fake in self.fakes.values():
                await fake.close()
                fake.release()

    def _faked(self) -> GatewayConfig:
        from switchgear.gateway.config.model import Address, LogConfig, State

        routes = (
            replace(route, services=tuple(map(self._faked_service, route.services)))
            for route in self._config.routes
        )
        return replace(
            self._config,
            routes=tuple(routes),
            listen=Address("127.0.0.1", 0),
            state=State(),
            log=LogConfig(access=False),
            admin=None,
            tls=None,
        )

    def _faked_service(self, service: Service) -> Service:
        return replace(service, endpoints=tuple(self._faked_endpoint(service, e) for e in service.endpoints))

    def _faked_endpoint(self, service: Service, endpoint: Endpoint) -> Endpoint:
        name = f"{service.name}@{endpoint.origin}"
        fake = self.fakes.get(name)
        if fake is None:
            fake = self.fakes[name] = FakeUpstream(name, self.clock, self.thread)
        return replace(endpoint, scheme="http", host="127.0.0.1", port=fake.port)


class _Running(Generic[R]):
    """What both colours have. `clock`: time of the circuits, and of every wait; it goes on when told to."""

    def __init__(self, scene: _Scene) -> None:
        self._scene = scene
        self.clock = scene.clock

    @property
    def fakes(self) -> Mapping[str, FakeUpstream]:
        """All fakes, by name: `SERVICE@scheme://host:port`."""
        return self._scene.fakes

    def fake(self, name: str) -> FakeUpstream:
        """The fake of a service, by the name that it has in its route; with its URL (`users@http://localhost:6666`)
        where there are several. `LookupError` otherwise.
        """
        return self.fakes[_meant("upstream", name, self.fakes)]

    def circuit(self, key: str) -> CircuitBreaker:
        """A circuit, by its key, from which `@` and what follows may be left out.

        `LookupError` when there is none, or more than one.
        """
        circuits = {circuit.name: circuit for circuit in self._scene.gateway.circuits}
        return circuits[_meant("circuit", key, circuits)]

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        json: object = _NOTHING,
        body: bytes = b"",
    ) -> R:
        """Ask the gateway, on a connection of its own."""
        if json is not _NOTHING:
            headers, body = {"Content-Type": "application/json", **headers}, json_module.dumps(json).encode()
        return self._run(self._scene.exchange(method, path, headers, body))

    def get(self, path: str, *, headers: Mapping[str, str] = _NO_HEADERS) -> R:
        """`request("GET", ...)`."""
        return self.request("GET", path, headers=headers)

    def post(
        self,
        path: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        json: object = _NOTHING,
        body: bytes = b"",
    ) -> R:
        """`request("POST", ...)`."""
        return self.request("POST", path, headers=headers, json=json, body=body)

    def _run(self, work: Coroutine[Any, Any, GatewayAnswer]) -> R:
        raise NotImplementedError


class RunningGateway(_Running[GatewayAnswer]):
    """A gateway under test; requests wait for their answers."""

    def _run(self, work: Coroutine[Any, Any, GatewayAnswer]) -> GatewayAnswer:
        return self._scene.thread.run(work)


class AsyncRunningGateway(_Running[Awaitable[GatewayAnswer]]):
    """A gateway under test; requests are awaited, so that there can be several at once."""

    def _run(self, work: Coroutine[Any, Any, GatewayAnswer]) -> Awaitable[GatewayAnswer]:
        return asyncio.wrap_future(self._scene.thread.submit(work))


def _meant(kind: str, name: str, known: Iterable[str]) -> str:
    """The only one that is called `name`, or `name@...`."""
    names = sorted(known)
    found = [name] if name in names else [one for one in names if one.partition("@")[0] == name]
    if len(found) != 1:
        what = f"{name!r} may be each of" if found else f"no {kind} {name!r}; there are:"
        raise LookupError(f"{what} {', '.join(found or names) or 'none'}")
    return found[0]
