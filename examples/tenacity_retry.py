"""Attempts that wait for an open circuit, and no longer than that."""

from __future__ import annotations

from tenacity import retry, stop_after_attempt, wait_fixed

from switchgear import CircuitBreaker
from switchgear.integrations.tenacity import stop_if_open_longer_than, wait_until_probe

payments = CircuitBreaker("payments", failure_threshold=2, reset_timeout=0.2)
answers = iter(["", "", "paid"])


@retry(
    wait=wait_until_probe(fallback=wait_fixed(0.01), spread=0.05),
    stop=stop_after_attempt(5) | stop_if_open_longer_than(10),
    reraise=True,
)
@payments
def charge() -> str:
    """A payment that succeeds at the third attempt."""
    answer = next(answers)
    print(f"the service says: {answer or 'nothing'}")
    if not answer:
        raise ConnectionError("no answer")
    return answer


def main() -> None:
    """One payment: two failures open the circuit, the third attempt is its probe."""
    print(charge(), payments.state)


if __name__ == "__main__":
    main()
