"""Eight processes as one breaker: counting, overshoot, probes, and one that is sick."""

from __future__ import annotations

from collections.abc import Iterator

from tests.shared import scenes
from tests.shared.backends import Backend
from tests.shared.fleet import SIZE, Fleet
from tests.shared.lossy import LossyWay

from benchmarks.shared.bars import Line, at_least, at_most, exactly
from switchgear import CircuitBreakerPolicy

NEVER = 10**6
RUNS = 3
DEATHS_EACH = 15
COUNTS = {
    "in a window": CircuitBreakerPolicy(failure_threshold=NEVER, window=60),
    "in a row": CircuitBreakerPolicy(failure_threshold=NEVER),
}
DEATHS = {
    "window": CircuitBreakerPolicy(failure_threshold=50, window=10, reset_timeout=60),
    "run": CircuitBreakerPolicy(failure_threshold=50, reset_timeout=60),
}
SICKNESSES = {
    "failure_threshold=5": CircuitBreakerPolicy(failure_threshold=5, reset_timeout=1),
    "failure_threshold=5, window=10": CircuitBreakerPolicy(failure_threshold=5, window=10, reset_timeout=1),
    "failure_rate=0.1": CircuitBreakerPolicy(failure_rate=0.1, reset_timeout=1),
}


def counting(fleet: Fleet, backend: Backend) -> Iterator[Line]:
    for how, policy in COUNTS.items():
        yield exactly(f"8 x 500 failures, {how}", scenes.counted(fleet, backend.url, policy, 500), 4000)
        with LossyWay(backend.url) as way:
            counted = scenes.counted(fleet, backend.url, policy, 500, way.url)
        yield exactly(f"the same, {way.lost} of {way.answers} answers lost", counted, 4000)


def overshoot(fleet: Fleet, backend: Backend) -> Iterator[Line]:
    bar = 50 + backend.overshoot * SIZE
    for how, policy in DEATHS.items():
        runs = [scenes.death(fleet, backend.url, policy) for _ in range(DEATHS_EACH)]
        calls = sorted(run.reached for run in runs)
        what = f"calls that reach a dead service, threshold 50, {how}, worst of {DEATHS_EACH}"
        yield at_most(f"{what} (median {calls[DEATHS_EACH // 2]})", calls[-1], bar)
        spread = max(run.spread for run in runs) if all(run.all_reject for run in runs) else float("inf")
        yield at_most("until all reject", spread, 1.5, "s")


def probing(fleet: Fleet, backend: Backend) -> Iterator[Line]:
    for limit in (1, 3):
        for failing in (0.0, 0.5):
            probes = scenes.probes(fleet, backend.url, limit, failing, seconds=3)
            what = f"half_open_max={limit}, {failing:.0%} fail: most at once of {len(probes)} probes"
            yield exactly(what, scenes.most_at_once(probes), limit)
    lease = 1.0
    yield at_most(
        "prober killed: next probe after",
        max(scenes.next_probe(backend.url, lease) for _ in range(RUNS)),
        lease + 1.5,
        "s",
    )


def sickness(fleet: Fleet, backend: Backend) -> Iterator[Line]:
    for how, policy in SICKNESSES.items():
        found = scenes.sickness(fleet, backend.url, policy, times=250)
        yield at_least(f"one sick of eight, {how}: others served", 100 * found.others_served, 97, "%")
        yield at_least("the sick one rejects", 100 * found.sick_rejected, 80, "%")
