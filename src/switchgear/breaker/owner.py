"""The owner of an application's breakers: names, defaults, listeners, and the store that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from switchgear.breaker.breaker import CircuitBreaker, check_listener, policy_from
from switchgear.breaker.events import Listener
from switchgear.breaker.family import BreakerFamily
from switchgear.breaker.forks import ForkableLock
from switchgear.breaker.observed import CallObserver
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.clock import SYSTEM_CLOCK, Clock
from switchgear.stores.protocol import CircuitBreakerStore, checked_store
from switchgear.stores.scope import StoreScope

Chooser = Callable[[CircuitBreaker, str | None], CallObserver | None]
"""Who is to be told of a breaker's calls, given the template of its family if it is of one."""


class _Watching:
    """A chooser, and whom it has chosen so far."""

    def __init__(self, choose: Chooser) -> None:
        self.choose = choose
        self.chosen: WeakKeyDictionary[CircuitBreaker, CallObserver] = WeakKeyDictionary()

    def begin(self, breaker: CircuitBreaker, template: str | None) -> None:
        observer = self.choose(breaker, template)
        if observer is not None:
            self.chosen[breaker] = observer
            breaker.observe(observer)

    def end(self) -> None:
        for breaker, observer in list(self.chosen.items()):
            breaker.unobserve(observer)


