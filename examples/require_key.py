"""A gateway whose routes want a key: `API_KEY=... switchgear serve examples/require_key.py`."""

import hmac
import os
from dataclasses import replace

from switchgear.gateway.exchange import Request
from switchgear.gateway.policies import CallNext, Response


class RequireKey:
    """Answers 401 to requests without the right key; no circuit and no service hears of them."""

    name = "require-key"
    priority = 20  # outside the route's circuit breaker, which has 30

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        given = request.header(b"x-api-key") or b""
        if not hmac.compare_digest(given, self._key):
            return Response(401, [(b"content-type", b"text/plain")], b"the key is missing or wrong\n")
        others = [field for field in request.headers if field[0] != b"x-api-key"]
        response = await call_next(replace(request, headers=others))
        response.headers.append((b"x-checked", b"yes"))
        return response


config = {
    "http": {
        "policies": [RequireKey(os.environ["API_KEY"])],
        "circuitBreaker": {"failureThreshold": 5},
        "routes": {
            "/users/{id}": {"GET": {"services": {"users": {"url": "${USERS_URL:-http://localhost:6666}"}}}},
        },
    },
}
