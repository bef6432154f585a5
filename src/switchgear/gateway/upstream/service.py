"""A service as a route uses it, ready to be asked: circuit, endpoints, timeouts."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from switchgear.gateway.circuits import Guard, guard_for
from switchgear.gateway.templates import compile_target
from switchgear.gateway.timeouts import TimeoutQueue
from switchgear.gateway.upstream.attempt import Attempt
from switchgear.gateway.upstream.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from switchgear import Switchgear
    from switchgear.gateway.config.model import Endpoint, Limits, Service

_USUAL_PORT: Final = {"http": 80, "https": 443}


class UpstreamEndpoint:
    """One URL of a service: how a request for it is written, and the pool of its origin."""

    __slots__ = ("_host", "_preserve_host", "_target", "pool")

    def __init__(self, endpoint: Endpoint, pool: Pool, preserve_host: bool) -> None:
        self.pool = pool
        self._target = compile_target(endpoint)
        self._preserve_host = preserve_host
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        usual = endpoint.port == _USUAL_PORT[endpoint.scheme]
        self._host = (host if usual else f"{host}:{endpoint.port}").encode()

    def write_head(
        self,
        method: bytes,
        target: bytes,
        params: Mapping[str, bytes],
        host: bytes,
        fields: bytes,
        more: bytes = b"",
    ) -> bytes:
        """A request's head; `target` and `host` are the client's, `fields` and `more` all other lines."""
        own = (self._preserve_host and host) or self._host
        target = self._target(target, params)
        return b"".join((method, b" ", target, b" HTTP/1.1\r\nHost: ", own, b"\r\n", fields, more, b"\r\n"))


class Upstream:
    """A service of one route. `waits`: for an attempt's answer; `idle`: between bytes."""

    __slots__ = ("_endpoints", "_next", "guard", "idle", "service", "waits")

    def __init__(
        self,
        service: Service,
        guard: Guard | None,
        endpoints: tuple[UpstreamEndpoint, ...],
        waits: TimeoutQueue[Attempt],
        idle: TimeoutQueue[Attempt],
    ) -> None:
        self.service = service
        self.guard = guard
        self.waits = waits
        self.idle = idle
        self._endpoints = endpoints
        self._next = 0

    def choose(self) -> UpstreamEndpoint:
        """The endpoint whose turn it is, or the first from there with the fewest requests under way."""
        endpoints = self._endpoints
        if len(endpoints) == 1:
            return endpoints[0]
        self._next = (self._next + 1) % len(endpoints)
        if self.service.balance == "round-robin":
            return endpoints[self._next]
        in_turn = endpoints[self._next :] + endpoints[: self._next]
        return min(in_turn, key=lambda endpoint: endpoint.pool.busy)


class Upstreams:
    """Makes the upstreams of a gateway; one pool per origin and one queue per duration serve all of them."""

    def __init__(self, owner: Switchgear, limits: Limits) -> None:
        self._owner = owner
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._pools: dict[str, Pool] = {}
        self._waits: dict[float, TimeoutQueue[Attempt]] = {}
        self._idle = TimeoutQueue(self._loop, limits.idle, Attempt.expire)
        self._tls: ssl.SSLContext | None = None

    def make(self, service: Service) -> Upstream:
        endpoints = tuple(
            UpstreamEndpoint(endpoint, self._pool(endpoint), service.preserve_host)
            for endpoint in service.endpoints
        )
        waits = self._wait(service.timeout or self._limits.first_byte)
        return Upstream(service, guard_for(service.circuit, self._owner), endpoints, waits, self._idle)

    async def close(self) -> None:
        """Drops all connections."""
        for queue in (self._idle, *self._waits.values()):
            queue.close()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def _pool(self, endpoint: Endpoint) -> Pool:
        pool = self._pools.get(endpoint.origin)
        if pool is None:
            tls = self._tls_context() if endpoint.scheme == "https" else None
            pool = self._pools[endpoint.origin] = Pool(
                endpoint.host, endpoint.port, tls, self._limits.connect
            )
        return pool

    def _wait(self, seconds: float) -> TimeoutQueue[Attempt]:
        queue = self._waits.get(seconds)
        if queue is None:
            queue = self._waits[seconds] = TimeoutQueue(self._loop, seconds, Attempt.expire)
        return queue

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
