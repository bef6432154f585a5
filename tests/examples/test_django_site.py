"""The example with Django, as uvicorn runs it in a process of its own."""

import os
import socket
import subprocess
import sys
import time

import httpx

from tests.integrations.celery.test_worker import serving

PATIENCE = 60.0


def test_orders_are_rejected_while_payments_fail(redis_server, tmp_path):
    with (
        serving() as service,
        (tmp_path / "log").open("wb") as log,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        port, place = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", "uvicorn", "examples.django_site:application", "--fd", str(place)]
        shared = {"REDIS_URL": f"{redis_server.url}?prefix={tmp_path.name}:", "PAYMENTS_URL": service.url}
        process = subprocess.Popen(command, env=os.environ | shared, stdout=log, stderr=log, pass_fds=[place])
        try:
            # It waits in the queue of the socket until the site is there.
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
                answers = [client.get("/orders/7")]
                begin = time.monotonic()
                answers += [client.get("/orders/7") for _ in range(3)]
                passed = time.monotonic() - begin
                page = client.get("/orders/7", headers={"Accept": "text/html"})
        finally:
            process.terminate()
            process.wait(PATIENCE)
    assert [answer.status_code for answer in answers] == [502, 502, 502, 503], (tmp_path / "log").read_text()
    assert 10 - passed <= int(answers[-1].headers["retry-after"]) <= 10
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert "<h1>Service Unavailable</h1>" in page.text
    assert len(service.failed) == 3
