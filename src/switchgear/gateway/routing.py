"""From a request's method and path to its route, at a cost that does not grow with the number of routes.

A path without parameters is found by one look into a dict, all others by walking a tree of segments. At every
segment a literal is tried before a parameter, and a parameter before a wildcard; the path is chosen first and
the method after it, so a path that lacks the method is a 405 although a less specific one has it.

Segments are cut at the `/` of the path as received and decoded once, to be compared: `/%61dmin` is `/admin`,
which it is for the upstream too, and `a%2Fb` is one segment. What a parameter or wildcard matched stays as it
was received.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from switchgear.gateway import answers
from switchgear.gateway.answers import Answer
from switchgear.gateway.config.paths import ANONYMOUS, Literal, Param, PathTemplate, Wildcard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NO_PARAMS: Final[Mapping[str, bytes]] = MappingProxyType({})
METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")

# Behind a parameter, `..` would walk out of the upstream's path. `..;x` is `..` to servers that take `;x` for
# a parameter of the segment, and nobody else sends it.
_DOT_SEGMENT: Final = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:;[^/]*)?(?=/|\Z)")


class Routed(Protocol):
    """What can be found by a request: a route, or what was made of one."""

    @property
    def path(self) -> PathTemplate: ...
    @property
    def method(self) -> str: ...


R = TypeVar("R", bound=Routed)


@dataclass(slots=True)
class Match(Generic[R]):
    """A request's route, and by name what its parameters and wildcard (always `*` too) matched, raw.

    Nobody changes it; to freeze it would double what making one costs.
    """

    route: R
    params: Mapping[str, bytes]


class RouteTable(Generic[R]):
    """All routes of a gateway. Raises `ValueError` for two routes that match the same requests."""

    __slots__ = ("_literals", "_not_found", "_root")

    def __init__(self, routes: Iterable[R]) -> None:
        self._root = _Node[R]()
        # `*` is the target that asks for the options of the server as a whole.
        self._literals: dict[bytes, _Resource[R]] = {b"*": _Resource[R]({})}
        self._not_found = answers.not_found()
        by_path: dict[object, list[R]] = {}
        for route in routes:
            by_path.setdefault(route.path.shape, []).append(route)
        for same_path in by_path.values():
            self._add(same_path)

    def match(self, method: bytes, path: bytes) -> Match[R] | Answer:
        """The route of a request, or the answer of the gateway's own: 204 (`OPTIONS`), 400, 404 or 405.

        `path` is that of the target as received, without the query.
        """
        resource = self._literals.get(path)
        if resource is not None:
            return resource.matches.get(method) or resource.otherwise(method)
        return self._search(method, path)

    def _search(self, method: bytes, path: bytes) -> Match[R] | Answer:
        if not path.startswith(b"/"):
            return self._not_found
        raw = path[1:].split(b"/")
        resource = self._root.find(_decoded(raw) if b"%" in path else raw, 0)
        if resource is None:
            return self._not_found
        if _DOT_SEGMENT.search(path):
            return answers.problem(400, "The path has a segment that stands for . or ..")
        found = resource.matches.get(method) or resource.otherwise(method)
        if isinstance(found, Answer):
            return found
        return Match(found.route, _captures(found.route.path, raw))

    def _add(self, routes: Sequence[R]) -> None:
        path = routes[0].path
        resource = _Resource(_by_method(routes))
        self._root.descend(path).take(resource, path)
        if not path.parameters:
            plain = b"/" + b"/".join(_decoded([s.text for s in path.segments if isinstance(s, Literal)]))
            # A path that only exists encoded (`/a%2Fb`) is compared by its decoded segments, in the tree.
            if b"%" not in plain and plain.count(b"/") == len(path.segments):
                self._literals[plain] = resource


class _Resource(Generic[R]):
    """The methods of one path."""

    __slots__ = ("_all", "_not_allowed", "_options", "matches")

    def __init__(self, routes: Mapping[bytes, R]) -> None:
        self.matches = {method: Match(route, NO_PARAMS) for method, route in routes.items()}
        self._all = self.matches.pop(b"ALL", None)
        if b"GET" in self.matches:
            self.matches.setdefault(b"HEAD", self.matches[b"GET"])
        allow = b", ".join(method for method in METHODS if method in self.matches or method == b"OPTIONS")
        self._options = answers.options(allow)
        self._not_allowed = answers.method_not_allowed(allow)

    def otherwise(self, method: bytes) -> Match[R] | Answer:
        """For a method that is not declared by its name; `ALL` declares every method, `OPTIONS` too."""
        if self._all is not None:
            return self._all
        return self._options if method == b"OPTIONS" else self._not_allowed


@dataclass(slots=True)
class _Node(Generic[R]):
    """A place in the tree of segments; `rest` is what a wildcard there leads to."""

    literals: dict[bytes, _Node[R]] = field(default_factory=dict[bytes, "_Node[R]"])
    param: _Node[R] | None = None
    rest: _Resource[R] | None = None
    resource: _Resource[R] | None = None

    def descend(self, path: PathTemplate) -> _Node[R]:
        """The node of a path, made if need be; that of a wildcard is the one before it."""
        node = self
        for segment in path.segments:
            if isinstance(segment, Literal):
                node = node.literals.setdefault(unquote_to_bytes(segment.text), _Node())
            elif isinstance(segment, Param):
                node.param = node.param or _Node()
                node = node.param
        return node

    def take(self, resource: _Resource[R], path: PathTemplate) -> None:
        if isinstance(path.segments[-1], Wildcard):
            self.rest = resource
        else:
            self.resource = resource

    def find(self, segments: Sequence[bytes], depth: int) -> _Resource[R] | None:
        """The most specific resource below this node.

        Goes back at most once to every node on the way, and never deeper than the longest path of the table:
        the request can't make it more expensive than the configuration does.
        """
        if depth == len(segments):
            return self.resource
        segment = segments[depth]
        literal = self.literals.get(segment)
        found = literal.find(segments, depth + 1) if literal is not None else None
        if found is None and self.param is not None and segment:
            found = self.param.find(segments, depth + 1)
        return found or self.rest


def _by_method(routes: Sequence[R]) -> dict[bytes, R]:
    methods: dict[bytes, R] = {}
    for route in routes:
        if methods.setdefault(route.method.encode(), route) is not route:
            raise ValueError(f"{route} matches what {methods[route.method.encode()]} matches")
    return methods


def _decoded(raw: list[bytes]) -> list[bytes]:
    return [unquote_to_bytes(segment) for segment in raw]


def _captures(path: PathTemplate, raw: Sequence[bytes]) -> Mapping[str, bytes]:
    """What the parameters of `path` stand for; a wildcard with a name can be called `*` as well."""
    captured: dict[str, bytes] = {}
    for place, segment in enumerate(path.segments):
        if isinstance(segment, Param):
            captured[segment.name] = raw[place]
        elif isinstance(segment, Wildcard):
            captured[segment.name] = captured[ANONYMOUS] = b"/".join(raw[place:])
    return captured
