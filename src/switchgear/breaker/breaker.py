"""The breaker: the object that guards calls with one circuit and one policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast, overload

from switchgear.breaker.circuit import Circuit
from switchgear.breaker.colour import Colour, colour_of, surely_sync
from switchgear.breaker.events import Listener
from switchgear.breaker.guard import guard, guard_bare
from switchgear.breaker.observed import CallObserver, observed
from switchgear.breaker.permit import Permit
from switchgear.breaker.policy import FIELDS, CircuitBreakerPolicy, Seconds, duration
from switchgear.breaker.rescue import (
    ErrorTypes,
    KeyFunction,
    LastGood,
    Rescue,
    argument_key,
    guard_with_rescue,
)
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.clock import SYSTEM_CLOCK, Clock
from switchgear.errors import CircuitOpenError
from switchgear.stores.binding import bind
from switchgear.stores.protocol import CircuitBreakerStore, checked_key

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
F_co = TypeVar("F_co", covariant=True)


# mypy takes the `self` that tells an async fallback for a parameter, hence the type for an invariant one.
class FallbackGuard(Protocol[F_co]):  # type: ignore[misc]
    """A decorator that adds the type of a fallback's answers."""

    @overload
    def __call__(
        self: FallbackGuard[Awaitable[F]], fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | F]]: ...
    @overload
    def __call__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | F_co]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R | F_co]: ...


class PlainGuard(Protocol):
    """A decorator that leaves the type as it is."""

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]: ...


