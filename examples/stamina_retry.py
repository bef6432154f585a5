"""Attempts of coroutines that wait for an open circuit, and no longer than that."""

from __future__ import annotations

import asyncio

import stamina

from switchgear import CircuitBreaker
from switchgear.integrations.stamina import until_probe

payments = CircuitBreaker("payments", failure_threshold=2, reset_timeout=0.2)
answers = iter(["", "", "paid"])


@stamina.retry(on=until_probe(ConnectionError, spread=0.05), attempts=5, wait_initial=0.01, wait_jitter=0)
@payments
async def charge() -> str:
    """A payment that succeeds at the third attempt."""
    answer = next(answers)
    print(f"the service says: {answer or 'nothing'}")
    if not answer:
        raise ConnectionError("no answer")
    return answer


async def main() -> None:
    """One payment: two failures open the circuit, the third attempt is its probe."""
    print(await charge(), payments.state)


if __name__ == "__main__":
    asyncio.run(main())
