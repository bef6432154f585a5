"""`switchgear replay`: lines a second and memory, a million lines of each log through a window policy.

The tenth part of the log is replayed as well: memory that is flat is the same for both. The first rate is by
the processor's time, which others on the machine can't take; the second is by the clock on the wall.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import table

LINES = 1_000_000
RATE = 1000.0
"""Calls a second in the log."""
KEYS = [f"service:s{number}@http://10.0.0.{number}:80" for number in range(8)]
POLICY = "{failureRate: 50%, window: 10s, resetTimeout: 5s}"

# In a process of its own, whose peak of memory is its own; imports are not part of the rate. Not `getrusage`:
# its peak is at first that of the process which started this one.
_MEASURE = """
import sys, time
from pathlib import Path
from switchgear.replay.policies import load_policies
from switchgear.replay.reading import opened
from switchgear.replay.run import replay
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
policies = load_policies(Path(sys.argv[2]), {})
before, begin, begin_own = peak(), time.perf_counter(), time.process_time()
with opened(sys.argv[1]) as source:
    reader, lanes, failed = replay(source, [policies])
own, wall = time.process_time() - begin_own, time.perf_counter() - begin
assert failed is None and reader.broken.count == 0 and reader.without_key == 0
openings = sum(track.history.openings for lane in lanes.by_key.values() for track in lane.tracks)
print(reader.lines, own, wall, before, peak(), openings)
"""

Call = tuple[float, str, bool, float]
"""End, key, whether it failed, seconds."""


def calls(count: int) -> Iterator[Call]:
    """One call in two hundred fails, and seven of ten of half of the services for a minute in ten."""
    draw = random.Random(6)
    now = 1.79e9
    for _ in range(count):
        now += draw.expovariate(RATE)
        place = draw.randrange(8)
        trouble = place < 4 and now // 60 % 10 == 3
        yield now, KEYS[place], draw.random() < (0.7 if trouble else 0.005), draw.expovariate(20)


def as_csv(call: Call) -> str:
    end, key, failed, seconds = call
    return f"{end:.3f},{key},{'failure' if failed else 'success'},{seconds:.4f}\n"


def as_gateway(call: Call) -> str:
    """As `gateway/access_log.py` writes it."""
    end, key, failed, seconds = call
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(end))}.{int(end % 1 * 1000):03d}Z"
    return (
        f'{{"time":"{text}","http.request.method":"GET","url.path":"/users/7",'
        f'"http.response.status_code":{503 if failed else 200},"duration_ms":{seconds * 1000:.3f},'
        '"bytes_out":214,"origin":"upstream","client.address":"10.1.2.3",'
        '"request_id":"0b6d5c2f7a914c5d8e3f1a2b4c6d8e0f","http.route":"/users/{id}","service":"users",'
        f'"circuit":"{key}","circuit_state":"closed","attempts":1,"upstream_ms":{seconds * 999:.3f}}}\n'
    )


def as_combined(call: Call) -> str:
    end, _, failed, seconds = call
    text = f"{datetime.fromtimestamp(end, UTC):%d/%b/%Y:%H:%M:%S +0000}"
    status = 503 if failed else 200
    return f'10.1.2.3 - - [{text}] "GET /users/7 HTTP/1.1" {status} 214 "-" "curl/8" {seconds:.3f}\n'


KINDS: dict[str, Callable[[Call], str]] = {
    "CSV": as_csv,
    "the gateway's JSON": as_gateway,
    "combined": as_combined,
}


def run() -> None:
    """Prints the table."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(POLICY)
        for kind, written in KINDS.items():
            for count in (LINES // 10, LINES):
                log = Path(folder) / "log"
                with log.open("w") as file:
                    file.writelines(map(written, calls(count)))
                rows.append((kind, *measured(log, policy)))
                log.unlink()
    print(table(("log", "lines", "lines/s", "by the wall", "MB before", "MB at most", "openings"), rows))


def measured(log: Path, policy: Path) -> tuple[str, ...]:
    """Lines, lines a second twice, megabytes before and at most, openings."""
    command = (sys.executable, "-c", _MEASURE, str(log), str(policy))
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    lines, own, wall, before, peak = (float(word) for word in out[:5])
    rates = (f"{lines / seconds:,.0f}" for seconds in (own, wall))
    return f"{lines:,.0f}", *rates, f"{before:.0f}", f"{peak:.0f}", out[5]
