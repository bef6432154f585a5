"""The contract of a store: five coroutines, and nothing else has to be known to write one.

A store never decides: thresholds are compared in one place, in `breaker/rules.py`. A breaker never waits for
one: outcomes reach it in the background, merged, and what it says comes back the same way.
"""

from __future__ import annotations

import inspect
from typing import Final, Protocol, runtime_checkable

from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState

LONGEST_KEY: Final = 1024  # bytes of UTF-8
METHODS: Final = ("get_state", "record_success", "record_failure", "transition", "reset")


@runtime_checkable
class CircuitBreakerStore(Protocol):
    """Keeps circuits under keys, shared by whoever uses the same store.

    Any object with these five coroutines works in a breaker and in the gateway. If it has `aclose()`, that is
    called when its owner is closed. A key that was never written is a closed circuit with counts of zero.
    """

    async def get_state(self, key: str) -> CircuitBreakerSnapshot:
        """The circuit as it is; creates nothing."""
        ...

    async def record_success(self, key: str) -> CircuitBreakerSnapshot:
        """Count a success: it ends the run of failures (`failure_count` is 0, unless a window is kept)."""
        ...

    async def record_failure(self, key: str) -> CircuitBreakerSnapshot:
        """Count a failure while closed; while open or half-open only `last_failure_time` changes.

        Must be atomic: two processes that call it at once have counted two.
        """
        ...

    async def transition(self, key: str, to: CircuitState) -> CircuitBreakerSnapshot:
        """Set the state, unconditionally: closed zeroes the counts, half-open the successes."""
        ...

    async def reset(self, key: str) -> None:
        """Forget the circuit: closed, counts of zero."""
        ...


def checked_store(store: object) -> CircuitBreakerStore:
    """`store` itself, or a `TypeError` that names what it lacks."""
    if isinstance(store, type):
        raise TypeError(
            f"store must be an object, got the class {store.__name__}; make one: {store.__name__}(...)"
        )
    missing = [name for name in METHODS if not callable(getattr(store, name, None))]
    if missing:
        what = "method" if len(missing) == 1 else "methods"
        raise TypeError(
            f"{type(store).__name__} is no store: it lacks the {what} {', '.join(missing)} "
            f"(a store has the coroutines {', '.join(METHODS)})"
        )
    sync = [name for name in METHODS if not _may_be_async(getattr(store, name))]
    if sync:
        raise TypeError(f"{type(store).__name__} is no store: {', '.join(sync)} must be async (`async def`)")
    return store  # type: ignore[return-value]  # just checked, by names and colours


def _may_be_async(method: object) -> bool:
    # A plain Python function is async or is not; of a mock, a partial or a compiled one only a call would
    # tell.
    return inspect.iscoroutinefunction(method) or not inspect.isroutine(method) or inspect.isbuiltin(method)


def checked_key(key: object) -> str:
    """`key` itself, or `ValueError` (`TypeError` for what is no text)."""
    if not isinstance(key, str):
        raise TypeError(f"a circuit's key is text, got {type(key).__name__}")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ValueError(f"a circuit's key is text that UTF-8 can encode, got {key[:50]!r}") from None
    if size > LONGEST_KEY:
        raise ValueError(
            f"a circuit's key has at most {LONGEST_KEY} bytes of UTF-8, got {size}: {key[:50]!r}..."
        )
    if "\0" in key:
        raise ValueError(f"a circuit's key has no NUL, got {key[:50]!r}")
    return key


def checked_target(to: object) -> CircuitState:
    """The state that `transition` may set, from a `CircuitState` or its text; `ValueError` for any other."""
    settable = (CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN)
    if isinstance(to, str) and to in settable:
        return CircuitState(to)
    raise ValueError(f"transition to {to!r}: allowed are {', '.join(repr(s.value) for s in settable)}")
