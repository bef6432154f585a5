"""Play schedules: `python -m tests.simulation SEED`, `--count N [--start SEED]`, or a herd: `--herd N`."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback

from tests.simulation.herd import herd, told
from tests.simulation.world import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this one, with what is logged")
    parser.add_argument("--count", type=int, default=1000, help="how many schedules [1000]")
    parser.add_argument("--start", type=int, default=0, help="the first seed [0]")
    parser.add_argument("--herd", type=int, metavar="N", help="what a store gets from so many processes")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        play(arguments.seed)
        return 0
    logging.disable()
    if arguments.herd is not None:
        sys.stdout.write(told(arguments.herd, herd(arguments.herd)))
        return 0
    failed = [seed for seed in range(arguments.start, arguments.start + arguments.count) if not _holds(seed)]
    sys.stdout.write(f"{arguments.count} schedules, {len(failed)} failed: {failed[:20]}\n")
    return 1 if failed else 0


def _holds(seed: int) -> bool:
    try:
        play(seed)
    except Exception:
        sys.stdout.write(f"seed {seed}: {traceback.format_exc(limit=-1)}\n")
        sys.stdout.flush()  # a long run may be broken off
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