class CircuitBreaker:
    """Guards calls to one dependency: as a decorator, a context manager, by `call`, or by permits.

    `policy` or its fields say when the circuit opens. Without `store` the circuit is private to this object;
    the same store object and the same key (`namespace/name`, or the name) are one circuit. Raises
    `PolicyError` for fields out of range, `TypeError` for what is no store, `ValueError` for a name that
    can't be a key or for a key that has another policy in this process.
    """

    __slots__ = ("__weakref__", "_clock", "_ears", "_key", "_name", "_observers", "_store", "circuit")

    circuit: Circuit

    def __init__(
        self,
        name: str,
        policy: CircuitBreakerPolicy | None = None,
        *,
        store: CircuitBreakerStore | None = None,
        namespace: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **fields: Any,
    ) -> None:
        if policy is not None and fields:
            raise TypeError(f"give either policy= or its fields, not both (got {', '.join(sorted(fields))})")
        self._name = name
        self._key = checked_key(name if namespace is None else f"{namespace}/{name}")
        self._clock = clock
        self._ears: tuple[_Ear, ...] = ()
        self._observers: tuple[CallObserver, ...] = ()
        self._store = store
        self.circuit = bind(self, self._key, name, policy or policy_from(fields), store, clock)

    def rebind(self, store: CircuitBreakerStore | None) -> None:
        """Go on with another store, or with none: policy and listeners stay, the state is that of the new
        circuit.

        Calls in flight report to the circuit that admitted them.
        """
        self._store = store
        self._bind(self.policy)

    def adopt(self, policy: CircuitBreakerPolicy) -> None:
        """Go on under another policy, from the next call on.

        State, override and open time stay, and so does evidence, unless the window changed, which it was
        counted in. Other breakers of this circuit in the process get the policy too. Between `enforce` and
        `shadow` a shared circuit changes its key: there the state is that of the other record.
        """
        if self._store is None or policy.shadow == self.policy.shadow:
            self.circuit.adopt_policy(policy)
        else:
            self._bind(policy)

    def _bind(self, policy: CircuitBreakerPolicy) -> None:
        circuit = bind(self, self._key, self._name, policy, self._store, self._clock)
        self.circuit = observed(circuit, self._observers)
        for ear in self._ears:
            ear.move(self.circuit)

    @property
    def name(self) -> str:
        return self._name

    @property
    def key(self) -> str:
        """What the circuit is called in a store."""
        return self._key

    @property
    def policy(self) -> CircuitBreakerPolicy:
        return self.circuit.policy

    @property
    def store(self) -> CircuitBreakerStore | None:
        """Where the circuit is shared, if it is."""
        return self._store

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self._name!r} {self.state.value}>"

    # ---- guarding calls ----

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def __call__(
        self,
        /,
        *,
        fallback: Callable[..., F],
        on: ErrorTypes = ...,
        stale: Seconds | None = ...,
        stale_size: int = ...,
        key: KeyFunction | None = ...,
    ) -> FallbackGuard[F]: ...
    @overload
    def __call__(
        self,
        /,
        *,
        on: ErrorTypes = ...,
        stale: Seconds | None = ...,
        stale_size: int = ...,
        key: KeyFunction | None = ...,
    ) -> PlainGuard: ...

    def __call__(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        fallback: Callable[..., Any] | None = None,
        on: ErrorTypes = CircuitOpenError,
        stale: Seconds | None = None,
        stale_size: int = 1024,
        key: KeyFunction | None = None,
    ) -> Any:
        """Decorate a function: sync, async, generator or async generator. Signature and colour stay.

        `stale`: the last good answer to the same (hashable) arguments, at most that many seconds old, answers
        a call that raises one of `on`; `key(*args, **kwargs)` chooses what "the same" means. `fallback(error,
        *args, **kwargs)` answers where that has none; on an async function it may be async. Raises
        `TypeError` for what is not callable, and for generator functions, which have no single answer.
        """
        rescue = None
        if fallback is not None or stale is not None:
            age = None if stale is None else duration("stale", stale)
            last_good = None if age is None else LastGood(age, stale_size, self._clock.monotonic)
            rescue = Rescue(on, fallback, last_good, key or argument_key)

        def decorate(wrapped: Callable[..., Any]) -> Callable[..., Any]:
            _check_callable(wrapped, self._name)
            return guard(self, wrapped) if rescue is None else guard_with_rescue(self, wrapped, rescue)

        return decorate if fn is None else decorate(fn)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn`; returns an awaitable when `fn` is async (the permit is then taken at the await)."""
        colour = Colour.SYNC if surely_sync(fn) else colour_of(fn)
        return guard_bare(self, fn, colour)(*args, **kwargs)  # type: ignore[no-any-return]

    def acquire(self) -> Permit:
        """Permission for one call, to be reported by hand; raises `CircuitOpenError`.

        With a shared store this may block for up to the store's `lease_timeout`, and only when a probe is
        due.
        """
        circuit = self.circuit
        return Permit(circuit, circuit.era or circuit.admit())

    def try_acquire(self) -> Permit | None:
        """Like `acquire` without ever blocking: `None` when the store must be asked, by `acquire_async`."""
        circuit = self.circuit
        grant = circuit.era or circuit.try_admit()
        return None if grant is None else Permit(circuit, grant)

    async def acquire_async(self) -> Permit:
        """Like `acquire`, for coroutines: never blocks the event loop."""
        circuit = self.circuit
        return Permit(circuit, circuit.era or await circuit.admit_async())

    def __enter__(self) -> Permit:
        return _enter(self, self.acquire())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _exit(self, error)

    async def __aenter__(self) -> Permit:
        return _enter(self, await self.acquire_async())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _exit(self, error)

    # ---- looking at it, and operating it ----

    @property
    def state(self) -> CircuitState:
        """The state that decides over the next call."""
        return self.circuit.state

    def snapshot(self) -> CircuitBreakerSnapshot:
        """The circuit at this moment, with the reason of its last transition."""
        return self.circuit.snapshot()

    def on_transition(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` at every transition; returns a function that ends that.

        Listeners run one after another on a thread of their own; one that is slow delays no call, and one
        that raises is logged.
        """
        check_listener(listener)
        ear = _Ear(listener)
        ear.move(self.circuit)
        self._ears = (*self._ears, ear)

        def stop() -> None:
            ear.stop()
            self._ears = tuple(kept for kept in self._ears if kept is not ear)

        return stop

    def observe(self, observer: CallObserver) -> None:
        """Tell `observer` of every call from now on, and of every transition.

        Calls cost more then, by what it does and by a reading of the clock. It costs nothing where nobody
        observes, since that is decided when the circuit is chosen, and not at each call.
        """
        ear = _Ear(observer.moved)
        ear.move(self.circuit)
        self._ears = (*self._ears, ear)
        self._observe((*self._observers, observer))

    def unobserve(self, observer: CallObserver) -> None:
        """Tell it no more; nothing happens if it was not told. Calls under way still report to it."""
        for ear in [ear for ear in self._ears if ear.listener == observer.moved]:
            ear.stop()
            self._ears = tuple(kept for kept in self._ears if kept is not ear)
        self._observe(tuple(kept for kept in self._observers if kept is not observer))

    def _observe(self, observers: tuple[CallObserver, ...]) -> None:
        self._observers = observers
        self.circuit = observed(self.circuit, observers)

    def ready(self, timeout: float = 0.25) -> bool:
        """Fetch the shared state beforehand, for at most `timeout` seconds; returns whether it is known now.

        Without this the first call of a process passes as if the circuit were closed.
        """
        return self.circuit.ready(timeout)

    async def ready_async(self, timeout: float = 0.25) -> bool:  # the sync twin has it too  # noqa: ASYNC109  # the same as `ready` has
        """Like `ready`, for coroutines."""
        return await self.circuit.ready_async(timeout)

    def force_open(
        self, reason: str = "", author: str | None = None, expires_in: Seconds | None = None
    ) -> None:
        """Reject every call until `auto()`, or for `expires_in` seconds; then a probe goes first."""
        self.circuit.override(CircuitState.FORCED_OPEN, reason, author, _lifetime(expires_in))

    def disable(self, reason: str = "", author: str | None = None, expires_in: Seconds | None = None) -> None:
        """Let every call pass until `auto()`, or for `expires_in` seconds; outcomes are still counted."""
        self.circuit.override(CircuitState.DISABLED, reason, author, _lifetime(expires_in))

    def auto(self) -> None:
        """End an override: a forced-open circuit is open with a probe due, a disabled one closed."""
        self.circuit.release()

    def reset(self) -> None:
        """Closed, without evidence and without override."""
        self.circuit.reset()


class _Ear:
    """A listener, wherever its breaker's circuit goes."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.stop: Callable[[], None] = lambda: None

    def move(self, circuit: Circuit) -> None:
        self.stop()
        self.stop = circuit.listen(self.listener)


