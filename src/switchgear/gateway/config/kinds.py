"""The kinds of values that a field can have.

Each reads a single value, writes one as a file would say it, and tells what it allows: in words for messages,
as a JSON Schema for editors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from switchgear.gateway.config.addresses import (
    MASK,
    PRIVATE_NETWORKS,
    mask_url,
    parse_listen,
    parse_network,
    parse_url,
)
from switchgear.gateway.config.formats.scalars import core_scalar
from switchgear.gateway.config.model import PRIORITIES, Address, Endpoint, Network
from switchgear.gateway.config.nodes import ScalarNode
from switchgear.gateway.config.paths import PATTERN, PathTemplate, parse_target
from switchgear.stores.protocol import checked_store

LONGEST_KEY: Final = 1024
"""Bytes of a circuit's key."""

_LARGEST: Final = 10**12
_NOTHING: Final[Mapping[str, object]] = {"not": {}}
"""The schema of what only a Python file can hold."""

WRONG_TYPE: Final = "wrong type"
OUT_OF_RANGE: Final = "out of range"


class UnfitError(ValueError):
    """A value that a kind refuses."""


def _as_it_is(value: object) -> object:
    return value


@dataclass(frozen=True, slots=True)
class Scalar:
    """A kind of single values: what is `allowed`, in words, and `parse`, which raises `ValueError`
    with a text that never quotes the value: it may be a secret.

    `schema` is what it allows as far as a JSON Schema can say; a `name` makes it a definition of its own.
    `write` gives a value that was read as a file would say it, a secret masked. `choices` are all the words
    that it takes, when it takes words. `secret` values are never shown in a message.
    """

    allowed: str
    parse: Callable[[ScalarNode], object]
    schema: Mapping[str, object]
    name: str = ""
    write: Callable[[Any], Any] = _as_it_is
    choices: tuple[str, ...] = ()
    secret: bool = False


def typed(node: ScalarNode) -> object:
    """The value; what an environment variable put there is read as an unquoted text is."""
    if node.replaced is not None and isinstance(node.value, str):
        return core_scalar(node.value)
    return node.value


