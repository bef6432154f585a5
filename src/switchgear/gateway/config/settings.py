"""Values of the model as a file would say them, and whether they are what holds when nothing is said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from switchgear.gateway.config.kinds import Scalar
from switchgear.gateway.config.sections import Either, Field, Json, Kind, ListOf, MapOf, Section

Said: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | tuple[Setting, ...] | None"
"""A value as a file would say it: plain JSON, or the settings of a section."""

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Setting:
    """A field and its value. `is_free`: JSON of the user's own, whose `null` and `[]` say something."""

    name: str
    value: Said
    is_default: bool
    is_free: bool = False

    def as_json(self) -> dict[str, object]:
        value = as_json(self.value) if isinstance(self.value, tuple) else self.value
        return {"value": value, "default": self.is_default}


def as_json(said: tuple[Setting, ...]) -> dict[str, object]:
    """Settings by name."""
    return {setting.name: setting.as_json() for setting in said}


def settings(section: Section, value: object, standard: object) -> tuple[Setting, ...]:
    """What `value` says in the words of a section, compared with `standard`.

    Only of fields that the value keeps: what became of the others is somewhere else in the model. A field for
    Python files is no setting until it is set.
    """
    return tuple(
        Setting(f.name, written(f.kind, said), is_default, is_free=_is_free(f.kind))
        for slot, f in section.canonical.items()
        if (said := getattr(value, slot, _ABSENT)) is not _ABSENT
        if not ((is_default := said == getattr(standard, slot)) and f.python_only)
    )


def default_of(section: Section, field: Field) -> Said:
    """What holds without a field; `None` where that is nothing, or can only be told in words."""
    values = (getattr(model, field.target, None) for model in section.models if not field.default)
    return written(field.kind, next((value for value in values if value is not None), None))


def written(kind: Kind, value: Any) -> Said:
    """A value of the model as a file would say it."""
    if value is None:
        return None
    said: Said
    match kind:
        case Scalar():
            said = kind.write(value)
        case ListOf():
            said = [written(kind.item, item) for item in _in_order(value)]
        case Section():
            said = settings(kind, value, kind.models[0]) if value else None
        case Either():
            said = written(kind.scalar if isinstance(value, str) else kind.mapping, value)
        case MapOf():
            said = {name: written(kind.item, item) for name, item in value} or None
        case Json():
            said = json.loads(value) if isinstance(value, bytes) else value
    return said


def _is_free(kind: Kind) -> bool:
    return isinstance(kind, Json) or (isinstance(kind, Either) and isinstance(kind.mapping, Json))


def _in_order(items: Iterable[Any]) -> Iterable[Any]:
    """A set in ascending order, a list as it is."""
    return sorted(items) if isinstance(items, frozenset) else items
