"""Every mistake in the setting `SWITCHGEAR`, with what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, NamedTuple, TypeGuard

from django.conf import settings
from django.core import checks

from switchgear import CircuitBreakerPolicy, PolicyError
from switchgear.stores import CircuitBreakerStore, store_from_url

KEYS: Final = ("STORE", "NAMESPACE", "DEFAULTS")
_FIELDS: Final = tuple(field.name for field in fields(CircuitBreakerPolicy))


class Mistake(NamedTuple):
    """One mistake, under an id that stays (`SILENCED_SYSTEM_CHECKS`)."""

    id: str
    message: str
    hint: str


def check_settings(**_: object) -> list[checks.CheckMessage]:
    """A check of Django's: `manage.py check` tells every mistake at once."""
    return [
        checks.Error(mistake.message, hint=mistake.hint, id=mistake.id)
        for mistake in find_mistakes(getattr(settings, "SWITCHGEAR", {}))
    ]


def find_mistakes(value: object) -> list[Mistake]:
    """What is wrong with a value of `SWITCHGEAR`. Opens no connection."""
    if not _is_mapping(value):
        found = f"SWITCHGEAR must be a dict, got {value!r}."
        return [Mistake("switchgear.E001", found, f"Its keys are {', '.join(KEYS)}.")]
    return [
        *_unknown("switchgear.E002", "SWITCHGEAR", value, KEYS),
        *_store(value.get("STORE")),
        *_namespace(value.get("NAMESPACE")),
        *_defaults(value.get("DEFAULTS", {})),
    ]


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _unknown(id_: str, place: str, given: Mapping[Any, Any], known: Sequence[str]) -> Iterator[Mistake]:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Allowed are {', '.join(known)}."
            yield Mistake(id_, f"{place} has an unknown key {key!r}.", hint)


def _store(store: object) -> Iterator[Mistake]:
    hint = "A URL such as 'redis://localhost:6379', or a store; left out, circuits are each process's own."
    if store is None or (isinstance(store, CircuitBreakerStore) and not isinstance(store, type)):
        return
    if not isinstance(store, str):
        yield Mistake("switchgear.E003", f"SWITCHGEAR['STORE'] is no store and no URL: {store!r}.", hint)
        return
    try:
        store_from_url(store)
    except (ValueError, ImportError) as error:
        yield Mistake("switchgear.E003", f"SWITCHGEAR['STORE']: {error}.", hint)


def _namespace(namespace: object) -> Iterator[Mistake]:
    if namespace is not None and not isinstance(namespace, str):
        found = f"SWITCHGEAR['NAMESPACE'] must be text or None, got {namespace!r}."
        yield Mistake("switchgear.E004", found, "It goes before the name of each circuit in the store.")


def _defaults(defaults: object) -> Iterator[Mistake]:
    if not _is_mapping(defaults):
        found = f"SWITCHGEAR['DEFAULTS'] must be a dict, got {defaults!r}."
        yield Mistake("switchgear.E005", found, "Its keys are fields of a policy, such as 'failure_rate'.")
        return
    yield from _unknown("switchgear.E006", "SWITCHGEAR['DEFAULTS']", defaults, _FIELDS)
    try:
        CircuitBreakerPolicy(**{key: value for key, value in defaults.items() if key in _FIELDS})
    except PolicyError as error:
        for problem in error.problems:
            place = f"SWITCHGEAR['DEFAULTS'][{problem.field!r}]"
            found = f"{place} must be {problem.allowed}, got {problem.found!r}."
            yield Mistake("switchgear.E007", found, "See the table of a policy's fields.")