class Switchgear:
    """Owns breakers: the same name gives the same object. Nothing here does I/O before a call does.

    `namespace` goes before each key in a store. Further keyword arguments are policy fields that every
    breaker starts from. `store` binds a store from the start; `open` binds one later.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        store: CircuitBreakerStore | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **defaults: Any,
    ) -> None:
        policy_from(defaults)  # mistakes show here, not at the first breaker
        self._namespace = namespace
        self._store = None if store is None else checked_store(store)
        self._clock = clock
        self._defaults = defaults
        self._lock = ForkableLock()
        self._breakers: dict[str, CircuitBreaker] = {}
        self._families: dict[str, BreakerFamily] = {}
        self._listeners: list[Listener] = []
        self._watching: tuple[_Watching, ...] = ()

    def breaker(self, name: str, policy: CircuitBreakerPolicy | None = None, **fields: Any) -> CircuitBreaker:
        """The breaker `name`, made at the first call; `ValueError` when it exists with another policy.

        Without a policy and fields an existing breaker is returned as it is.
        """
        with self._lock:
            known = self._breakers.get(name)
            if known is not None and policy is None and not fields:
                return known
            wanted = self._policy(policy, fields)
            if known is None:
                known = self._breakers[name] = self._make(name, wanted)
            elif known.policy != wanted:
                raise ValueError(
                    f"circuit {name!r} exists with another policy: {known.policy}; asked for: {wanted}"
                )
            return known

    def breakers(
        self, template: str, limit: int = 1024, policy: CircuitBreakerPolicy | None = None, **fields: Any
    ) -> BreakerFamily:
        """A family by key: `hosts = sg.breakers("host:{}")`, then `hosts["example.com"]`.

        The same template gives the same family; with another policy or limit, `ValueError`.
        """
        with self._lock:
            known = self._families.get(template)
            wanted = self._policy(policy, fields)
            if known is None:
                known = self._families[template] = BreakerFamily(
                    template,
                    limit,
                    wanted,
                    lambda name: self._make(name, wanted, template),
                    lambda name: self._make_overflow(name, wanted, template),
                    self._clock.monotonic,
                )
            elif (known.policy, known.limit) != (wanted, limit):
                raise ValueError(f"family {template!r} exists with another policy or limit: {known.policy}")
            return known

    def adopt(self, name: str, policy: CircuitBreakerPolicy) -> CircuitBreaker:
        """The breaker `name`, under `policy` from now on (`CircuitBreaker.adopt`); made if there is none."""
        with self._lock:
            known = self._breakers.get(name)
            if known is None:
                known = self._breakers[name] = self._make(name, policy)
            elif known.policy != policy:
                known.adopt(policy)
            return known

    def discard(self, name: str) -> None:
        """Forget a breaker, if there is one of this name. Who holds it may go on with it."""
        with self._lock:
            self._breakers.pop(name, None)

    def on_transition(self, listener: Listener) -> None:
        """Call `listener(event)` at every transition of every breaker, present and future."""
        check_listener(listener)
        with self._lock:
            self._listeners.append(listener)
            for breaker in self:
                breaker.on_transition(listener)

    def observe(self, choose: Chooser) -> Callable[[], None]:
        """Tell the observer that `choose(breaker, template)` names of every call, of breakers present and
        future (see `CircuitBreaker.observe`); returns a function that ends that.

        `template` is that of the breaker's family, `None` for one that was made by name. For the answer
        `None` the breaker is not observed.
        """
        watching = _Watching(choose)
        with self._lock:
            self._watching = (*self._watching, watching)
            for breaker in self._breakers.values():
                watching.begin(breaker, None)
            for template, family in self._families.items():
                for breaker in family:
                    watching.begin(breaker, template)
                if family.overflow is not None:
                    watching.begin(family.overflow, template)

        def stop() -> None:
            with self._lock:
                self._watching = tuple(kept for kept in self._watching if kept is not watching)
            watching.end()

        return stop

    @property
    def store(self) -> CircuitBreakerStore | None:
        """What the breakers share their state through now, if anything."""
        return self._store

    @property
    def families(self) -> tuple[BreakerFamily, ...]:
        """All families of breakers by key."""
        with self._lock:
            return tuple(self._families.values())

    def open(self, store: CircuitBreakerStore | str) -> StoreScope:
        """Share all breakers, present and future, through `store` (or one made from a URL) for a `with`
        block.

        `with sg.open("redis://..."):`, or `async with`. At the end what is pending is flushed, the store is
        closed (a client or pool of yours inside it is not), and the breakers go on by themselves.
        """
        return StoreScope(self._bind, store)

    def _bind(self, store: CircuitBreakerStore | None) -> None:
        with self._lock:
            self._store = store
            for breaker in self:
                breaker.rebind(store)

    def __iter__(self) -> Iterator[CircuitBreaker]:
        """All breakers, those of families included."""
        with self._lock:
            everything = list(self._breakers.values())
            for family in self._families.values():
                everything.extend(family)
        return iter(everything)

    def __getitem__(self, name: str) -> CircuitBreaker:
        """An existing breaker; `KeyError` when there is none."""
        return self._breakers[name]

    def __contains__(self, name: object) -> bool:
        return name in self._breakers

    def _policy(self, policy: CircuitBreakerPolicy | None, fields: dict[str, Any]) -> CircuitBreakerPolicy:
        if policy is None:
            return policy_from({**self._defaults, **fields})
        if fields:
            raise TypeError(f"give either policy= or its fields, not both (got {', '.join(sorted(fields))})")
        return policy

    def _make(self, name: str, policy: CircuitBreakerPolicy, template: str | None = None) -> CircuitBreaker:
        breaker = CircuitBreaker(
            name, policy, store=self._store, namespace=self._namespace, clock=self._clock
        )
        for listener in self._listeners:
            breaker.on_transition(listener)
        return self._begin(breaker, template)

    def _begin(self, breaker: CircuitBreaker, template: str | None) -> CircuitBreaker:
        for watching in self._watching:
            watching.begin(breaker, template)
        return breaker

    def _make_overflow(self, name: str, policy: CircuitBreakerPolicy, template: str) -> CircuitBreaker:
        # Keys with nothing in common share it: their failures are counted, but must not add up to an outage
        # of all of them, and a billion in a second can't be. No store: a real key may have this very name
        # there.
        never = replace(
            policy, failure_threshold=1_000_000_000, window=1.0, failure_rate=None, slow_call_rate=None
        )
        return self._begin(CircuitBreaker(name, never, clock=self._clock), template)
