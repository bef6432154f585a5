"""Load by `wrk`, and what of the processors it takes a server to answer."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway_servers import on_core

CONNECTIONS = 64
_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Round:
    """One run of load against one server."""

    rate: float  # answers a second
    cost: float  # microseconds of processor time an answer, in the server's processes
    foreign: float  # the share of the server's core that other programs took
    p50: str
    p99: str


def apply_load(url: str, server: int, server_core: int, load_core: int, seconds: int) -> Round:
    """Asks for `url` on `CONNECTIONS` connections. Raises `RuntimeError` for any bad answer."""
    used, busy = _processor_time(server), _busy_time(server_core)
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url]
    done = subprocess.run(
        [*on_core(load_core), *wrk], capture_output=True, text=True, check=True, timeout=seconds + 30
    )
    used, busy = _processor_time(server) - used, _busy_time(server_core) - busy
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"{url}: not every request was answered as it should be\n{text}")
    answers, took = int(_found(r"(\d+) requests in", text)), float(_found(r"requests in ([\d.]+)s", text))
    return Round(
        rate=answers / took,
        cost=used / answers * 1e6,
        foreign=max(0.0, busy - used) / took,
        p50=_found(r"50%\s+(\S+)", text),
        p99=_found(r"99%\s+(\S+)", text),
    )


def processes(root: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield root
    for task in Path(f"/proc/{root}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes(int(child))


def resident_bytes(root: int) -> int:
    """The memory of a process and all that descend from it."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in processes(root))
    return pages * os.sysconf("SC_PAGE_SIZE")


def _processor_time(root: int) -> float:
    return sum(_ticks(Path(f"/proc/{pid}/stat").read_text()) for pid in processes(root)) * _TICK


def _ticks(stat: str) -> int:
    user, system = stat.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def _busy_time(core: int) -> float:
    line = next(
        line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} ")
    )
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) * _TICK


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said something else than expected:\n{text}")
    return match[1]
