"""TOML: values from `tomllib`, places from a locator of our own, since `tomllib` keeps none."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.formats.objects import Places, tree_of
from switchgear.gateway.config.formats.toml_places import locate
from switchgear.gateway.config.mistakes import Mark, Report, UnreadableError

if TYPE_CHECKING:
    from switchgear.gateway.config.nodes import Node

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse(text: str, report: Report) -> Node | None:
    """The tree of a TOML text. Raises `UnreadableError`."""
    text = text.replace("\r\n", "\n")
    mistakes_before = len(report.mistakes)
    places = locate(
        text, report
    )  # first, since it refuses the depth at which `tomllib` would exhaust the stack
    if len(report.mistakes) > mistakes_before:
        return None  # `tomllib` would stop at the first of the duplicates that are told already
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        raise _unreadable(error, text) from None
    return tree_of(values, Places(places)) if values else None


def _unreadable(error: ValueError, text: str) -> UnreadableError:
    message = str(error)
    place = _PLACE.search(message)
    if place and place[1]:
        mark = Mark(int(place[1]), int(place[2]))
    else:
        mark = Mark(text.count("\n") + 1, len(text) - text.rfind("\n"))
    return UnreadableError(f"not legal TOML: {_PLACE.sub('', message)}", mark)
