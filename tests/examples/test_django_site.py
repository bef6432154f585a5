"""The example with Django, as uvicorn runs it in a process of its own."""

import os
import re
import subprocess
import sys

import httpx

from tests.integrations.celery.test_worker import serving, until


def test_orders_are_rejected_while_payments_fail(redis_server, tmp_path):
    command = [sys.executable, "-m", "uvicorn", "examples.django_site:application", "--port", "0"]
    with serving() as service, (tmp_path / "log").open("wb") as log:
        shared = {"REDIS_URL": f"{redis_server.url}?prefix={tmp_path.name}:", "PAYMENTS_URL": service.url}
        process = subprocess.Popen(command, env=os.environ | shared, stdout=log, stderr=log)
        try:
            until(lambda: "running on http" in (tmp_path / "log").read_text())
            (url,) = re.findall(r"running on (http:\S+)", (tmp_path / "log").read_text())
            with httpx.Client(base_url=url, timeout=60) as client:
                answers = [client.get("/orders/7") for _ in range(4)]
                page = client.get("/orders/7", headers={"Accept": "text/html"})
        finally:
            process.terminate()
            process.wait(60)
    assert [answer.status_code for answer in answers] == [502, 502, 502, 503], (tmp_path / "log").read_text()
    assert 0 < int(answers[-1].headers["retry-after"]) <= 10
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert "<h1>Service Unavailable</h1>" in page.text
    assert len(service.failed) == 3
