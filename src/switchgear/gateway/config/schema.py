"""The JSON Schema of configurations, made from the tables of fields: what editors complete, explain and flag.

It accepts whatever the checker accepts, and flags what a schema can see; what needs more than one place, or
the environment, is left to the checker. Keys that only Python files can have are not in it.
"""

from __future__ import annotations

from typing import Any, Final

from switchgear.gateway.config.kinds import Scalar
from switchgear.gateway.config.sections import (
    Either,
    Field,
    Json,
    Kind,
    ListOf,
    MapOf,
    Section,
    snake_case,
)
from switchgear.gateway.config.settings import default_of
from switchgear.gateway.config.tables.gateway import TOP

Schema = dict[str, Any]

_VARIABLE: Final[Schema] = {
    "description": "A value from the environment: ${NAME} or ${NAME:-default}.",
    "type": "string",
    "pattern": r"\$\{",
}


def json_schema() -> Schema:
    """The schema, of draft 2020-12."""
    definitions = _Definitions()
    top = definitions.section_body(TOP)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a switchgear gateway",
        **top,
        "$defs": dict(sorted(definitions.known.items())),
    }


class _Definitions:
    """What is used in more than one place, by name, as it is met."""

    def __init__(self) -> None:
        self.known: dict[str, Schema] = {"variable": _VARIABLE}

    def schema(self, kind: Kind) -> Schema:
        match kind:
            case Scalar():
                schema = self._scalar(kind)
            case ListOf():
                schema = self._list(kind)
            case MapOf():
                schema = self._map(kind)
            case Section():
                schema = self._section(kind)
            case Either():
                schema = self._either(kind)
            case Json():
                schema = {}
        return schema

    def _scalar(self, kind: Scalar) -> Schema:
        schema = dict(kind.schema)
        if not _takes_any_text(schema):
            schema = _any_of(schema, _ref("variable"))
        if not kind.name:
            return schema
        self.known[kind.name] = {"description": _sentence(kind.allowed), **schema}
        return _ref(kind.name)

    def _list(self, kind: ListOf) -> Schema:
        item = self.schema(kind.item)
        if kind.single:
            return _any_of(item, {"type": "array", "items": item, "minItems": 1})
        return {"type": "array", "items": item}

    def _map(self, kind: MapOf) -> Schema:
        mapping: Schema = {
            "type": "object",
            "propertyNames": {"pattern": kind.key_pattern},
            "additionalProperties": self.schema(kind.item),
        }
        if kind.may_be_empty:
            return mapping | {"type": ["object", "null"]}
        return mapping | {"minProperties": 1}

    def _either(self, kind: Either) -> Schema:
        # Beside a scalar, JSON has to be a mapping.
        mapping = {"type": "object"} if isinstance(kind.mapping, Json) else self.schema(kind.mapping)
        return _any_of(self.schema(kind.scalar), mapping)

    def _section(self, kind: Section) -> Schema:
        if kind.name not in self.known:
            self.known[kind.name] = self.section_body(kind)
        return _ref(kind.name)

    def section_body(self, section: Section) -> Schema:
        """What a section allows. Its other spellings are patterns: allowed, and not proposed by editors."""
        fields = [field for field in section.fields if not field.python_only]
        body: Schema = {
            "type": "object",
            "properties": {field.name: self._field(section, field) for field in fields},
            "additionalProperties": False,
        }
        others = {f"^{snake_case(field.name)}$": field for field in fields if _is_spelled_twice(field)}
        if others:
            body["patternProperties"] = {
                pattern: self._field(section, field) for pattern, field in others.items()
            }
        required = [field.name for field in fields if field.required]
        if required:
            body["required"] = required
        if section.needs:
            body["anyOf"] = [{"required": [name]} for name in section.needs]
        synonyms = [field for field in fields if section.canonical[field.target] is not field]
        if synonyms:
            body["allOf"] = [_not_both(section.canonical[field.target], field) for field in synonyms]
        return body

    def _field(self, section: Section, field: Field) -> Schema:
        schema = self.schema(field.kind)
        if field.nullable:
            schema = _any_of(schema, {"type": "null"})
        return {**_documented(section, field), **schema}


def _documented(section: Section, field: Field) -> Schema:
    if field.required:
        return {"description": field.doc}
    default = default_of(section, field)
    if default is None:
        return {"description": f"{field.doc} Default: {field.default or 'none'}."}
    return {"description": field.doc, "default": default}


def _takes_any_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and "pattern" not in schema


def _not_both(one: Field, other: Field) -> Schema:
    return {"not": {"required": [one.name, other.name]}}


def _is_spelled_twice(field: Field) -> bool:
    return snake_case(field.name) != field.name


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _any_of(*schemas: Schema) -> Schema:
    """One of several; alternatives of alternatives are one list."""
    flat = [
        inner for schema in schemas for inner in (schema["anyOf"] if [*schema] == ["anyOf"] else [schema])
    ]
    return {"anyOf": [schema for place, schema in enumerate(flat) if schema not in flat[:place]]}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
