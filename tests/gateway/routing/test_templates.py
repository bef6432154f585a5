"""Targets at upstreams: what the client sent goes on, and nothing it sends escapes its segment."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.config.model import Endpoint
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.templates import Target, compile_target

from .tables import found, table

WEIRD = b"/a%2Fb//c;d=1/%7e~/%zz?x=%20+&&y=?/#"


def target(path: str | None, *, append: bool = False, query: str = "") -> Target:
    template = None if path is None else parse_path(path)
    return compile_target(Endpoint("http", "h", 80, template, append, query))


@pytest.mark.parametrize("asked", [b"/", b"/?", b"/a?b=c", b"*", WEIRD])
def test_url_without_path_gets_the_target_unchanged(asked: bytes):
    assert target(None, append=True)(asked, {}) == asked


@pytest.mark.parametrize("asked", [b"/", b"/a/b?c", b"/a?", WEIRD])
def test_request_path_is_appended_unchanged(asked: bytes):
    assert target("/api/v1", append=True)(asked, {}) == b"/api/v1" + asked


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/users", {}, b"/users"),
        ("/", {}, b"/"),
        ("/users/{id}", {"id": b"7"}, b"/users/7"),
        ("/users/:id/inbox", {"id": b"a%2F..%2Fadmin"}, b"/users/a%2F..%2Fadmin/inbox"),
        ("/{b}/{a}/", {"a": b"1", "b": b"2"}, b"/2/1/"),
        ("/static/*", {"*": b"css//x%20y/"}, b"/static/css//x%20y/"),
        ("/static/{rest}", {"rest": b"a/b"}, b"/static/a/b"),
        ("/static/*", {"*": b""}, b"/static/"),
        ("/100%25/{id}", {"id": b"%s%b"}, b"/100%25/%s%b"),
        # not legal in a segment: encoded, so that no upstream reads it as something else
        ("/users/{id}", {"id": b'a?b#c"\\\xff'}, b"/users/a%3Fb%23c%22%5C%FF"),
    ],
)
def test_parameters_go_as_they_came(path: str, params: dict[str, bytes], expected: bytes):
    assert target(path)(b"/asked?q=%41&", params) == expected + b"?q=%41&"


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        ("", b"/x", b"/p"),
        ("", b"/x?", b"/p?"),
        ("", b"/x?a?b", b"/p?a?b"),
        ("k=v", b"/x", b"/p?k=v"),
        ("k=v", b"/x?", b"/p?k=v"),
        ("k=v", b"/x?a=1&a=1", b"/p?k=v&a=1&a=1"),
    ],
)
def test_queries_are_joined(own: str, asked: bytes, expected: bytes):
    assert target("/p", query=own)(asked, {}) == expected


def test_own_query_of_a_url_without_path():
    assert target(None, append=True, query="k=v")(b"/x?a=1", {}) == b"/x?k=v&a=1"


raw_segments = st.binary(min_size=1, max_size=12).map(lambda raw: re.sub(rb"[/? \x00-\x20]", b"x", raw))


@given(raw_segments, raw_segments)
def test_a_parameter_never_becomes_a_segment_a_query_or_a_line(first: bytes, second: bytes):
    routes = table("GET /in/{first}/{second}")
    match = routes.match(b"GET", b"/in/" + first + b"/" + second)
    if getattr(match, "status", None) == 400:
        return
    _, params = found(match)
    out = target("/out/{second}/x/{first}")(b"/in?q", params)
    path, _, query = out.partition(b"?")
    assert query == b"q"
    assert re.fullmatch(rb"(/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+){4}", path)
    assert path.split(b"/")[1::2] == [b"out", b"x"]
    assert not {b".", b".."} & set(path.split(b"/"))


@given(st.text(alphabet="abc019-._~%/;=:@!$&'()*+,", min_size=0, max_size=30))
def test_legal_bytes_are_passed_on_untouched(rest: str):
    assert target("/s/*")(b"/", {"*": rest.encode()}) == b"/s/" + rest.encode()


@pytest.mark.parametrize("url", ["/static/*", "/static/{rest}"])
def test_a_wildcard_with_a_name_has_both(url: str):
    _, params = found(table("GET /files/{rest:path}").match(b"GET", b"/files/a/b"))
    assert target(url)(b"/files/a/b", params) == b"/static/a/b"
