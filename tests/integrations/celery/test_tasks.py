"""Celery's own machinery for one run of a task, over a broker in memory: what is sent again, and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime
from time import time
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, signals
from celery.app.trace import TraceInfo, build_tracer
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError

from switchgear import CircuitBreaker, CircuitOpenError, Switchgear
from switchgear.integrations.celery import WAITED, CircuitTask, countdown_of, install
from switchgear.stores import store_from_url
from switchgear.testing import ManualClock


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.conf.update(task_default_queue=uuid4().hex, broker_transport_options={"visibility_timeout": 3600})
    yield app
    app.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def payments(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("payments", failure_threshold=1, reset_timeout=100, clock=clock)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)


def run(task: Any, *args: Any, **request: Any) -> TraceInfo | None:
    """One run, as a worker does it; `None` for a success."""
    tracer = build_tracer(task.name, task, app=task.app, hostname="here")
    delivered = {"exchange": "", "routing_key": task.app.conf.task_default_queue}
    return tracer(
        "the-id", args, {}, {"id": "the-id", "retries": 0, "delivery_info": delivered} | request
    ).info


def sent(app: Celery) -> tuple[dict[str, Any], float]:
    """The one message that was sent, and its countdown."""
    with (
        app.connection_for_read() as connection,
        connection.SimpleQueue(app.conf.task_default_queue) as queue,
    ):
        message = queue.get_nowait()
        assert queue.qsize() == 0
        return message.headers, datetime.fromisoformat(message.headers["eta"]).timestamp() - time()


def nothing_sent(app: Celery) -> bool:
    with (
        app.connection_for_read() as connection,
        connection.SimpleQueue(app.conf.task_default_queue) as queue,
    ):
        return queue.qsize() == 0


def test_what_its_own_circuit_rejects_is_sent_again_and_not_run(app, payments):
    ran = []

    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge(order):
        ran.append(order)

    payments.acquire().failure()
    info = run(charge, 7, retries=3)  # as many as it has
    assert (info.state, type(info.retval.exc), ran) == ("RETRY", CircuitOpenError, [])
    headers, countdown = sent(app)
    assert (headers["id"], headers["task"], headers["retries"]) == ("the-id", charge.name, 3)
    assert countdown == pytest.approx(150, abs=5)  # 100, and the middle of a spread of 100
    assert headers[WAITED] == 150


def test_what_a_breaker_in_its_body_rejects_is_sent_again(app, payments):
    @app.task(shared=False, base=CircuitTask)
    def charge(order):
        with payments:
            pass

    payments.acquire().failure()
    assert run(charge, 7).state == "RETRY"
    headers, countdown = sent(app)
    assert (headers["retries"], headers["argsrepr"]) == (0, "(7,)")
    assert countdown == pytest.approx(150, abs=5)


@pytest.mark.parametrize("how", ["autoretry", "by hand", "by hand, without the error"])
def test_a_retry_for_a_rejection_uses_up_none(app, payments, how):
    options = {"autoretry_for": (Exception,), "retry_kwargs": {"countdown": 3}} if how == "autoretry" else {}

    @app.task(shared=False, base=CircuitTask, bind=True, max_retries=2, **options)
    def charge(self):
        try:
            with payments:
                pass
        except CircuitOpenError as rejection:
            if how == "autoretry":
                raise
            raise self.retry(exc=rejection if how == "by hand" else None, countdown=3)  # noqa: B904

    payments.acquire().failure()
    assert run(charge, retries=2).state == "RETRY"
    headers, countdown = sent(app)
    assert headers["retries"] == 2
    assert countdown == pytest.approx(150, abs=5)


def test_a_longer_countdown_of_its_own_holds(app, payments):
    @app.task(shared=False, base=CircuitTask, autoretry_for=(Exception,), retry_kwargs={"countdown": 1000})
    def charge():
        payments.acquire()

    payments.acquire().failure()
    run(charge)
    assert sent(app)[1] == pytest.approx(1000, abs=5)


def test_other_errors_use_up_retries_as_always(app, payments):
    @app.task(
        base=CircuitTask, autoretry_for=(ConnectionError,), retry_kwargs={"countdown": 30}, max_retries=2
    )
    def charge():
        raise ConnectionError("no route to host")

    assert run(charge, retries=1).state == "RETRY"
    headers, countdown = sent(app)
    assert (headers["retries"], headers.get(WAITED)) == (2, None)
    assert countdown == pytest.approx(30, abs=5)
    assert run(charge, retries=2).state == "FAILURE"
    assert nothing_sent(app)


def test_while_its_own_circuit_is_open_a_failure_uses_up_none(app, payments, clock):
    @app.task(
        shared=False, base=CircuitTask, circuit=payments, autoretry_for=(ConnectionError,), max_retries=2
    )
    def charge():
        raise ConnectionError("no route to host")

    payments.acquire().failure()
    clock.advance(100)
    assert run(charge, retries=2).state == "RETRY"  # a probe
    headers, countdown = sent(app)
    assert payments.snapshot().failure_count == 1
    assert headers["retries"] == 2
    assert countdown == pytest.approx(150, abs=5)
    assert payments.snapshot().retry_after == 100  # opened again


def test_in_shadow_failures_use_up_retries(app):
    shadow = CircuitBreaker("payments", failure_threshold=1, mode="shadow")

    @app.task(shared=False, base=CircuitTask, circuit=shadow, autoretry_for=(ConnectionError,), max_retries=2)
    def charge():
        raise ConnectionError("no route to host")

    assert run(charge, retries=2).state == "FAILURE"
    assert shadow.snapshot().state == "open"


# ---- for how long


def test_a_wait_is_cut_into_hops_below_the_visibility_timeout(app, payments, clock):
    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge(): ...

    payments.force_open(expires_in=5 * 3600)
    countdowns, headers = [], {}
    while charge.circuit.snapshot().retry_after:
        run(charge, headers=headers)
        headers, countdown = sent(app)
        countdowns.append(countdown)
        clock.advance(countdown)
    assert max(countdowns) < 1800
    assert 5 * 3600 < sum(countdowns) < 5 * 3600 + 310
    assert headers[WAITED] == pytest.approx(sum(countdowns), abs=20)


def test_a_broker_that_tells_no_visibility_timeout_gets_short_hops(app, payments):
    app.conf.broker_transport_options = {}

    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge(): ...

    payments.force_open(expires_in=5 * 3600)
    run(charge)
    assert sent(app)[1] == pytest.approx(750, abs=5)  # 900 at most, the middle of the last 300


def test_the_longest_hop_can_be_chosen(app, payments):
    @app.task(shared=False, base=CircuitTask, circuit=payments, rejection_longest_hop=10)
    def charge(): ...

    payments.force_open(expires_in=3600)
    run(charge)
    assert sent(app)[1] == pytest.approx(7.5, abs=1)


def test_when_nobody_knows_it_waits_a_while(app, payments):
    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge(): ...

    payments.force_open("maintenance")
    run(charge)
    assert sent(app)[1] == pytest.approx(90, abs=5)


def test_while_a_probe_is_under_way_it_waits_for_a_moment(app, payments, clock):
    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge(): ...

    payments.acquire().failure()
    clock.advance(100)
    probe = payments.acquire()
    run(charge)
    assert 0 < sent(app)[1] < 1
    probe.cancel()


def test_it_gives_up_when_told_so(app, payments):
    @app.task(shared=False, base=CircuitTask, circuit=payments, rejection_give_up_after=200)
    def charge(): ...

    payments.force_open(expires_in=100)
    assert run(charge).state == "RETRY"
    headers, _ = sent(app)
    info = run(charge, headers={WAITED: headers[WAITED]})
    assert (info.state, type(info.retval)) == ("FAILURE", CircuitOpenError)
    assert nothing_sent(app)


@pytest.mark.parametrize(("outage", "peak"), [(60, 4), (600, 9)])
def test_what_has_piled_up_comes_back_spread_over_as_long_as_it_took(outage, peak):
    rng = random.Random(7)
    rate, rest = 20, 30
    back = []
    for _ in range(rate * outage):
        now, waited = rng.uniform(0, outage), 0.0
        while now < outage:  # rejected: the next probe is due at the next multiple of the open time
            due = rest - now % rest
            wait = countdown_of(due, waited, shortest=1, longest=outage, hop=3600, draw=rng.random())
            now += wait
            waited += wait
        back.append(now - outage)
    five = [sum(1 for moment in back if start <= moment < start + 5) for start in range(0, outage, 5)]
    assert max(five) / 5 < peak * rate  # all at once would be `outage * rate` in a moment
    assert max(back) < outage + 2 * rest


# ---- what is evidence


def test_a_failure_that_is_retried_is_counted_once(app):
    payments = CircuitBreaker("payments", failure_threshold=5)

    @app.task(shared=False, base=CircuitTask, circuit=payments, bind=True)
    def charge(self, how):
        try:
            raise ConnectionError("no route to host")
        except ConnectionError as error:
            raise self.retry(exc=error if how == "with the error" else None) from error

    for count, how in enumerate(("with the error", "without it"), 1):
        run(charge, how)
        assert payments.snapshot().failure_count == count
        sent(app)


@pytest.mark.parametrize("signal", [Ignore, Reject])
def test_what_a_task_tells_celery_is_no_evidence(app, signal):
    payments = CircuitBreaker("payments")
    payments.acquire().failure()

    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge():
        raise signal

    run(charge)
    assert payments.snapshot().failure_count == 1


def test_it_opens_rejects_probes_and_closes(app, payments, clock):
    works = False

    @app.task(shared=False, base=CircuitTask, circuit=payments)
    def charge():
        if not works:
            raise ConnectionError("no route to host")

    assert run(charge).state == "FAILURE"
    assert run(charge).state == "RETRY"
    works = True
    clock.advance(100)
    assert run(charge) is None
    assert payments.state == "closed"
    assert run(charge) is None


def test_a_family_has_a_circuit_for_each_key(app):
    tenants = Switchgear().breakers("tenant:{}", failure_threshold=1)

    class TenantTask(CircuitTask):
        abstract = True

        def circuit_for(self, tenant):
            return tenants[tenant]

    @app.task(shared=False, base=TenantTask)
    def report(tenant):
        if tenant == "a":
            raise ConnectionError("no route to host")

    assert run(report, "a").state == "FAILURE"
    assert run(report, "a").state == "RETRY"
    assert run(report, "b") is None


# ---- where nothing can be sent


def test_called_like_a_function_a_rejection_is_raised(app, payments):
    @app.task(shared=False, base=CircuitTask, circuit=payments, bind=True, autoretry_for=(Exception,))
    def charge(self):
        return self.request.called_directly

    assert charge() is True
    payments.force_open()
    with pytest.raises(CircuitOpenError):
        charge()
    assert nothing_sent(app)


@pytest.mark.parametrize("where", ["own", "body"])
def test_eagerly_a_rejection_is_the_result(app, payments, where):
    @app.task(
        shared=False,
        base=CircuitTask,
        circuit=payments if where == "own" else None,
        autoretry_for=(Exception,),
    )
    def charge():
        with payments:
            return "charged"

    assert charge.apply().get() == "charged"
    payments.force_open()
    result = charge.apply()
    assert (result.state, type(result.result)) == ("FAILURE", CircuitOpenError)
    with pytest.raises(CircuitOpenError):
        charge.apply(throw=True)
    assert nothing_sent(app)


def test_eagerly_failures_are_retried_at_once_and_counted(app):
    payments = CircuitBreaker("payments", failure_threshold=3)

    @app.task(
        shared=False, base=CircuitTask, circuit=payments, autoretry_for=(ConnectionError,), max_retries=1
    )
    def charge():
        raise ConnectionError("no route to host")

    assert type(charge.apply().result) is ConnectionError
    assert payments.snapshot().failure_count == 2


@pytest.mark.parametrize("acks_late", [False, True])
def test_when_it_cannot_be_sent_the_message_goes_back_or_the_task_fails(payments, acks_late):
    app = Celery("tests", broker="pyamqp://127.0.0.1:1", set_as_current=False)
    app.conf.update(
        task_publish_retry=False, broker_transport_options={"max_retries": 1, "interval_start": 0}
    )

    @app.task(shared=False, base=CircuitTask, circuit=payments, acks_late=acks_late)
    def charge(): ...

    payments.force_open()
    if acks_late:
        info = run(charge)
        assert (info.state, info.retval.requeue) == ("REJECTED", True)
    else:
        info = run(charge)
        assert (info.state, type(info.retval)) == ("FAILURE", OperationalError)
    app.close()


# ---- sharing


class Worker:
    """What Celery sends its signals with."""

    def __init__(self, app: Celery | None) -> None:
        self.app = app


def is_shared(breaker: CircuitBreaker) -> bool:
    return breaker._store is not None


def test_a_worker_shares_and_its_processes_flush_when_they_end(app, redis_server):
    namespace = uuid4().hex
    circuits = Switchgear(namespace)
    payments = circuits.breaker("payments", failure_threshold=5)
    install(app, circuits, redis_server.url)
    signals.worker_init.send(sender=Worker(None))  # somebody else's
    assert not is_shared(payments)
    signals.worker_init.send(sender=Worker(app))
    assert is_shared(payments)
    try:
        payments.acquire().failure("no route to host")
    finally:
        signals.worker_process_shutdown.send(sender=None, pid=1, exitcode=0)

    async def counted() -> int:
        async with store_from_url(redis_server.url) as store:
            return (await store.get_state(f"{namespace}/payments")).failure_count

    assert asyncio.run(counted()) == 1
    signals.worker_shutdown.send(sender=None)  # once more does nothing


def test_a_mistake_in_the_stores_url_shows_at_once(app):
    with pytest.raises(ValueError, match="allowed are memory, redis"):
        install(app, Switchgear(), "reddis://localhost")


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"circuit": "payments"}, TypeError, "circuit must be a CircuitBreaker or None, got 'payments'"),
        (
            {"rejection_spread_min": 0},
            ValueError,
            r"rejection_spread_min must be a number over 0 \(seconds\), ",
        ),
        ({"rejection_spread_max": None}, ValueError, "rejection_spread_max must be .*, got None"),
        ({"rejection_longest_hop": "1h"}, ValueError, "or None, got '1h'"),
    ],
)
def test_a_mistake_in_the_options_shows_when_the_task_is_bound(app, options, error, message):
    def charge(): ...

    with pytest.raises(error, match=message):
        repr(app.task(shared=False, base=CircuitTask, **options)(charge))  # made at the first use
