"""Operations and views to and from what JSON can say: one encoding for every store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, astuple, fields
from typing import Any, Final

from switchgear.stores.operations import (
    Delta,
    Flush,
    Get,
    Goodbye,
    Hello,
    Known,
    Lease,
    Move,
    Operation,
    Override,
    Reset,
    Run,
    Settle,
    Transition,
    Window,
)
from switchgear.stores.view import View

MAX_TEXT: Final = 200

_TEXT: Final = frozenset(
    {"why", "author", "reason", "last_failure", "policy", "override_author", "override_reason"}
)


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """`text` as every store can keep it: no NUL, no lone surrogate, at most `limit` characters."""
    return text[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def encode(operation: Operation) -> dict[str, Any]:
    """The operation as JSON can say it: defaults are left out."""
    return {"op": operation.name, **_encode(operation)}


def _encode(part: Any) -> dict[str, Any]:
    """A dataclass as a dict of the fields that differ from their defaults; `clean` texts."""
    found: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if field.default is MISSING or value != field.default:
            found[field.name] = _encode_value(field.name, value)
    return found


def _encode_value(name: str, value: Any) -> Any:  # noqa: PLR0911
    match value:
        case str():
            return clean(value) if name in _TEXT else value
        case Window(bucket_ms, buckets):
            return [bucket_ms, buckets]
        case Run(head, best, tail, success):
            return [head, best, tail, int(success)]
        case Delta():
            return list(astuple(value))
        case tuple():
            return [_encode_value(name, item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case Known() | Move():
            return _encode(value)
        case _:
            return value


_OPERATIONS: Final[dict[str, Callable[..., Operation]]] = {
    kind.name: kind for kind in (Hello, Goodbye, Get, Flush, Transition, Lease, Settle, Override, Reset)
}
_PARTS: Final[dict[str, Callable[[Any], Any]]] = {
    "window": lambda value: Window(*value),
    "known": lambda value: Known(**value),
    "move": lambda value: Move(**value),
    "then": lambda value: Move(**value),
    "run": lambda value: _run(*value),
    "deltas": lambda value: tuple(Delta(*delta) for delta in value),
    "alarms": tuple,
}


def decode(data: Mapping[str, Any]) -> Operation:
    """The operation that `encode` made this of. `ValueError` for anything else."""
    arguments = dict(data)
    kind = _OPERATIONS.get(str(arguments.pop("op", "")))
    if kind is None:
        raise ValueError(f"operation {data.get('op')!r}: allowed are {', '.join(_OPERATIONS)}")
    try:
        return kind(**{name: _PARTS.get(name, _same)(value) for name, value in arguments.items()})
    except (TypeError, IndexError) as error:
        raise ValueError(f"operation {data['op']!r}: {error}") from error


def _run(head: int, best: int, tail: int, success: int) -> Run:
    return Run(head, best, tail, bool(success))


def _same(value: Any) -> Any:
    return value


def encode_view(view: View) -> dict[str, Any]:
    """The view as JSON can say it: defaults are left out."""
    return _encode(view)


_VIEW_FIELDS: Final = frozenset(field.name for field in fields(View))


def decode_view(data: Mapping[str, Any]) -> View:
    """The view that a store sent; fields that a newer store adds are passed over."""
    return View(**{name: value for name, value in data.items() if name in _VIEW_FIELDS})
