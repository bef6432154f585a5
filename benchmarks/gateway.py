"""Requests per second of the gateway on one core, against nginx as a proxy and FastAPI with httpx.

All servers are up at once on one core and are loaded in turn; load and services have the other core. On a
machine that does other things too, compare by processor time per request: it depends on them much less.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import gateway_servers as servers
from benchmarks.gateway_load import Round, apply_load
from benchmarks.report import table, version_of

ROUNDS = 5
SECONDS = 3
WARM_UP = 1  # second
MAX_FOREIGN = 0.08  # of the server's core; a round with more is repeated
OURS, LOGGED, ROUTED = "switchgear", "switchgear, log and metrics", "switchgear, 10,000 routes"
NGINX, RECIPE = "nginx", "FastAPI + httpx"
SMALL, MERGED = "small GET", "merge of two services"
PATHS = {SMALL: "/users", MERGED: "/merged"}
MEASURED = {SMALL: (OURS, LOGGED, ROUTED, NGINX, RECIPE), MERGED: (OURS, RECIPE)}


@dataclass(frozen=True)
class Cores:
    server: int
    load: int


@dataclass
class Series:
    """One server's rounds of one kind of request."""

    name: str
    port: int
    pid: int
    rounds: list[Round] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(each.rate for each in self.rounds)

    @property
    def cost(self) -> float:
        return statistics.median(each.cost for each in self.rounds)

    @property
    def middle(self) -> Round:
        """The round whose rate is the median, or just below it."""
        return sorted(self.rounds, key=lambda each: each.rate)[(len(self.rounds) - 1) // 2]


def run() -> None:
    """Measure and print."""
    for line in (missing := servers.missing_tools()):
        print(line)
    if missing:
        return
    if peers := servers.missing_peers():
        print(f"{RECIPE} is left out: {', '.join(peers)} not installed; try: pip install --group bench")
    server, load, *_ = sorted(os.sched_getaffinity(0))
    print(_versions())
    with tempfile.TemporaryDirectory() as folder, _all_running(Path(folder), Cores(server, load)) as ports:
        for kind in (SMALL, MERGED):
            every = [Series(name, *ports[name]) for name in MEASURED[kind] if name in ports]
            _measure(every, PATHS[kind], Cores(server, load))
            print(f"\n{kind}")
            print(table(("", "req/s", "range", *_RATIOS, "CPU us/req", "more", "p50", "p99"), _rows(every)))


_RATIOS = (f"/ {NGINX}", f"/ {RECIPE}")


def _versions() -> str:
    packages = ("fastapi", "httpx", "uvicorn", "sniffio", "uvloop")
    versions = [f"{name} {version}" for name in packages if (version := version_of(name))]
    return ", ".join([f"nginx {servers.nginx_version()}", *versions])


@contextlib.contextmanager
def _all_running(folder: Path, cores: Cores) -> Iterator[dict[str, tuple[int, int]]]:
    """Everything that is measured: name to port and process id."""
    upstream = servers.free_port()
    commands = {
        OURS: lambda port: servers.switchgear(folder, port, upstream),
        LOGGED: lambda port: servers.switchgear(folder, port, upstream, observed=True),
        ROUTED: lambda port: servers.switchgear(folder, port, upstream, routes=10_000),
        NGINX: lambda port: servers.nginx_proxy(folder, port, upstream),
        RECIPE: servers.recipe,
    }
    if servers.missing_peers():
        del commands[RECIPE]
    environment = {"UPSTREAM": f"http://127.0.0.1:{upstream}"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(servers.running(servers.services(folder, upstream), upstream, cores.load))
        started: dict[str, tuple[int, int]] = {}
        for name, command in commands.items():
            port = servers.free_port()
            pid = stack.enter_context(servers.running(command(port), port, cores.server, environment))
            started[name] = port, pid
        yield started


def _measure(every: Iterable[Series], path: str, cores: Cores) -> None:
    for series in every:
        _load(series, path, cores, WARM_UP)
    for _ in range(ROUNDS):
        for series in every:
            series.rounds.append(_quiet_round(series, path, cores))


def _quiet_round(series: Series, path: str, cores: Cores) -> Round:
    """A round in which other programs took little of the core, or the best of three."""
    rounds: list[Round] = []
    while len(rounds) < 3:
        rounds.append(_load(series, path, cores, SECONDS))
        if rounds[-1].foreign <= MAX_FOREIGN:
            break
    return min(rounds, key=lambda each: each.foreign)


def _load(series: Series, path: str, cores: Cores, seconds: int) -> Round:
    url = f"http://127.0.0.1:{series.port}{path}"
    return apply_load(url, series.pid, cores.server, cores.load, seconds)


def _rows(every: list[Series]) -> Iterator[tuple[str, ...]]:
    rates = {series.name: series.rate for series in every}
    costs = {series.name: series.cost for series in every}
    for series in every:
        ratios = (f"{series.rate / rates[to]:.2f}" if to in rates else "" for to in (NGINX, RECIPE))
        spread = [each.rate for each in series.rounds]
        yield (
            series.name,
            f"{series.rate:,.0f}",
            f"{min(spread):,.0f}-{max(spread):,.0f}",
            *ratios,
            f"{series.cost:.1f}",
            f"{series.cost / costs[OURS] - 1:+.0%}" if series.name in {LOGGED, ROUTED} else "",
            series.middle.p50,
            series.middle.p99,
        )
