"""From a request's target to the target at an upstream.

What the client sent goes on as it came: the whole target where the URL has no path, otherwise the matched
segments and the query. A segment stays one segment, since it was cut at `/` before anything was decoded;
bytes in it that are not legal there are percent-encoded, so that they can't start a query or end the request
line. Everything that depends only on the configuration is worked out when the gateway starts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from switchgear.gateway.config.paths import Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from switchgear.gateway.config.model import Endpoint
    from switchgear.gateway.config.paths import PathTemplate

    Expand = Callable[[Mapping[str, bytes]], bytes]

# `/` is legal in what a wildcard matched, and can't be in what a parameter matched. A `%` stays as it came.
_ILLEGAL_IN_PATH: Final = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@%/]")


class Target(Protocol):
    """Gives the target at an upstream.

    `target` is the client's in origin form, `params` holds what the route's parameters matched, raw.
    """

    def __call__(self, target: bytes, params: Mapping[str, bytes]) -> bytes: ...


def compile_target(endpoint: Endpoint) -> Target:
    """How requests are addressed at `endpoint`: the URL's own query goes first, joined by `&`."""
    query = endpoint.query.encode()
    expand = _compile_path(endpoint.path)
    append = endpoint.append_request_path
    if not query and append and expand is None:
        return _unchanged
    if not query and not append and isinstance(expand, bytes):
        return _with_query_of_client(expand)

    def target_at_endpoint(target: bytes, params: Mapping[str, bytes]) -> bytes:
        path, mark, asked = target.partition(b"?")
        own = expand if isinstance(expand, bytes) else expand(params) if expand is not None else b""
        return b"".join((own, path if append else b"", *_joined(query, mark, asked)))

    return target_at_endpoint


def _with_query_of_client(path: bytes) -> Target:
    """The one path that nearly every URL has."""

    def target_at_endpoint(target: bytes, params: Mapping[str, bytes]) -> bytes:
        asked = target.find(b"?")
        return path if asked < 0 else path + target[asked:]

    return target_at_endpoint


def _unchanged(target: bytes, params: Mapping[str, bytes]) -> bytes:
    return target


def _joined(own: bytes, mark: bytes, asked: bytes) -> tuple[bytes, ...]:
    """Both queries as one; a lone `?` of the client stays when it is all there is."""
    if not own:
        return (mark, asked)
    return (b"?", own, b"&", asked) if asked else (b"?", own)


def _compile_path(path: PathTemplate | None) -> Expand | bytes | None:
    if path is None:
        return None
    if not path.parameters:
        return b"".join(b"/" + s.text for s in path.segments if isinstance(s, Literal))
    return _with_parameters(path)


def _with_parameters(path: PathTemplate) -> Expand:
    pattern = b"".join(
        b"/" + (s.text.replace(b"%", b"%%") if isinstance(s, Literal) else b"%b") for s in path.segments
    )
    names = path.parameters

    def expand(params: Mapping[str, bytes]) -> bytes:
        return pattern % tuple(_legal(params[name]) for name in names)

    return expand


def _legal(raw: bytes) -> bytes:
    return _ILLEGAL_IN_PATH.sub(lambda found: b"%%%02X" % ord(found[0]), raw)
