"""A site whose payments have a circuit that all its processes share; all of it in one file.

    uvicorn examples.django_site:application --workers 4

Browsers get a page while the circuit is open, programs a problem, both with `Retry-After`.
"""

import os
import urllib.request

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "not for production"),
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["switchgear.integrations.django"],
    MIDDLEWARE=["switchgear.integrations.django.CircuitOpenMiddleware"],
    SWITCHGEAR={
        "STORE": os.environ.get("REDIS_URL", "redis://localhost:6379"),
        "NAMESPACE": "shop",
        "DEFAULTS": {"failure_threshold": 3, "reset_timeout": 10},
    },
)
application = get_asgi_application()

from switchgear.integrations.django import circuits  # noqa: E402 - a site of one file has its settings above

payments = circuits.breaker("payments")


@payments
def pay(order: int) -> None:
    url = os.environ.get("PAYMENTS_URL", "http://localhost:6666")
    with urllib.request.urlopen(f"{url}/payments/{order}", data=b"", timeout=5):
        pass


def order(_request: HttpRequest, number: int) -> HttpResponse:
    try:
        pay(number)
    except OSError:
        return HttpResponse("The payment service does not answer.", status=502)
    return HttpResponse(f"Order {number} is paid.")


urlpatterns = [path("orders/<int:number>", order)]
