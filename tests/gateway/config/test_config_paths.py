"""Path templates."""

from __future__ import annotations

import re

import pytest

from switchgear.gateway.config.paths import (
    Literal,
    Param,
    PathTemplate,
    Wildcard,
    join,
    parse_path,
    parse_target,
)


@pytest.mark.parametrize(
    ("text", "segments", "canonical"),
    [
        ("/", [Literal(b"")], "/"),
        ("/users", [Literal(b"users")], "/users"),
        ("/users/", [Literal(b"users"), Literal(b"")], "/users/"),
        ("/users/{id}", [Literal(b"users"), Param("id")], "/users/{id}"),
        ("/users/:id/x", [Literal(b"users"), Param("id"), Literal(b"x")], "/users/{id}/x"),
        ("/files/*", [Literal(b"files"), Wildcard("*")], "/files/*"),
        ("/files/{rest:path}", [Literal(b"files"), Wildcard("rest")], "/files/{rest:path}"),
        ("/a:b/~c@d", [Literal(b"a:b"), Literal(b"~c@d")], "/a:b/~c@d"),
        ("/caf\u00e9", [Literal(b"caf%C3%A9")], "/caf%C3%A9"),
        ("/a%20b", [Literal(b"a%20b")], "/a%20b"),
        ("/a//b", [Literal(b"a"), Literal(b""), Literal(b"b")], "/a//b"),
    ],
)
def test_a_path_is_cut_into_segments(text, segments, canonical):
    template = parse_path(text)
    assert list(template.segments) == segments
    assert template.canonical == canonical
    assert parse_path(canonical) == template


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("users", "a path has to start with /"),
        ("", "a path has to start with /"),
        ("/{id", "a { is not closed"),
        ("/id{", "a { is not closed"),
        ("/id}", "a } without its {"),
        ("/{}", "a parameter's name has to be letters, digits and _, and not start with a digit"),
        ("/:", "a parameter's name has to be letters, digits and _, and not start with a digit"),
        ("/:id(\\d+)", "a parameter's name has to be letters, digits and _, and not start with a digit"),
        ("/{id:int}", "a parameter has no type but path, as in {rest:path}"),
        ("/{id}.json", "a parameter has to be a whole segment, as in /users/{id}"),
        ("/x{id}", "a parameter has to be a whole segment, as in /users/{id}"),
        ("/{id}/{id}", "the parameter {id} is there twice"),
        ("/{id}/:id", "the parameter {id} is there twice"),
        ("/*/a", "a wildcard has to be the last segment"),
        ("/{rest:path}/a", "a wildcard has to be the last segment"),
        ("/a*", "a * has to be a whole segment, as in /files/*"),
        ("/a?b", "a path has to be characters that are legal in a URL's path; encode others as %XX"),
        ("/a b", "a path has to be characters that are legal in a URL's path; encode others as %XX"),
        ("/a%2", "a path has to be characters that are legal in a URL's path; encode others as %XX"),
        ("/a\n", "a path has to be characters that are legal in a URL's path; encode others as %XX"),
        ("/a/../b", "a segment . or .. never matches"),
        ("/a/%2e%2E", "a segment . or .. never matches"),
    ],
)
def test_what_is_no_path_is_told(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_path(text)


def test_a_target_may_use_a_parameter_twice():
    assert parse_target("/{id}/x/{id}").parameters == ("id", "id")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a/{id}", "/a/:name", True),
        ("/a/*", "/a/{rest:path}", True),
        ("/a/{id}", "/a/*", False),
        ("/a", "/a/", False),
    ],
)
def test_shapes_tell_which_paths_match_the_same(one, other, same):
    assert (parse_path(one).shape == parse_path(other).shape) is same


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [(None, "/a", "/a"), ("/v1", "/a", "/v1/a"), ("/v1/", "/a", "/v1/a"), ("/", "/a", "/a")],
)
def test_join_has_one_slash_between(base, path, joined):
    template: PathTemplate | None = parse_target(base) if base else None
    assert join(template, parse_target(path)).canonical == joined
