"""Path templates: `/users/{id}`, `/users/:id`, `/files/*`, `/files/{rest:path}`.

Both of a route's path and of a service's URL. Pure; what is wrong raises `ValueError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

ANONYMOUS: Final = "*"
"""Name of a wildcard that was written `*`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATTERN: Final = rf"(/([^/{{}}*:?#][^/{{}}*?#]*|\{{{_NAME.pattern}(:path)?\}}|:{_NAME.pattern}|\*)?)+"
"""What a path looks like, for those who can't parse it; it may let a bit more pass."""

_LITERAL = re.compile(
    r"(?:[A-Za-z0-9\-._~!$&'(),;=:@]|%[0-9A-Fa-f]{2}|[^\x00-\x7f])*"
)  # RFC 3986 pchar, IRIs


@dataclass(frozen=True, slots=True)
class Literal:
    """A segment that matches itself, percent-encoded as on the wire."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Param:
    """A segment that matches any one segment that is not empty."""

    name: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The last segment, which matches all the rest."""

    name: str = ANONYMOUS


Segment = Literal | Param | Wildcard


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A parsed path. `/` is one empty literal; a trailing slash is an empty literal at the end."""

    segments: tuple[Segment, ...]

    @property
    def canonical(self) -> str:
        """The path in one spelling, `:id` written `{id}`."""
        return "".join(f"/{_written(segment)}" for segment in self.segments)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of parameters and wildcard, in order."""
        return tuple(s.name for s in self.segments if not isinstance(s, Literal))

    @property
    def shape(self) -> tuple[bytes | type[Param | Wildcard], ...]:
        """What is left without names and encodings: paths of equal shape match the same requests."""
        return tuple(unquote_to_bytes(s.text) if isinstance(s, Literal) else type(s) for s in self.segments)


def parse_path(text: str) -> PathTemplate:
    """Parses a route's path. Raises `ValueError` that says what is wrong."""
    template = parse_target(text)
    _check_places(template)
    return template


def parse_target(text: str) -> PathTemplate:
    """Parses a path at an upstream, where a parameter may stand twice.

    Raises `ValueError` that says what is wrong and quotes nothing: a value may come from the environment.
    """
    if not text.startswith("/"):
        raise ValueError("a path has to start with /")
    return PathTemplate(tuple(_segment(part) for part in text[1:].split("/")))


def join(base: PathTemplate | None, rest: PathTemplate) -> PathTemplate:
    """`rest` below `base`; a slash at the end of `base` and the one that `rest` starts with are one."""
    if base is None:
        return rest
    return PathTemplate((*strip_slash(base).segments, *rest.segments))


def strip_slash(template: PathTemplate) -> PathTemplate:
    """The template without a slash at its end; nothing is left of `/`."""
    segments = template.segments
    return PathTemplate(segments[:-1]) if segments and segments[-1] == Literal(b"") else template


def _segment(part: str) -> Segment:
    if part == ANONYMOUS:
        return Wildcard()
    if part.startswith(":"):
        return Param(_name(part[1:]))
    if part.startswith("{"):
        return _braced(part)
    return Literal(_literal(part))


def _braced(part: str) -> Segment:
    if "}" not in part:
        raise ValueError("a { is not closed")
    inner, _, after = part[1:].partition("}")
    if after:
        raise ValueError("a parameter has to be a whole segment, as in /users/{id}")
    name, colon, kind = inner.partition(":")
    if not colon:
        return Param(_name(name))
    if kind != "path":
        raise ValueError("a parameter has no type but path, as in {rest:path}")
    return Wildcard(_name(name))


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a parameter's name has to be letters, digits and _, and not start with a digit")
    return text


def _literal(part: str) -> bytes:
    if "{" in part or "}" in part:
        closed = part.count("{") == part.count("}")
        raise ValueError(
            "a parameter has to be a whole segment, as in /users/{id}" if closed else _unbalanced(part)
        )
    if "*" in part:
        raise ValueError("a * has to be a whole segment, as in /files/*")
    if not _LITERAL.fullmatch(part):
        raise ValueError("a path has to be characters that are legal in a URL's path; encode others as %XX")
    if part.replace("%2e", ".").replace("%2E", ".") in {".", ".."}:
        raise ValueError("a segment . or .. never matches")
    return quote(part, safe="%-._~!$&'(),;=:@").encode()


def _unbalanced(part: str) -> str:
    return "a { is not closed" if part.count("{") > part.count("}") else "a } without its {"


def _check_places(template: PathTemplate) -> None:
    seen: set[str] = set()
    for name in template.parameters:
        if name in seen:
            raise ValueError(f"the parameter {{{name}}} is there twice")
        seen.add(name)
    if any(isinstance(segment, Wildcard) for segment in template.segments[:-1]):
        raise ValueError("a wildcard has to be the last segment")


def _written(segment: Segment) -> str:
    match segment:
        case Literal(text):
            return text.decode()
        case Param(name):
            return f"{{{name}}}"
        case Wildcard(name):
            return name if name == ANONYMOUS else f"{{{name}:path}}"
