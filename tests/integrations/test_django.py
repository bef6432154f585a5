"""Django: real requests to its WSGI and ASGI handlers, its check framework, and a process that forks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import httpx
import pytest
from django.core import checks
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

from switchgear import Switchgear
from switchgear.integrations.django import circuits
from switchgear.integrations.django.owner import owner_of
from switchgear.stores import InMemoryCircuitBreakerStore, RedisCircuitBreakerStore
from tests.integrations import django_site
from tests.integrations.asgi import serving

ROOT = Path(__file__).parents[2]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.integrations.django_site")
django.setup()

pytestmark = pytest.mark.anyio

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(autouse=True)
def fresh() -> None:
    django_site.payments.reset()
    django_site.payments.auto()
    django_site.service.update(works=False, calls=0)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def wsgi() -> Iterator[str]:
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@asynccontextmanager
async def site(handler: str) -> AsyncIterator[httpx.AsyncClient]:
    if handler == "asgi":
        async with serving(get_asgi_application(), lifespan="off") as client:
            yield client
    else:
        with wsgi() as url:
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                yield client


@pytest.mark.parametrize("handler", ["wsgi", "asgi"])
@pytest.mark.parametrize("view", ["sync", "async"])
async def test_it_opens_rejects_probes_and_closes(handler, view):
    async with site(handler) as client:
        assert [(await client.get(view)).status_code for _ in range(3)] == [500, 500, 503]
        assert django_site.service["calls"] == 2
        django_site.service["works"] = True
        django_site.payments.force_open(expires_in=0.001)
        while (answer := await client.get(view)).status_code == 503:
            pass
        assert (answer.status_code, answer.text) == (200, "done")
        assert django_site.payments.state == "closed"


# ---- the answer


async def rejected(accept: str | None = None) -> httpx.Response:
    async with site("asgi") as client:
        return await client.get("sync", headers={"Accept": accept} if accept else {})


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html;q=0.5, application/json"])
async def test_programs_get_a_problem(accept):
    django_site.payments.force_open(expires_in=7)
    answer = await rejected(accept)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.headers["retry-after"]) == (503, "7")
    assert answer.headers["vary"] == "Accept"
    assert not re.search(r"payments", answer.text)


async def test_browsers_get_a_page():
    django_site.payments.force_open(expires_in=7)
    answer = await rejected(BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert answer.headers["retry-after"] == "7"
    assert "<h1>Service Unavailable</h1>" in answer.text


async def test_a_site_may_have_a_page_of_its_own(tmp_path):
    (tmp_path / "503.html").write_text("<p>Come back in {{ retry_after }} s.</p>")
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [tmp_path]}
    django_site.payments.force_open(expires_in=7)
    with override_settings(TEMPLATES=[engine]):
        assert (await rejected(BROWSER)).text == "<p>Come back in 7 s.</p>"


async def test_retry_after_is_left_out_when_nobody_knows():
    django_site.payments.force_open("maintenance")
    assert "retry-after" not in (await rejected()).headers


async def test_a_rejection_is_a_warning_in_djangos_log_and_mails_nobody(caplog):
    django_site.payments.force_open("maintenance")
    await rejected()
    levels = {record.levelname for record in caplog.records if record.name == "django.request"}
    assert levels == {"WARNING"}
    assert "Service Unavailable: /sync: circuit 'payments' is forced-open" in caplog.text


# ---- settings


@pytest.mark.parametrize("value", [{}, {"STORE": None}, {"STORE": "memory://", "DEFAULTS": {"window": 10}}])
def test_settings_without_a_mistake(value):
    with override_settings(SWITCHGEAR=value):
        assert checks.run_checks(tags=["switchgear"]) == []


def test_every_mistake_is_told_at_once():
    wrong = {
        "STOR": "redis://localhost",
        "STORE": "reddis://localhost",
        "NAMESPACE": 7,
        "DEFAULTS": {"failure_ratte": 0.5, "failure_rate": 5, "reset_timeout": -1},
    }
    with override_settings(SWITCHGEAR=wrong):
        found = {
            (mistake.id, mistake.msg, mistake.hint) for mistake in checks.run_checks(tags=["switchgear"])
        }
    texts = sorted(f"{number}: {message} {hint}" for number, message, hint in found)
    assert [text.split()[0] for text in texts] == [f"switchgear.E00{n}:" for n in (2, 3, 4, 6, 7, 7)]
    whole = "\n".join(texts)
    assert "unknown key 'STOR'. Did you mean 'STORE'?" in whole
    assert "SWITCHGEAR['STORE']: a store's URL with scheme 'reddis': allowed are memory, redis" in whole
    assert "SWITCHGEAR['NAMESPACE'] must be text or None, got 7." in whole
    assert "unknown key 'failure_ratte'. Did you mean 'failure_rate'?" in whole
    assert "SWITCHGEAR['DEFAULTS']['failure_rate'] must be a number in (0, 1], or None, got 5." in whole
    assert "SWITCHGEAR['DEFAULTS']['reset_timeout'] must be a duration over 0 (seconds or timedelta)" in whole
    with pytest.raises(ImproperlyConfigured, match=r"'STOR'.*'STORE'.*'NAMESPACE'.*'failure_rate'"):
        owner_of(wrong)


@pytest.mark.parametrize(
    ("value", "number", "message"),
    [
        ([], "E001", "SWITCHGEAR must be a dict, got []"),
        ({"STORE": InMemoryCircuitBreakerStore}, "E003", "no store and no URL: <class"),
        ({"STORE": "redis://localhost?prefx=x"}, "E003", "unknown option 'prefx'"),
        ({"DEFAULTS": 0.5}, "E005", "SWITCHGEAR['DEFAULTS'] must be a dict, got 0.5"),
        ({"OTHER": 1}, "E002", "unknown key 'OTHER'"),
    ],
)
def test_a_mistake_has_its_number(value, number, message):
    with override_settings(SWITCHGEAR=value):
        (mistake,) = checks.run_checks(tags=["switchgear"])
    assert (mistake.id, message in mistake.msg) == (f"switchgear.{number}", True)


def test_the_circuits_of_a_site_are_those_of_its_settings():
    search = circuits.breaker("search")
    assert (search.key, search.policy.failure_threshold) == ("shop/search", 2)
    assert isinstance(circuits, Switchgear)


def test_a_store_is_made_of_its_url_or_taken_as_it_is():
    memory = InMemoryCircuitBreakerStore()
    assert owner_of({"STORE": memory})._store is memory
    assert type(owner_of({"STORE": "redis://localhost"})._store) is RedisCircuitBreakerStore


PREFORK = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.integrations.django_site"
import django
from django.conf import settings
settings.SWITCHGEAR = {"STORE": sys.argv[1], "NAMESPACE": sys.argv[2], "DEFAULTS": {"failure_threshold": 3}}
django.setup()
import threading
assert threading.active_count() == 1, "setup starts nothing"
from switchgear.integrations.django import circuits
payments = circuits.breaker("payments")
assert threading.active_count() == 1, "nor does a breaker"
if len(sys.argv) > 3:
    while not payments.ready(30): pass  # the master has used it before it forks
children = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        while not payments.ready(30): pass
        for _ in range(2):
            try:
                payments.acquire().failure("no route to host")
            except Exception:
                pass
            time.sleep(0.2)
        end = time.monotonic() + 40
        while payments.state != "open" and time.monotonic() < end:
            time.sleep(0.02)
        os._exit(0 if payments.state == "open" else 1)
    children.append(pid)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


@pytest.mark.parametrize("used_before", [False, True])
def test_processes_that_a_server_forks_are_one_breaker(redis_server, used_before, tmp_path):
    arguments = [redis_server.url, tmp_path.name, *(["used"] if used_before else [])]
    command = [sys.executable, "-c", PREFORK, *arguments]
    forking = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert forking.returncode == 0, forking.stderr
