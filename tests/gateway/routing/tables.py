"""Route tables from short texts, for the tests here."""

from switchgear.gateway.config.model import Route
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.routing import Match, RouteTable


def route(text: str) -> Route:
    """A route without services from `GET /users/{id}`."""
    method, path = text.split()
    return Route(parse_path(path), method, ())


def table(*routes: str) -> RouteTable:
    return RouteTable(map(route, routes))


def found(match: object) -> tuple[str, dict[str, bytes]]:
    """A match as its route's text and its parameters."""
    assert isinstance(match, Match), match
    return str(match.route), dict(match.params)
