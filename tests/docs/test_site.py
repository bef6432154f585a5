"""The site builds without a warning: every page is in a table of contents, every name of the reference is
there."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-d",
        target / "doctrees",
    ]
    return subprocess.run(
        [*command, source, target / "html"], capture_output=True, text=True, check=False, timeout=280
    )


def test_the_site_builds_without_a_warning(tmp_path):
    done = build(ROOT / "docs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "index.html").exists()


def test_a_page_that_nothing_leads_to_is_found(tmp_path):
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text((ROOT / "docs" / "conf.py").read_text())
    (source / "index.md").write_text("# Site\n")
    (source / "lost.md").write_text("# Lost\n")
    done = build(source, tmp_path)
    assert done.returncode != 0
    assert "lost.md" in done.stderr
