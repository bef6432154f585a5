"""From `headers` in a file to rules, and what of a name and a value no rule may have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.addresses import MASK
from switchgear.gateway.config.kinds import Scalar, UnfitError
from switchgear.gateway.config.model import HeaderRules, Headers

if TYPE_CHECKING:
    from switchgear.gateway.config.nodes import ScalarNode
    from switchgear.gateway.config.reader import Found, Item, Values

TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}"
_match_token = re.compile(TOKEN).fullmatch
_match_value = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?").fullmatch

_OF_THE_MESSAGE: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "trailers", "upgrade"),
        *("content-length", "transfer-encoding", "date", "expect", "host"),
        *("proxy-authenticate", "proxy-authorization"),
    )
)
_CREDENTIALS: Final = frozenset(("authorization", "cookie", "set-cookie"))


class Secret(str):
    """A value that is not shown: it came from the environment, or is a credential by its name."""

    __slots__ = ()


def check_name(name: str) -> None:
    """Raises `ValueError` for a name that no rule can be for."""
    if not _match_token(name):
        raise UnfitError("not a field's name: letters, digits and any of !#$%&'*+-.^_`|~")
    lower = name.lower().replace("_", "-")  # which some servers take for the same
    if lower in _OF_THE_MESSAGE:
        raise UnfitError("this field belongs to the message itself, which the gateway writes")
    if lower.startswith("switchgear-"):
        raise UnfitError("this field tells the gateway's own answers apart")


def _name(node: ScalarNode) -> str:
    if not isinstance(node.value, str):
        raise UnfitError("wrong type")
    check_name(node.value)
    return node.value


def _value(node: ScalarNode) -> str:
    if not isinstance(node.value, str):
        raise UnfitError("wrong type")
    if not _match_value(node.value):
        raise UnfitError("not a field's value")
    return node.value if node.replaced is None else Secret(node.value)


def _shown(value: str) -> str:
    return MASK if isinstance(value, Secret) else value


FIELD_NAME: Final = Scalar(
    "the name of a field such as X-Api-Version", _name, {"type": "string", "pattern": f"^{TOKEN}$"}
)
FIELD_VALUE: Final = Scalar(
    "a text (quote a number) of printable ASCII, without white space at its ends",
    _value,
    {"type": "string", "pattern": r"^([!-~]([\t -~]*[!-~])?)?$"},
    write=_shown,
    secret=True,
)


def headers_of(found: Found | None) -> Headers:
    """The rules at a `headers`; what is wrong with them is told."""
    if found is None:
        return Headers()
    values: Values = found.value
    _refuse_empty(values, "request, response or both")
    return Headers(*(_rules(values.found.get(side)) for side in ("request", "response")))


def _rules(found: Found | None) -> HeaderRules:
    if found is None:
        return HeaderRules()
    values: Values = found.value
    _refuse_empty(values, "set, remove or both")
    seen: dict[str, str] = {}
    sets: list[tuple[str, str]] = []
    item: Item
    for item in values.get("set", ()):
        if _is_new(item, item.key, seen):
            secret = item.key.lower() in _CREDENTIALS
            sets.append((item.key, Secret(item.value) if secret else item.value))
    removed = [item.value for item in values.get("remove", ()) if _is_new(item, item.value, seen)]
    return HeaderRules(tuple(sets), tuple(removed))


def _refuse_empty(values: Values, allowed: str) -> None:
    if values.is_empty:
        values.place.wrong_key("empty", allowed=allowed)


def _is_new(item: Item, name: str, seen: dict[str, str]) -> bool:
    """Whether there is no rule for this field yet, however it is written; tells if there is one."""
    first = seen.setdefault(name.lower(), item.place.where)
    if first != item.place.where:
        item.place.wrong_key(f"there is a rule for this field already at {first}")
        return False
    return True
