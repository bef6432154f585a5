"""What FAULTS.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.simulation.faults import Faults
from tests.simulation.network import Line
from tests.simulation.process import LoopClock

HERE = Path(__file__).parent
KINDS = {kind.__name__: kind for kind in (Faults, Line, LoopClock)}


def test_every_fault_that_is_listed_happens_and_every_test_exists() -> None:
    names = re.findall(r"`([A-Za-z_.0-9]+)`", (HERE / "FAULTS.md").read_text())
    sources = "\n".join(path.read_text() for path in HERE.parent.rglob("test_*.py"))
    tests = set(re.findall(r"def (test_\w+)\(", sources))
    missing = {name for name in names if name.startswith("test_")} - tests
    for name in names:
        kind, _, method = name.partition(".")
        if kind in KINDS and method and not hasattr(KINDS[kind], method):
            missing.add(name)
    assert not missing


def test_every_fault_is_listed() -> None:
    text = (HERE / "FAULTS.md").read_text()
    schedule = type("S", (), {"counting": False})()
    happen = {fault.__name__ for fault in Faults(schedule, _Orders())._all}
    assert {name for name in happen if f"Faults.{name}" not in text} <= {"_upstream", "_sick", "_stop_store"}


class _Orders:
    """A chance that has an operator give orders."""

    def random(self) -> float:
        return 0.0
