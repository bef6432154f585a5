"""Paths and methods find their routes, and what finds none is answered."""

import json

import pytest

from switchgear.gateway.answers import Answer
from switchgear.gateway.routing import Match, RouteTable

from .tables import found, route, table

TABLE = table(
    "GET /",
    "GET /users",
    "POST /users",
    "GET /users/{id}",
    "DELETE /users/{id}",
    "GET /users/me",
    "GET /users/{user}/posts/{post}",
    "ALL /files/*",
    "GET /files/index",
    "GET /docs/{rest:path}",
    "GET /docs/v1/{page}",
    "GET /a%2Fb",
    "GET /c%2541",
    "GET /cA",
    "GET /caf%C3%A9/",
    "GET /mixed/{x}/end",
    "GET /mixed/literal/{y}/deep",
)


@pytest.mark.parametrize(
    ("request_line", "expected", "params"),
    [
        ("GET /", "GET /", {}),
        ("GET /users", "GET /users", {}),
        ("POST /users", "POST /users", {}),
        ("GET /users/7", "GET /users/{id}", {"id": b"7"}),
        ("DELETE /users/7", "DELETE /users/{id}", {"id": b"7"}),
        ("GET /users/me", "GET /users/me", {}),
        ("GET /users/me/posts/1", "GET /users/{user}/posts/{post}", {"user": b"me", "post": b"1"}),
        ("HEAD /users/7", "GET /users/{id}", {"id": b"7"}),
        # a wildcard matches the rest, however long, and nothing at all behind its slash
        ("PUT /files/a/b/c", "ALL /files/*", {"*": b"a/b/c"}),
        ("GET /files/", "ALL /files/*", {"*": b""}),
        ("GET /files//x/", "ALL /files/*", {"*": b"/x/"}),
        ("OPTIONS /files/x", "ALL /files/*", {"*": b"x"}),
        ("GET /files/index", "GET /files/index", {}),
        ("GET /docs/v1/intro", "GET /docs/v1/{page}", {"page": b"intro"}),
        # back from the more specific branch that leads nowhere
        ("GET /docs/v1/a/b", "GET /docs/{rest:path}", {"rest": b"v1/a/b", "*": b"v1/a/b"}),
        ("GET /mixed/literal/end", "GET /mixed/{x}/end", {"x": b"literal"}),
        ("GET /mixed/literal/q/deep", "GET /mixed/literal/{y}/deep", {"y": b"q"}),
        # decoded once, to be compared; what was matched stays as it came
        ("GET /%75sers", "GET /users", {}),
        ("GET /users/%6De", "GET /users/me", {}),
        ("GET /a%2fb", "GET /a%2Fb", {}),
        ("GET /c%2541", "GET /c%2541", {}),
        ("GET /c%41", "GET /cA", {}),  # decoded once, never twice
        ("GET /caf%c3%a9/", "GET /caf%C3%A9/", {}),
        ("GET /users/a%2F..%2Fadmin", "GET /users/{id}", {"id": b"a%2F..%2Fadmin"}),
        ("GET /users/%252e%252e", "GET /users/{id}", {"id": b"%252e%252e"}),
        ("GET /users/...", "GET /users/{id}", {"id": b"..."}),
        ("GET /users/.hidden", "GET /users/{id}", {"id": b".hidden"}),
        ("GET /users/50%", "GET /users/{id}", {"id": b"50%"}),
        ("GET /files/..a/b..", "ALL /files/*", {"*": b"..a/b.."}),
    ],
)
def test_finds(request_line: str, expected: str, params: dict[str, bytes]):
    method, path = request_line.encode().split()
    assert found(TABLE.match(method, path)) == (expected, params)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/users/", "/users/7/posts", "/files", "//users", "/a/b", "/Users", "", "users", "/../"],
)
def test_no_route(path: str):
    answer = TABLE.match(b"GET", path.encode())
    assert isinstance(answer, Answer)
    assert answer.status == 404
    assert (b"switchgear-origin", b"error") in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/users/.",
        "/users/..",
        "/users/%2e",
        "/users/%2E%2e",
        "/users/.%2e",
        "/files/../admin",
        "/files/a/..",
        "/files/a/./b",
        "/files/%2e%2E/b",
        "/files/..;x=1/admin",
        "/files/%2e.;/admin",
        "/docs/v1/..",
    ],
)
def test_dot_segment_in_what_is_matched_is_refused(path: str):
    answer = TABLE.match(b"GET", path.encode())
    assert isinstance(answer, Answer)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("request_line", "allow"),
    [
        ("PUT /users", b"GET, HEAD, POST, OPTIONS"),
        ("POST /users/7", b"GET, HEAD, DELETE, OPTIONS"),
        ("DELETE /users/me", b"GET, HEAD, OPTIONS"),  # the path is chosen before the method
        ("GET *", b"OPTIONS"),
    ],
)
def test_wrong_method(request_line: str, allow: bytes):
    method, path = request_line.encode().split()
    answer = TABLE.match(method, path)
    assert isinstance(answer, Answer)
    assert answer.status == 405
    assert (b"allow", allow) in answer.headers
    assert json.loads(answer.body)["title"] == "Method Not Allowed"


