"""A type checker reads `api.py`: every `assert_type` holds, and every `type: ignore` is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.timeout(300)
def test_types_are_as_users_expect() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(HERE / "api.py")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=280,
        cwd=HERE.parents[1],
        env={"MYPYPATH": "src", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
