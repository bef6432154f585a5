"""The route table against a matcher that tries every route and knows nothing of trees."""

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from switchgear.gateway.answers import Answer
from switchgear.gateway.config.model import Route
from switchgear.gateway.config.paths import Literal, Param, Wildcard
from switchgear.gateway.routing import RouteTable

from .tables import found, route

Specificity = tuple[int, ...]
LITERAL, PARAM, WILDCARD, END = 3, 2, 1, 4


def specificity(path: Route, raw: list[bytes]) -> Specificity | None:
    """How well a route fits, segment by segment, or `None` when it does not."""
    kinds: list[int] = []
    for place, segment in enumerate(path.path.segments):
        if place >= len(raw):
            return None
        match segment:
            case Literal(text):
                if unquote_to_bytes(text) != unquote_to_bytes(raw[place]):
                    return None
                kinds.append(LITERAL)
            case Param():
                if not raw[place]:
                    return None
                kinds.append(PARAM)
            case Wildcard():
                return (*kinds, WILDCARD)
    return (*kinds, END) if len(raw) == len(path.path.segments) else None


def expected(routes: list[Route], path: bytes) -> Route | None:
    raw = path[1:].split(b"/")
    fitting = [(fit, r) for r in routes if (fit := specificity(r, raw)) is not None]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def is_dot(segment: bytes) -> bool:
    return unquote_to_bytes(segment) in (b".", b"..")


WORDS = ["a", "b", "ab", "a%62", ""]
segments = st.lists(st.sampled_from([*WORDS, "{p}"]), min_size=1, max_size=4)
tails = st.sampled_from(["", "/*", "/{rest:path}"])


def numbered(parts: list[str]) -> Iterator[str]:
    """Parameters of one path need names of their own."""
    for place, part in enumerate(parts):
        yield f"{{p{place}}}" if part == "{p}" else part


paths = st.builds(lambda parts, tail: "/" + "/".join(numbered(parts)) + tail, segments, tails)
requests = st.lists(st.sampled_from([*WORDS, "%61", "c", "..", "%2e", "a%2Fb"]), min_size=1, max_size=6).map(
    lambda parts: ("/" + "/".join(parts)).encode()
)


def shape(r: Route) -> object:
    return tuple(unquote_to_bytes(s.text) if isinstance(s, Literal) else type(s) for s in r.path.segments)


@given(st.lists(paths, min_size=1, max_size=12), st.lists(requests, min_size=1, max_size=12))
@example(["/{p0}/b", "/a/*", "/a/{p1}/c"], [b"/a/b", b"/a/b/c", b"/a/b/d", b"/b/b"])
@example(["/a/b", "/{p0}/b/*"], [b"/a/b/", b"/a/%62"])
def test_same_route_as_the_reference(texts: list[str], asked: list[bytes]):
    routes = list({shape(r): r for r in (route(f"GET {text}") for text in texts)}.values())
    table = RouteTable(routes)
    for path in asked:
        best = expected(routes, path)
        answer = table.match(b"GET", path)
        if best is None:
            assert isinstance(answer, Answer)
            assert answer.status == 404
        elif any(map(is_dot, path.split(b"/"))):
            assert isinstance(answer, Answer)
            assert answer.status == 400
        else:
            name, params = found(answer)
            assert name == str(best)
            assert rebuilt(best, params) == unquote_to_bytes(path)


def rebuilt(best: Route, params: dict[str, bytes]) -> bytes:
    """The path that the matched values say was asked for."""
    parts = [s.text if isinstance(s, Literal) else params[s.name] for s in best.path.segments]
    return unquote_to_bytes(b"/" + b"/".join(parts))
