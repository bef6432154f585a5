"""A real worker, a real broker, a real service: an outage that outlasts a task's own retries."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from uuid import uuid4

import pytest
from celery import Celery

from tests.integrations.celery.worker import charge, worker


class Service:
    """Answers 500 or 200, as it is told, and knows who came when."""

    def __init__(self) -> None:
        self.works = False
        self.failed: list[float] = []
        self.served: dict[int, float] = {}
        self.processes: set[str] = set()
        self.url = ""

    def answer(self, path: str) -> int:
        number, process = re.findall(r"/(\d+)(?:\?by=(\d+))?$", path)[0]
        self.processes.add(process)
        if self.works:
            self.served.setdefault(int(number), time.monotonic())
            return 200
        self.failed.append(time.monotonic())
        return 500


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(service.answer(self.path))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name in the library

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join(10)


def until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


ROUNDS = 4
TASKS = 60
OUTAGE = 3.0  # seconds; the task's own two retries are over after one


@pytest.mark.timeout(300)
def test_an_outage_loses_no_task_and_ends_without_a_burst(redis_server, tmp_path):
    queue = uuid4().hex
    broker = f"redis://127.0.0.1:{redis_server.port}/7"
    producer = Celery(broker=broker, set_as_current=False)
    log = tmp_path / "worker.log"
    with (
        serving() as service,
        worker(log, f"--queues={queue}", BROKER=broker, STORE=redis_server.url, SERVICE=service.url),
    ):
        # A machine that stands still for a moment does afterwards at once what was due in it: but not in each
        # round.
        bursts: list[list[float]] = []
        while not bursts or burst(bursts[-1]):
            assert len(bursts) < ROUNDS, bursts
            bursts.append(outage(service, lambda n: producer.send_task(charge.name, (n,), queue=queue)))
    producer.close()
    assert "MaxRetriesExceeded" not in log.read_text()


def outage(service: Service, send: Callable[[int], object]) -> list[float]:
    """Tasks that begin amid an outage, which then ends; when they were served, from the first on."""
    service.works = False
    service.failed.clear()
    service.served.clear()
    service.processes.clear()
    for number in range(TASKS):
        send(number)
    until(lambda: service.failed)
    time.sleep(OUTAGE)
    until(lambda: len(service.failed) > 3)  # three to open, and then one probe each half second
    lasted = time.monotonic() - service.failed[0]
    service.works = True
    until(lambda: len(service.served) >= TASKS)
    assert len(service.failed) < 12 + lasted / 0.5
    times = sorted(service.served.values())
    # Both know of the circuit, by the store. Which one gets a task is chance.
    further = count(TASKS)
    while len(service.processes) < 2:
        number = next(further)
        assert number < 100 * TASKS
        send(number)
        until(lambda number=number: number in service.served)
    return [round(at - times[0], 2) for at in times]


def burst(times: list[float]) -> bool:
    """Whether half of all came within a quarter of a second."""
    return max(sum(1 for at in times if start <= at < start + 0.25) for start in times) >= TASKS / 2
