"""A Django site for tests: its settings, its URLs, its views."""

from __future__ import annotations

import logging

from django.http import HttpResponse
from django.urls import path

from switchgear import CircuitBreaker

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
INSTALLED_APPS = ["switchgear.integrations.django"]
MIDDLEWARE = ["switchgear.integrations.django.CircuitOpenMiddleware"]
TEMPLATES: list[dict[str, object]] = []
LOGGING_CONFIG = None  # what the tests' own logging shows
SWITCHGEAR = {"NAMESPACE": "shop", "DEFAULTS": {"failure_threshold": 2}}

payments = CircuitBreaker("payments", failure_threshold=2, reset_timeout=30)
service = {"works": False, "calls": 0}
log = logging.getLogger(__name__)


def _call() -> HttpResponse:
    service["calls"] += 1
    if not service["works"]:
        raise ConnectionError("no route to host")
    return HttpResponse("done")


def order(_request) -> HttpResponse:
    with payments:
        return _call()


async def order_async(_request) -> HttpResponse:
    async with payments:
        return _call()


urlpatterns = [path("sync", order), path("async", order_async)]
