"""`${NAME}`, `${NAME:-default}` and `$${` in scalar values.

Replaced after parsing, so that a value never changes the structure around it; the field then decides what the
text means. As in a shell, the default also stands in for a variable that is set and empty. What was put in is
not looked into again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from switchgear.gateway.config.mistakes import KeyPath, Report
from switchgear.gateway.config.nodes import ListNode, MapNode, Node, ScalarNode

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_ALLOWED: Final = "${NAME} or ${NAME:-default}; $${ for ${ itself"


class _VariableError(Exception):
    """What is wrong with a reference; never with what a variable holds."""


@dataclass(frozen=True, slots=True)
class _Replacement:
    environ: Mapping[str, str]

    def __call__(self, reference: re.Match[str]) -> str:
        if reference[0] == "$${":
            return "${"
        if not reference[2]:
            raise _VariableError("a ${ is not closed")
        parts = _NAME.fullmatch(reference[1])
        if not parts:
            raise _VariableError("${} does not hold the name of a variable")
        return self._value(parts[1], parts[2])

    def _value(self, name: str, default: str | None) -> str:
        value = self.environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            raise _VariableError(f"the environment variable {name} is not set and has no default")
        return value


def replace_variables(root: Node, environ: Mapping[str, str], report: Report) -> None:
    """Puts environment variables into the tree; each that cannot be put in is a mistake at its value."""
    replacement = _Replacement(environ)
    for path, node in _scalars(root):
        if not isinstance(node.value, str) or "${" not in node.value:
            continue
        try:
            replaced = _REFERENCE.sub(replacement, node.value)
        except _VariableError as error:
            report.add(str(error), node.mark, path, allowed=_ALLOWED)
            node.unknown = True
        else:
            node.replaced, node.value = node.value, replaced


def _scalars(root: Node) -> Iterator[tuple[KeyPath, ScalarNode]]:
    """Every scalar once, also where an alias shares it: to replace twice would undo `$${`."""
    seen: set[int] = set()
    waiting: list[tuple[KeyPath, Node]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        match node:
            case ScalarNode():
                yield path, node
            case ListNode():
                waiting.extend(((*path, index), item) for index, item in enumerate(node.items))
            case MapNode():
                waiting.extend(((*path, entry.key), entry.value) for entry in node.entries)
