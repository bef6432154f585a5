"""Run benchmarks by name; all of them without one."""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules

import benchmarks
from benchmarks.report import header

NAMES = sorted(
    module.name
    for module in iter_modules(benchmarks.__path__)
    if module.name != "__main__" and hasattr(import_module(f"benchmarks.{module.name}"), "run")
)


def main(wanted: list[str]) -> int:
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(header())
    for name in wanted or NAMES:
        print(f"\n== {name}")
        import_module(f"benchmarks.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