@pytest.mark.parametrize(("path", "allow"), [("/users", b"GET, HEAD, POST, OPTIONS"), ("*", b"OPTIONS")])
def test_options_are_answered(path: str, allow: bytes):
    assert TABLE.match(b"OPTIONS", path.encode()) == Answer(204, ((b"allow", allow),))


def test_options_go_on_when_declared():
    assert found(table("OPTIONS /x", "GET /x").match(b"OPTIONS", b"/x")) == ("OPTIONS /x", {})


def test_methods_by_name_come_before_all():
    routes = table("ALL /x", "GET /x", "POST /x")
    chosen = {
        method: found(routes.match(method, b"/x"))[0] for method in (b"GET", b"HEAD", b"POST", b"PATCH")
    }
    assert chosen == {b"GET": "GET /x", b"HEAD": "GET /x", b"POST": "POST /x", b"PATCH": "ALL /x"}


def test_head_of_its_own_comes_before_get():
    assert found(table("GET /x", "HEAD /x").match(b"HEAD", b"/x")) == ("HEAD /x", {})


def test_parameters_have_their_routes_names():
    routes = table("GET /x/{a}", "POST /x/{b}", "GET /x/{c}/y")
    assert found(routes.match(b"POST", b"/x/1")) == ("POST /x/{b}", {"b": b"1"})
    assert found(routes.match(b"GET", b"/x/1/y")) == ("GET /x/{c}/y", {"c": b"1"})


@pytest.mark.parametrize("other", ["GET /x/{b}", "GET /x/:a", "GET /x/{a}"])
def test_two_routes_for_the_same_requests(other: str):
    with pytest.raises(ValueError, match=r"GET /x/\{[ab]\} matches what GET /x/\{a\} matches"):
        table("GET /x/{a}", other)


def test_same_literal_in_two_spellings():
    with pytest.raises(ValueError, match="matches what GET /a matches"):
        table("GET /a", "GET /%61")


def test_a_literal_path_is_matched_without_making_anything():
    assert TABLE.match(b"GET", b"/users") is TABLE.match(b"GET", b"/users")


class _CountedRoutes:
    """Counts the nodes that a search looks at, through the dict that each of them asks."""

    def __init__(self, routes: RouteTable) -> None:
        self.looks = 0
        self._wrap(routes._root)

    def _wrap(self, node) -> None:
        counter = self

        class Counting(dict):
            def get(self, key, default=None):
                counter.looks += 1
                return super().get(key, default)

        for child in [*node.literals.values(), *([node.param] if node.param else [])]:
            self._wrap(child)
        node.literals = Counting(node.literals)


def looks(routes: RouteTable, path: bytes) -> int:
    counted = _CountedRoutes(routes)
    routes.match(b"GET", path)
    return counted.looks


def test_looking_up_does_not_grow_with_the_number_of_routes():
    few = RouteTable(route(f"GET /r{n}/{{id}}/x") for n in range(2))
    many = RouteTable(route(f"GET /r{n}/{{id}}/x") for n in range(2000))
    assert looks(few, b"/r1/7/x") == looks(many, b"/r1/7/x") == 3


def test_a_long_path_costs_no_more_than_the_deepest_route():
    assert looks(table("GET /a/{b}/c", "GET /{x}/{y}/{z}"), b"/a" * 5000) <= 6


def test_a_match_can_be_shared():
    match = TABLE.match(b"GET", b"/users")
    assert isinstance(match, Match)
    with pytest.raises(TypeError):
        match.params["id"] = b"7"  # type: ignore[index]