# One stack for all breakers, innermost last. Each thread and each task has a context of its own, and a nested
# entry of the same breaker is a further element: hence one shared breaker serves them all.
_ENTERED: Final[ContextVar[tuple[tuple[CircuitBreaker, Permit], ...]]] = ContextVar(
    "switchgear_entered", default=()
)


def _enter(breaker: CircuitBreaker, permit: Permit) -> Permit:
    _ENTERED.set((*_ENTERED.get(), (breaker, permit)))
    return permit


def _exit(breaker: CircuitBreaker, error: BaseException | None) -> None:
    entered = _ENTERED.get()
    for i in reversed(range(len(entered))):
        owner, permit = entered[i]
        if owner is breaker:
            _ENTERED.set(entered[:i] + entered[i + 1 :])
            permit.__exit__(None, error, None)
            return
    # Left in another context than it was entered in (a fixture's teardown, say): the permit is then collected
    # and cancelled by itself. Code that needs this uses `with breaker.acquire():`, which carries its permit
    # along.


def policy_from(fields: dict[str, Any]) -> CircuitBreakerPolicy:
    """A policy from keyword arguments; `TypeError` names each that is no field, and the nearest that is."""
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise TypeError("; ".join(map(_unknown_field, unknown)))
    return CircuitBreakerPolicy(**fields)


def _unknown_field(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, FIELDS)
    hint = f"; did you mean {near[0]}?" if near else f"; fields are {', '.join(FIELDS)}"
    return f"{name!r} is no field of a policy{hint}"


def _check_callable(fn: object, name: str) -> None:
    if isinstance(fn, classmethod | staticmethod | property):
        kind = type(cast(object, fn)).__name__
        raise TypeError(f"circuit {name!r}: put the breaker below @{kind}, nearer to the function")
    if not callable(fn):
        raise TypeError(f"circuit {name!r} can't guard {fn!r}: {type(fn).__name__} is not callable")


def check_listener(listener: object) -> None:
    """`TypeError` for what is no plain function: listeners run on a thread, where nobody awaits."""
    if not callable(listener):
        raise TypeError(f"a listener is a function of an event, got {listener!r}")
    if colour_of(listener) is not Colour.SYNC:
        raise TypeError(f"a listener must be a plain function, {listener!r} is none")


def _lifetime(expires_in: Seconds | None) -> float | None:
    return None if expires_in is None else duration("expires_in", expires_in)
