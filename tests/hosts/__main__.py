"""Runs each host's tests in environments of their own: `python -m tests.hosts [HOST...]`."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

from tests.hosts.table import SUITES, Suite

ROOT = Path(__file__).parents[2]
TOOLS = ("pytest>=9", "pytest-timeout>=2.4", "anyio>=4.9")
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def requirements(extra: str) -> list[str]:
    """What an extra asks for, such as `httpx>=0.27`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"][extra]  # type: ignore[no-any-return]


def oldest(requirement: str) -> str:
    """The requirement of the lower bound itself."""
    found = re.fullmatch(r"([\w.\[\]-]+)>=([\d.]+)(,[^;]*)?(;.*)?", requirement)
    assert found is not None, f"{requirement!r} has no lower bound"
    return f"{found[1]}=={found[2]}{found[4] or ''}"


def environments(extra: str, suite: Suite) -> Iterator[tuple[str, list[str]]]:
    """Oldest and newest, with what is to be installed."""
    newest = requirements(extra)
    yield "oldest", [*map(oldest, newest), *suite.with_both, *suite.with_oldest]
    yield "newest", [*newest, *suite.with_both]


def run(extra: str, suite: Suite) -> Iterator[str]:
    """Run one host's tests; yields what failed."""
    for name, wanted in environments(extra, suite):
        print(f"{extra}: {name} ({', '.join(wanted)})", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = str(Path(folder, "bin", "python"))
            subprocess.run([python, *PIP, *TOOLS, *wanted], check=True)
            subprocess.run([python, *PIP, "--no-deps", "--editable", str(ROOT)], check=True)
            done = subprocess.run(
                [python, "-m", "pytest", "-q", "--no-header", *suite.tests.split()],
                cwd=ROOT,
                check=False,
            )
            if done.returncode:
                yield f"{extra}: {name}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("host", nargs="*", help=f"one of {', '.join(SUITES)}; by default all")
    hosts = parser.parse_args().host or list(SUITES)
    unknown = [host for host in hosts if host not in SUITES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SUITES)}")
    failed = [told for host in hosts for told in run(host, SUITES[host])]
    sys.exit(f"failed: {'; '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
