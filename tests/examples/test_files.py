"""The example configurations are right, name their schema, and are the ones that the README shows."""

import json
import os

import pytest

from switchgear.gateway.config import load_config
from tests.docs.blocks import ROOT

EXAMPLES = ROOT / "examples"
SCHEMA = ROOT / "docs" / "gateway.schema.json"
OTHERS = {"kubernetes", "monitoring"}  # files for other programs
YAML = sorted(file for file in EXAMPLES.rglob("*.yaml") if not OTHERS & {*file.parts})
JSON = sorted(file for file in EXAMPLES.rglob("*.json") if not OTHERS & {*file.parts})


def name_of(file):
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", [*YAML, *JSON], ids=name_of)
def test_an_example_has_no_mistake(file):
    loaded = load_config(file, {})
    assert [mistake.text() for mistake in (*loaded.mistakes, *loaded.warnings)] == []


@pytest.mark.parametrize("file", YAML, ids=name_of)
def test_the_first_line_tells_editors_the_schema(file):
    relative = os.path.relpath(SCHEMA, file.parent)
    assert file.read_text().startswith(f"# yaml-language-server: $schema={relative}\n")


@pytest.mark.parametrize("file", JSON, ids=name_of)
def test_a_key_tells_editors_the_schema(file):
    assert json.loads(file.read_text())["$schema"] == os.path.relpath(SCHEMA, file.parent)


def test_the_readme_shows_the_example():
    shown = (EXAMPLES / "gateway.yaml").read_text()
    assert f"```yaml\n{shown}```\n" in (ROOT / "README.md").read_text()
    assert len(shown.splitlines()) <= 15
