"""What the worker process of a test runs: tasks that call a service, and the process that runs them.

BROKER=redis://... STORE=redis://... SERVICE=http://... celery -A tests.integrations.celery.worker worker
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from switchgear import Switchgear
from switchgear.integrations.celery import CircuitTask, install

ROOT = Path(__file__).parents[3]

app = Celery("shop", broker=os.environ.get("BROKER", "memory://"), set_as_current=False)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, worker_hijack_root_logger=False)

circuits = Switchgear("shop")
payments = circuits.breaker("payments", failure_threshold=3, reset_timeout=0.5)
install(app, circuits, os.environ.get("STORE", "memory://"))


@app.task(
    base=CircuitTask,
    circuit=payments,
    autoretry_for=(OSError,),
    max_retries=2,
    retry_kwargs={"countdown": 0.5},
)
def charge(number: int) -> None:
    """Its own retries last for a second."""
    with urllib.request.urlopen(f"{os.environ['SERVICE']}/{number}?by={os.getpid()}", timeout=60):
        pass


@contextmanager
def worker(log: Path, *options: str, **environ: str) -> Iterator[None]:
    """A worker with a pool of two processes."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO"]
    command = [sys.executable, "-m", "celery", "-A", "tests.integrations.celery.worker", "worker"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--pool=prefork", "--concurrency=2", *quiet, *options],
            env=os.environ | environ,
            cwd=ROOT,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            yield
            process.terminate()
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)
