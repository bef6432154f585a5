"""What an editor that has the JSON Schema would flag in a file."""

from __future__ import annotations

from pathlib import Path

from jsonschema import Draft202012Validator

from switchgear.gateway.config.files import read_tree
from switchgear.gateway.config.mistakes import Report
from switchgear.gateway.config.nodes import plain
from switchgear.gateway.config.schema import json_schema

_validator = Draft202012Validator(json_schema())


def flags(path: Path) -> list[str]:
    """What is flagged in a file of YAML, JSON or TOML, variables as they are written."""
    tree = read_tree(path, Report(str(path)))
    assert tree is not None
    return [error.message for error in _validator.iter_errors(plain(tree))]
