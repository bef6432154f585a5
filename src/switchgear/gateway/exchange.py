"""What passes between the data path, merged routes and user policies: a request, a whole answer, a failure of
an upstream.

Field names are lower-case bytes, values are the bytes that came, hop-by-hop fields are gone. `Host` is kept
apart, since each upstream gets its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from switchgear.gateway.http1.fields import join_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from switchgear.gateway.config.model import Service

FailureKind = Literal["dns", "connect", "connect_timeout", "tls", "timeout", "reset", "protocol", "too_large"]
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request.

    `target` is the request target as received; what an endpoint is asked for, the one who sends the request
    makes of `target` and `params` (for parts of a merged route: `Fetch`). `params` holds the raw (still
    percent-encoded) segments that the route's parameters and wildcard matched. `headers` are ready to be sent
    on: the `X-Forwarded-*` fields are in them, `Content-Length` is not. `body` is the whole body where the
    route merges, and empty where the body is streamed past.
    """

    method: bytes
    target: bytes
    path: bytes
    query: bytes  # without the question mark
    host: bytes
    params: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    headers: Sequence[Header] = ()
    body: bytes = b""
    attempts: list[float] = field(default_factory=list[float], compare=False, repr=False)
    """Seconds that each attempt at a part of a merged route took, 0 until it ends; for the access log."""

    def header(self, name: bytes) -> bytes | None:
        """The first value of the field `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class BufferedResponse:
    """An answer whose body is there as a whole, decoded; `headers` has no `content-length`."""

    status: int
    headers: list[Header]
    body: bytes = b""

    @property
    def fields(self) -> bytes:
        """The fields as lines."""
        return join_fields(self.headers)


class UpstreamFailure(Exception):  # noqa: N818 - what it is for the circuit
    """No usable answer from a service.

    `kind` is one of `FailureKind`: the name has no address, no connection, none in time, TLS failed on it; no
    answer in time, it broke off, it was no HTTP, it was too large. `status` is what the client is told: 504
    for an expired wait, 502 for everything else.
    """

    def __init__(self, kind: FailureKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind: FailureKind = kind
        self.detail = detail

    @property
    def status(self) -> int:
        return 504 if self.late else 502

    @property
    def late(self) -> bool:
        """Whether a wait expired."""
        return self.kind in ("timeout", "connect_timeout")


class Fetch(Protocol):
    """Asks one service and waits for the whole answer, through the service's own circuit and attempt timeout.

    `request` is the client's, with what the caller wants changed in `headers`; the target is expanded here,
    since it depends on the endpoint that is chosen.

    Raises `UpstreamFailure`, or `CircuitOpenError` when the service's circuit rejects. Cancelling it drops
    the upstream call at once. The answer's body is at most `limits.bufferedPart` bytes; a larger one is
    `UpstreamFailure("too_large")`.
    """

    async def __call__(self, service: Service, request: Request) -> BufferedResponse: ...
