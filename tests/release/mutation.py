"""The score of `make mutation`: how many small changes to the code the tests notice.

`python -m tests.release.mutation` reads what the last run has left in `mutants/`; `--survivors` lists what no
test has noticed, by the names that `mutmut show` and `make mutation ARGS=...` take. The exit code is 1 when a
part has a lower score than it should.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path("mutants/src/switchgear")
PARTS = ("breaker", "stores/record.py", "stores/mirror.py")
LEAST = 0.95
NOTICED = ("killed", "timeout")
LEFT_OUT = ("skipped", "not checked", "check was interrupted by user")


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one file, or of several."""

    counts: Counter[str]

    @property
    def total(self) -> int:
        return sum(count for status, count in self.counts.items() if status not in LEFT_OUT)

    @property
    def share(self) -> float:
        """Noticed mutants by all that were tried; 1 when there was nothing to change."""
        return sum(self.counts[status] for status in NOTICED) / self.total if self.total else 1.0

    def row(self, name: str) -> str:
        unchecked = sum(self.counts[status] for status in LEFT_OUT)
        columns = [self.total, self.counts["killed"], self.counts["timeout"]]
        columns.append(self.total - sum(columns[1:]))
        numbers = "".join(f"{number:>10}" for number in columns)
        return f"{name:<22}{numbers}{self.share:>10.1%}" + (f"  ({unchecked} not tried)" * bool(unchecked))


def main(arguments: list[str]) -> int:
    statuses = {path: _statuses(path) for path in sorted(ROOT.rglob("*.py.meta"))}
    if "--survivors" in arguments:
        for of_file in statuses.values():
            print(*(name for name, status in of_file.items() if status not in NOTICED + LEFT_OUT), sep="\n")
        return 0
    print(f"{'':<22}{'mutants':>10}{'killed':>10}{'timeout':>10}{'not':>10}{'score':>10}")
    worst = 1.0
    for part in PARTS:
        files = {path: of for path, of in statuses.items() if path.is_relative_to(ROOT / part)}
        files = files or {path: of for path, of in statuses.items() if path == ROOT / f"{part}.meta"}
        scores = {_name(path): Score(Counter(of.values())) for path, of in files.items()}
        if len(files) > 1:
            for name, score in scores.items():
                if score.total:
                    print(score.row(f"  {name}"))
        whole = Score(sum((score.counts for score in scores.values()), Counter()))
        print(whole.row(part))
        worst = min(worst, whole.share)
    return int(worst < LEAST)


def _statuses(path: Path) -> dict[str, str]:
    codes: dict[str, int | None] = json.loads(path.read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[code] for name, code in codes.items()}


def _name(path: Path) -> str:
    return path.name.removesuffix(".meta")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
