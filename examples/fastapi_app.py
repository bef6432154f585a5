"""A shop whose payments have a circuit that all its processes share.

    uvicorn examples.fastapi_app:app --workers 4

Its clients get a 503 with `Retry-After` while the circuit is open, and the payment service is left alone.
"""

import os
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException

from switchgear import Permit, Switchgear
from switchgear.integrations.fastapi import install, permit

PAYMENTS_URL = os.environ.get("PAYMENTS_URL", "http://localhost:6666")

circuits = Switchgear("shop")
payments = circuits.breaker("payments", failure_threshold=3, reset_timeout=10)

app = FastAPI()
install(app, circuits, os.environ.get("REDIS_URL", "redis://localhost:6379"))


@app.post("/orders/{number}")
async def pay(number: int, call: Annotated[Permit, Depends(permit(payments))]) -> dict[str, int]:
    """The whole endpoint is one call of the circuit; a 502 is a failure, by the policy's statuses."""
    try:
        async with httpx.AsyncClient(timeout=2) as client:
            paid = await client.post(f"{PAYMENTS_URL}/payments/{number}")
    except httpx.TransportError as error:
        raise HTTPException(502, "The payment service does not answer.") from error
    if paid.status_code >= 500:
        raise HTTPException(502, "The payment service fails.")
    return {"order": number}


@app.get("/health")
def health() -> dict[str, str]:
    return {breaker.name: breaker.state for breaker in circuits}