def read_number(node: ScalarNode) -> float:
    """A finite number. Raises `UnfitError`."""
    value = typed(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitError(WRONG_TYPE)
    if not math.isfinite(value):
        raise UnfitError("not a number" if math.isnan(value) else OUT_OF_RANGE)
    return value


def number(allowed: str, **bounds: float) -> Scalar:
    """A finite number whose range is decided elsewhere; `bounds` are its words in a JSON Schema."""
    return Scalar(allowed, read_number, {"type": "number", **bounds}, write=_write_number)


def _write_number(value: float) -> float:
    return int(value) if value == int(value) else value


def integer(low: int, high: int | None = None) -> Scalar:
    """An integer in a range; neither `true` nor 2.5 is one."""
    allowed = f"an integer of at least {low}" if high is None else f"an integer in {low}-{high}"

    def parse(node: ScalarNode) -> int:
        value = _integer(node)
        if not low <= value <= (_LARGEST if high is None else high):
            raise UnfitError(OUT_OF_RANGE)
        return value

    bounds = {"minimum": low} if high is None else {"minimum": low, "maximum": high}
    return Scalar(allowed, parse, {"type": "integer", **bounds})


def _integer(node: ScalarNode) -> int:
    value = typed(node)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnfitError("not an integer" if isinstance(value, float) else WRONG_TYPE)
    return value


def any_integer(allowed: str, **bounds: int) -> Scalar:
    """An integer whose range is decided elsewhere; `bounds` are its words in a JSON Schema."""
    return Scalar(allowed, _integer, {"type": "integer", **bounds})


def _boolean(node: ScalarNode) -> bool:
    value = typed(node)
    if not isinstance(value, bool):
        raise UnfitError(WRONG_TYPE)
    return value


BOOLEAN: Final = Scalar("true or false", _boolean, {"type": "boolean"}, name="boolean")


def _text(node: ScalarNode) -> str:
    if not isinstance(node.value, str):
        raise UnfitError(WRONG_TYPE)
    return node.value


def _masked(_: object) -> str:
    return MASK


def _legal(value: str, *, may_be_empty: bool = False) -> str:
    if not value and not may_be_empty:
        raise UnfitError("empty")
    if "\0" in value:
        raise UnfitError("not of the right form")
    return value


def text(allowed: str = "a text", *, may_be_empty: bool = False, secret: bool = False) -> Scalar:
    """Any text without NUL; an empty one only if it is allowed."""

    def parse(node: ScalarNode) -> str:
        return _legal(_text(node), may_be_empty=may_be_empty)

    schema = {"type": "string"} if may_be_empty else {"type": "string", "minLength": 1}
    return Scalar(allowed, parse, schema, write=_masked if secret else _as_it_is, secret=secret)


def _database(node: ScalarNode) -> str:
    # Redis numbers its databases, and a number is how anybody writes one.
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 0:
        return str(node.value)
    return _legal(_text(node))


DATABASE: Final = Scalar(
    "a text or a number", _database, {"type": ["string", "integer"], "minLength": 1, "minimum": 0}
)


def _circuit_name(node: ScalarNode) -> str:
    value = _text(node)
    size = len(value.encode(errors="surrogatepass"))
    if not 1 <= size <= LONGEST_KEY or re.search(r"[\0\ud800-\udfff]", value):
        raise UnfitError("not a circuit's name")
    return value


CIRCUIT_NAME: Final = Scalar(
    f"a text of at most {LONGEST_KEY} bytes of UTF-8, without NUL",
    _circuit_name,
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
)


def choice(*words: str) -> Scalar:
    """One of a few words."""

    def parse(node: ScalarNode) -> str:
        value = _text(node)
        if value not in words:
            raise UnfitError("unknown")
        return value

    return Scalar(", ".join(words), parse, {"enum": [*words]}, choices=words)


def _address(node: ScalarNode) -> Address:
    return parse_listen(_text(node))


ADDRESS: Final = Scalar(
    "an address such as 127.0.0.1:8080 or [::1]:8080",
    _address,
    {"type": "string", "pattern": r"^(\[[^\]]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*):[0-9]{1,5}$"},
    name="address",
    write=str,
)


def _callable(node: ScalarNode) -> object:
    if not callable(node.value):
        raise UnfitError(WRONG_TYPE)
    return node.value


def _name_of(function: object) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


CALLABLE: Final = Scalar("a callable", _callable, _NOTHING, write=_name_of)


def _policy(node: ScalarNode) -> object:
    policy = node.value
    name, priority = getattr(policy, "name", None), getattr(policy, "priority", None)
    whole = isinstance(name, str) and isinstance(priority, int) and callable(policy)
    if isinstance(policy, type) or not whole:
        raise UnfitError("not a policy")
    if name in PRIORITIES:
        raise UnfitError(f"{name} is the name of one of the gateway's own policies")
    return policy


POLICY: Final = Scalar(
    "an object with name, priority and async __call__(request, call_next)", _policy, _NOTHING
)


def _switched_off(node: ScalarNode) -> None:
    if typed(node) is not False:
        raise UnfitError(WRONG_TYPE)


SWITCHED_OFF: Final = Scalar("false", _switched_off, {"const": False})
"""`false` in place of a mapping; reads as `None`."""


def _access_log(node: ScalarNode) -> bool | str:
    value = typed(node)
    if not isinstance(value, bool | str) or value == "":
        raise UnfitError(WRONG_TYPE)
    return value


ACCESS_LOG: Final = Scalar(
    "true, false or a file's name", _access_log, {"type": ["boolean", "string"], "minLength": 1}
)


def _service_type(node: ScalarNode) -> str:
    value = _text(node)
    if value != "http":
        raise UnfitError("not supported")
    return value


SERVICE_TYPE: Final = Scalar("http", _service_type, {"enum": ["http"]})


def _tls_version(node: ScalarNode) -> str:
    version = str(node.value)  # unquoted it is a number
    if version not in {"1.2", "1.3"}:
        raise UnfitError("unknown")
    return version


TLS_VERSION: Final = Scalar("1.2 or 1.3", _tls_version, {"enum": ["1.2", "1.3", 1.2, 1.3]})


def _url(node: ScalarNode) -> Endpoint:
    return parse_url(_text(node))


URL: Final = Scalar(
    "an http or https URL such as http://localhost:8080/users/{id}",
    _url,
    {
        "type": "string",
        "pattern": rf"^[Hh][Tt][Tt][Pp][Ss]?://(\[[^\]]+\]|[A-Za-z0-9_.-]+)(:[0-9]{{1,5}})?({PATTERN})?(\?[^#{{}}\s]*)?$",
    },
    name="url",
)


_STATE_URL: Final = {"type": "string", "pattern": "://"}
STATE_URL: Final = replace(
    text("a URL such as redis://localhost:6379", secret=True), schema=_STATE_URL, write=mask_url
)


def _state_place(node: ScalarNode) -> object:
    value = node.value
    if value is None or isinstance(value, str | bool | int | float):
        return STATE_URL.parse(node)
    try:
        return checked_store(value)
    except TypeError as error:
        raise UnfitError(str(error)) from None


STATE_PLACE: Final = replace(
    STATE_URL,
    parse=_state_place,
    schema={"anyOf": [{"enum": ["memory", "redis", "postgres"]}, _STATE_URL]},
)
"""A type of store alone says where it is, too; in a Python file it may be a store of the user's own."""


PRIVATE: Final = "private"


def _networks(node: ScalarNode) -> tuple[Network, ...]:
    value = _text(node)
    return PRIVATE_NETWORKS if value == PRIVATE else (parse_network(value),)


NETWORKS: Final = Scalar(
    "an address, a network such as 10.0.0.0/8, or private",
    _networks,
    {"type": "string", "pattern": rf"^({PRIVATE}|[0-9A-Fa-f.:]+(/[0-9]{{1,3}})?)$"},
    write=str,
    choices=(PRIVATE,),
)
"""Reads as all networks that a word stands for; written one by one."""


def _path(node: ScalarNode) -> PathTemplate:
    return parse_target(_text(node))


PATH: Final = Scalar(
    "a path such as /users/{id}", _path, {"type": "string", "pattern": f"^{PATTERN}$"}, name="path"
)
