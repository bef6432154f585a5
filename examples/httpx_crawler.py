"""A crawler that leaves hosts alone which fail, without a word about hosts that don't.

    python -m examples.httpx_crawler https://example.com/ https://example.org/ ...

One circuit for each host, at most a few thousand of them, whatever links a page has.
"""

import asyncio
import sys

import httpx

from switchgear import CircuitOpenError, Switchgear
from switchgear.integrations.httpx import AsyncCircuitBreakerTransport, retry_after

hosts = Switchgear().breakers(
    "crawl:{}",
    limit=4096,
    failure_threshold=3,
    failure_statuses={429, 500, 502, 503, 504},  # "too many requests" is a reason to stop, too
    retry_after_from=retry_after,
)


async def fetch(client: httpx.AsyncClient, url: str) -> str:
    try:
        response = await client.get(url)
        return f"{response.status_code}"
    except CircuitOpenError as error:
        return f"not now, try again in {error.retry_after} s"
    except httpx.HTTPError as error:
        return f"failed: {type(error).__name__}"


async def crawl(urls: list[str]) -> list[str]:
    """What became of each URL, in their order."""
    transport = AsyncCircuitBreakerTransport(hosts, httpx.AsyncHTTPTransport(retries=1))
    async with httpx.AsyncClient(transport=transport, timeout=5, follow_redirects=True) as client:
        return [f"{url} {await fetch(client, url)}" for url in urls]


if __name__ == "__main__":
    print("\n".join(asyncio.run(crawl(sys.argv[1:]))))
