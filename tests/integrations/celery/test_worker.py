"""A real worker, a real broker, a real service: an outage that outlasts a task's own retries."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


TASKS = 60
OUTAGE = 3.0  # seconds; the task's own two retries are over after one


@pytest.mark.timeout(90)
def test_an_outage_loses_no_task_and_ends_without_a_burst(redis_server, tmp_path):
    queue = uuid4().hex
    broker = f"redis://127.0.0.1:{redis_server.port}/7"
    producer = Celery(broker=broker, set_as_current=False)
    log = tmp_path / "worker.log"
    with (
        serving() as service,
        worker(log, f"--queues={queue}", BROKER=broker, STORE=redis_server.url, SERVICE=service.url),
    ):
        for number in range(TASKS):
            producer.send_task(charge.name, (number,), queue=queue)
        until(lambda: service.failed)
        time.sleep(OUTAGE)
        service.works = True
        until(lambda: len(service.served) == TASKS)
    producer.close()
    failed = len(service.failed)
    assert 3 < failed < 25, failed  # three to open, and then one probe each half second
    assert len(service.processes) == 2  # both know of the circuit, by the store
    times = sorted(service.served.values())
    together = max(sum(1 for time in times if start <= time < start + 0.25) for start in times)
    assert together < TASKS / 2, [round(time - times[0], 2) for time in times]
    assert "MaxRetriesExceeded" not in log.read_text()
