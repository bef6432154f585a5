"""`switchgear schema`: the JSON Schema of configurations, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from switchgear.gateway.config.schema import json_schema

if TYPE_CHECKING:
    import argparse


def run(_: argparse.Namespace) -> int:
    """Prints the schema. Exit code 0."""
    print(json.dumps(json_schema(), indent=2))
    return 0
