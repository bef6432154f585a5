"""One URL of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from switchgear.gateway.templates import compile_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from switchgear.gateway.circuits import Guard
    from switchgear.gateway.config.model import Endpoint
    from switchgear.gateway.http1.rules import FieldRules
    from switchgear.gateway.upstream.pool import Pool

_USUAL_PORT: Final = {"http": 80, "https": 443}


class UpstreamEndpoint:
    """How a request for a URL is written, the pool of its origin, and its own circuit if it has one."""

    __slots__ = ("_after_target", "_preserve_host", "_target", "guard", "origin", "pool")

    def __init__(self, endpoint: Endpoint, pool: Pool, preserve_host: bool, guard: Guard | None) -> None:
        self.pool = pool
        self.guard = guard
        self.origin = endpoint.origin
        self._target = compile_target(endpoint)
        self._preserve_host = preserve_host
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        usual = endpoint.port == _USUAL_PORT[endpoint.scheme]
        self._after_target = _after_target((host if usual else f"{host}:{endpoint.port}").encode())

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
        address = self._target
        own = _after_target(host) if self._preserve_host and host else self._after_target
        return b"".join((method, b" ", address(target, params), own, fields, more, b"\r\n"))


class RuledEndpoint(UpstreamEndpoint):
    """One URL of a service that gets other fields than the client sent."""

    __slots__ = ("_rules",)

    def __init__(
        self, endpoint: Endpoint, pool: Pool, preserve_host: bool, guard: Guard | None, rules: FieldRules
    ) -> None:
        super().__init__(endpoint, pool, preserve_host, guard)
        self._rules = rules

    def write_head(
        self,
        method: bytes,
        target: bytes,
        params: Mapping[str, bytes],
        host: bytes,
        fields: bytes,
        more: bytes = b"",
    ) -> bytes:
        return super().write_head(method, target, params, host, self._rules.lines(fields + more))


def _after_target(host: bytes) -> bytes:
    return b" HTTP/1.1\r\nHost: %b\r\n" % host
