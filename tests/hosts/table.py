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

SUITES: Final = {
    "httpx": Suite(f"{CLIENTS}/test_httpx.py"),
    "httpx2": Suite(f"{CLIENTS}/test_httpx2.py"),
    "requests": Suite(f"{CLIENTS}/test_requests.py"),
    "aiohttp": Suite(f"{CLIENTS}/test_aiohttp.py"),
}
"""By the name of the extra."""
