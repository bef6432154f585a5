"""The example with Django, as uvicorn runs it in a process of its own."""

import contextlib
import os
import subprocess
import sys
import time

import httpx
import pytest

from tests.integrations.celery.test_worker import serving
from tests.servers.process import free_port


@pytest.mark.timeout(60)
def test_orders_are_rejected_while_payments_fail(redis_server, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "examples.django_site:application", "--port", str(port)]
    with serving() as service, (tmp_path / "log").open("wb") as log:
        shared = {"REDIS_URL": f"{redis_server.url}?prefix={tmp_path.name}:", "PAYMENTS_URL": service.url}
        process = subprocess.Popen(command, env=os.environ | shared, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                end = time.monotonic() + 30
                while time.monotonic() < end:
                    with contextlib.suppress(httpx.ConnectError):
                        first = client.get("/orders/7")
                        break
                    time.sleep(0.05)
                answers = [first, *(client.get("/orders/7") for _ in range(3))]
                page = client.get("/orders/7", headers={"Accept": "text/html"})
        finally:
            process.terminate()
            process.wait(15)
    assert [answer.status_code for answer in answers] == [502, 502, 502, 503], (tmp_path / "log").read_text()
    assert int(answers[-1].headers["retry-after"]) in {9, 10}
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert "<h1>Service Unavailable</h1>" in page.text
    assert len(service.failed) == 3
