"""A crawler whose circuits are scraped: one per host, a few series in all."""

from __future__ import annotations

import urllib.request

from prometheus_client import CollectorRegistry, start_http_server

from switchgear import CircuitOpenError, Switchgear
from switchgear.integrations.prometheus import SwitchgearCollector

sg = Switchgear(failure_threshold=2)
hosts = sg.breakers("host:{}", limit=100)


def fetch(url: str) -> None:
    """A fetch that fails for one of the hosts."""
    if "broken" in url:
        raise ConnectionError(url)


def crawl(*urls: str) -> None:
    """Fetch each of them, behind the breaker of its host."""
    for url in urls:
        try:
            hosts[url.partition("/")[0]].call(fetch, url)
        except (ConnectionError, CircuitOpenError) as error:
            print(f"{url}: {error}")


def main() -> None:
    """Crawl, and read what a scraper gets."""
    registry = CollectorRegistry()
    SwitchgearCollector(sg, registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    crawl("a.example/1", "broken.example/1", "broken.example/2", "broken.example/3", "b.example/1")
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(("switchgear_circuit_calls_total", "switchgear_circuit_state")):
                print(line)
    server.shutdown()
    server.server_close()
    thread.join()


if __name__ == "__main__":
    main()
