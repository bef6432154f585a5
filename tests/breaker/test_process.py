"""What an import loads, and what `SWITCHGEAR_OFF` does: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


IMPORTED = """
import sys
before = set(sys.modules)
import {module}
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(*sorted(new - sys.stdlib_module_names), "asyncio" in sys.modules)
"""


@pytest.mark.parametrize("module", ["switchgear", "switchgear.stores"])
def test_an_import_loads_neither_asyncio_nor_anything_third_party(module: str) -> None:
    assert run(IMPORTED.format(module=module)).stdout.split() == ["switchgear", "False"]


def test_an_import_starts_no_thread_and_a_call_needs_none() -> None:
    code = """
import threading, switchgear
breaker = switchgear.CircuitBreaker("x", failure_threshold=1)
breaker.call(print, "called")
breaker.acquire().failure()
assert threading.active_count() == 1, threading.enumerate()
"""
    assert run(code).stdout == "called\n"


OFF = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
from switchgear import CircuitBreaker, Switchgear
breaker, other = CircuitBreaker("x", failure_threshold=1), Switchgear().breaker("y", failure_threshold=1)
def fail(): raise ValueError
for b in (breaker, other):
    b.force_open("ignored")
    for _ in range(3):
        try: b.call(fail)
        except ValueError: pass
    with b: pass
    b.acquire().cancel()
    s = b.snapshot()
    print(b.state, s.failure_count, s.generation)
"""


def test_switched_off_everything_passes_and_nothing_is_counted() -> None:
    assert run(OFF, SWITCHGEAR_OFF="1").stdout.splitlines() == [
        "WARNING SWITCHGEAR_OFF=1: all calls pass, nothing is counted, no store is written",
        "disabled 0 1",
        "disabled 0 1",
    ]


@pytest.mark.parametrize("value", ["", "0"])
def test_only_1_switches_off(value: str) -> None:
    code = "from switchgear import CircuitBreaker; print(CircuitBreaker('x').state)"
    assert run(code, SWITCHGEAR_OFF=value).stdout == "closed\n"


def test_it_is_read_at_the_first_breaker() -> None:
    code = """
import os, switchgear
os.environ["SWITCHGEAR_OFF"] = "1"
print(switchgear.CircuitBreaker("x").state)
del os.environ["SWITCHGEAR_OFF"]
print(switchgear.CircuitBreaker("y").state)
"""
    assert run(code).stdout.split() == ["disabled", "disabled"]


def test_the_process_ends_while_listeners_are_busy() -> None:
    code = """
import threading, switchgear
breaker = switchgear.CircuitBreaker("x", failure_threshold=1)
breaker.on_transition(lambda event: threading.Event().wait())
breaker.acquire().failure()
print("end")
"""
    assert run(code).stdout == "end\n"


def test_a_forked_child_probes_though_its_parent_does() -> None:
    code = """
import os, switchgear
breaker = switchgear.CircuitBreaker("x", failure_threshold=1, reset_timeout=0.001)
breaker.acquire().failure()
while breaker.snapshot().retry_after:
    pass
with breaker:
    child = os.fork()
    if child == 0:
        with breaker:
            pass
        os._exit(0 if breaker.state == "closed" else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code).stdout == "0\n"


def test_listeners_work_in_a_forked_child() -> None:
    code = """
import os, threading, switchgear
came = threading.Event()
breaker = switchgear.CircuitBreaker("x", failure_threshold=1)
breaker.on_transition(lambda event: came.set())
breaker.acquire().failure()
assert came.wait(30)
came.clear()
child = os.fork()
if child == 0:
    breaker.reset()
    os._exit(0 if came.wait(30) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code).stdout == "0\n"
