"""OpenAI's client with a circuit: while it is open, one attempt that ends at once.

    OPENAI_API_KEY=... python -m examples.openai_client "Why is the sky blue?"

Without it a client in a crowd makes three attempts for each question, just when there are too many of them.
"""

import sys

import openai

from switchgear import Switchgear
from switchgear.integrations.httpx2 import CircuitBreakerTransport, retry_after

hosts = Switchgear().breakers(
    "llm:{}",
    failure_rate=0.5,
    minimum_calls=5,
    window=60,
    failure_statuses={429, 500, 502, 503, 504, 529},  # quota and overload
    retry_after_from=retry_after,  # the API says itself when to come back
)


def client(base_url: str | None = None) -> openai.OpenAI:
    """OpenAI's client, guarded."""
    transport = CircuitBreakerTransport(hosts, on_open="response")
    return openai.OpenAI(base_url=base_url, http_client=openai.DefaultHttpxClient(transport=transport))


def answer(llm: openai.OpenAI, question: str) -> str:
    """The answer, or why there is none at the moment."""
    try:
        reply = llm.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": question}]
        )
    except openai.InternalServerError as error:  # the API's, or made up because the circuit is open
        return f"not now: {error}"
    return reply.choices[0].message.content or ""


if __name__ == "__main__":
    print(answer(client(), " ".join(sys.argv[1:])))
