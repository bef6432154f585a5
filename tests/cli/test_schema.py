"""`switchgear schema`, and the schema that the repository keeps for editors."""

from __future__ import annotations

import json
from pathlib import Path

from switchgear.cli import main
from switchgear.gateway.config.schema import json_schema

KEPT = Path(__file__).parents[2] / "docs" / "gateway.schema.json"


def test_the_command_prints_the_schema(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_the_schema_in_the_repository_is_what_the_command_prints(capsys):
    main(["schema"])
    assert KEPT.read_text(encoding="utf-8") == capsys.readouterr().out, (
        "renew it: switchgear schema > docs/gateway.schema.json"
    )
