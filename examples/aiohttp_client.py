"""A session of aiohttp with a circuit for each host.

python -m examples.aiohttp_client http://localhost:8080/ http://localhost:8081/
"""

import asyncio
import sys

import aiohttp

from switchgear import CircuitOpenError, Switchgear
from switchgear.integrations.aiohttp import CircuitBreakerMiddleware

hosts = Switchgear().breakers("host:{}", failure_threshold=3, reset_timeout=10)


async def fetch(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url) as response:
            return f"{response.status}, {len(await response.read())} bytes"
    except CircuitOpenError as error:
        return f"left alone: {error.reason}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"failed: {type(error).__name__}"


async def fetch_all(urls: list[str]) -> list[str]:
    """What became of each URL, in their order."""
    guard = CircuitBreakerMiddleware(hosts)
    timeout = aiohttp.ClientTimeout(total=60, sock_connect=2, sock_read=5)
    async with aiohttp.ClientSession(middlewares=(guard,), timeout=timeout) as session:
        return [await fetch(session, url) for url in urls]


if __name__ == "__main__":
    print("\n".join(asyncio.run(fetch_all(sys.argv[1:]))))
