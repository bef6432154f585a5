"""Tasks that wait out an outage of the payment service, in all workers together.

    celery -A examples.celery_app worker

While its circuit is open, tasks are not run and lose none of their retries; they come back spread over time.
"""

import os
import urllib.request

from celery import Celery

from switchgear import Switchgear
from switchgear.integrations.celery import CircuitTask, install

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379")
PAYMENTS_URL = os.environ.get("PAYMENTS_URL", "http://localhost:6666")

app = Celery("shop", broker=REDIS_URL, set_as_current=False)
app.conf.task_acks_late = True

circuits = Switchgear("shop")
payments = circuits.breaker("payments", failure_threshold=3, reset_timeout=10)
install(app, circuits, REDIS_URL)


@app.task(base=CircuitTask, circuit=payments, autoretry_for=(OSError,), max_retries=3, retry_backoff=True)
def charge(order: int) -> None:
    with urllib.request.urlopen(f"{PAYMENTS_URL}/payments/{order}", data=b"", timeout=5):
        pass
