"""A session of requests with a circuit for each host.

    python -m examples.requests_session http://localhost:8080/ http://localhost:8081/

Retries that requests does by itself are inside of the circuit: three attempts that fail are one failed call.
"""

import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from switchgear import CircuitOpenError, Switchgear
from switchgear.integrations.requests import CircuitBreakerAdapter, retry_after

hosts = Switchgear().breakers("host:{}", failure_threshold=3, retry_after_from=retry_after)


def session() -> requests.Session:
    """A session whose requests are guarded, whatever their scheme."""
    # Otherwise it sleeps as long as a 503 asks for, and tries again: that is the circuit's part.
    retries = Retry(2, backoff_factor=0.1, respect_retry_after_header=False)
    adapter = CircuitBreakerAdapter(hosts, HTTPAdapter(max_retries=retries))
    guarded = requests.Session()
    guarded.mount("https://", adapter)  # mount("", ...) would lose against what is there already
    guarded.mount("http://", adapter)
    return guarded


def fetch(urls: list[str]) -> list[str]:
    """What became of each URL, in their order."""
    told: list[str] = []
    with session() as http:
        for url in urls:
            try:
                told.append(f"{http.get(url, timeout=5).status_code}")
            except CircuitOpenError as error:
                told.append(f"left alone: {error.reason}")
            except requests.RequestException as error:
                told.append(f"failed: {type(error).__name__}")
    return told


if __name__ == "__main__":
    print("\n".join(fetch(sys.argv[1:])))
