"""The example configurations are right, and are the ones that the README shows."""

import pytest

from switchgear.gateway.config import load_config
from tests.docs.blocks import ROOT

FILES = sorted((ROOT / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_example_has_no_mistake(file):
    loaded = load_config(file, {})
    assert [mistake.text() for mistake in (*loaded.mistakes, *loaded.warnings)] == []


def test_the_readme_shows_the_example():
    shown = (ROOT / "examples" / "gateway.yaml").read_text()
    assert f"```yaml\n{shown}```\n" in (ROOT / "README.md").read_text()
    assert len(shown.splitlines()) <= 15
