"""The circuit breaker itself: a pure machine, and the thin shells that guard calls with it."""
