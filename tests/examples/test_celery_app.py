"""The example with Celery, its worker in a thread: orders wait while payments fail, and none is lost."""

import importlib
import logging
import sys
import threading
from uuid import uuid4

import pytest
from celery.contrib.testing.worker import start_worker

from tests.integrations.celery.test_worker import serving, until


@pytest.fixture
def _logging_as_before():
    """A worker sets up the logging of its whole process."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.usefixtures("_logging_as_before")
def test_an_order_waits_out_an_outage(monkeypatch, redis_server):
    with serving() as service:
        monkeypatch.setenv("REDIS_URL", redis_server.url.replace("/0", "/8"))
        monkeypatch.setenv("PAYMENTS_URL", service.url)
        sys.modules.pop("examples.celery_app", None)
        example = importlib.import_module("examples.celery_app")
        example.app.conf.task_default_queue = uuid4().hex
        example.charge.rejection_spread_min = 0.1
        example.charge.rejection_longest_hop = 0.5  # it looks again so often
        sent_again = threading.Event()
        monkeypatch.setattr(example.charge, "on_retry", lambda *_: sent_again.set())
        with start_worker(example.app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
            example.payments.force_open(expires_in=300)
            example.charge.delay(7)
            assert sent_again.wait(60)
            service.works = True
            example.payments.reset()
            until(lambda: service.served)
    assert list(service.served) == [7]
    assert service.failed == []
