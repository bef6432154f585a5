"""How fields are described: one table says which keys there are; what reads or explains them asks it.

A table of our own instead of pydantic's models. Two spellings and synonyms of a field, keys that are known
and refused, numbers that are durations in three fields only, texts typed by their field: that is the rule
here, and each would be a validator beside the model, its messages translated, its places looked up by path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from switchgear.gateway.config.kinds import Scalar


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one kind, or, with `single`, one value of it in place of the list."""

    item: Kind
    allowed: str
    single: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping whose keys are names of the user's; `check_key` raises `ValueError` for one that is none.

    `key_pattern` is what a JSON Schema can say of them.
    """

    item: Kind
    allowed: str
    check_key: Callable[[str], object]
    key_pattern: str
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Json:
    """Anything that JSON can say."""

    allowed: str = "anything that JSON can say"


@dataclass(frozen=True, slots=True)
class Field:
    """A key. `slot` is what it sets: keys of one slot are synonyms, and at most one of them may be there.

    `default` tells in words what holds without it, where the section's model has no value that would.
    """

    name: str
    kind: Kind
    doc: str
    slot: str = ""
    default: str = ""
    required: bool = False
    nullable: bool = False
    python_only: bool = False

    @property
    def target(self) -> str:
        return self.slot or snake_case(self.name)


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of known keys.

    `refused` are keys that users may expect, with what to do instead. `models` are what it becomes when
    nothing is said: where defaults are looked up. Of `needs` at least one key has to be there.
    """

    name: str
    fields: tuple[Field, ...]
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    allowed: str = "a mapping"
    models: tuple[object, ...] = ()
    needs: tuple[str, ...] = ()

    def find(self, key: str) -> Field | None:
        """The field that a key names, in camelCase or snake_case."""
        return next((f for f in self.fields if key in {f.name, snake_case(f.name)}), None)

    def refusal(self, key: str) -> str | None:
        """What to do instead of a key that is refused."""
        return next((text for name, text in self.refused.items() if key in {name, snake_case(name)}), None)

    @property
    def names(self) -> tuple[str, ...]:
        """What is allowed, in messages; `$schema` is a word for editors."""
        return tuple(f.name for f in self.fields if not f.name.startswith("$"))

    @property
    def canonical(self) -> Mapping[str, Field]:
        """One field for each slot, the first: the others are its synonyms."""
        fields: dict[str, Field] = {}
        for f in self.fields:
            fields.setdefault(f.target, f)
        return fields


@dataclass(frozen=True, slots=True)
class Either:
    """A mapping of one kind, or a single value of another."""

    scalar: Scalar
    mapping: Section | Json
    allowed: str


Kind = Scalar | ListOf | MapOf | Section | Either | Json


def snake_case(name: str) -> str:
    """`failureRate` as `failure_rate`. Words in capitals only are left as they are."""
    return name if name.isupper() else re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
