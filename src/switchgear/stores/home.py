"""What the circuits of one store share in this process: who reports, what is due to be sent, what came back.

Still no I/O: the pump carries what `collect` gives to the store, and brings back the replies.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary

from switchgear.stores import operations as ops
from switchgear.stores.decide import SharedRule, shared_rules
from switchgear.stores.post import TICK
from switchgear.stores.traffic import Traffic
from switchgear.stores.view import SharedCircuitStore, View

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from switchgear.breaker.policy import CircuitBreakerPolicy
    from switchgear.stores.mirrored import MirroredCircuit

logger = logging.getLogger("switchgear")

BATCH: Final = 100
MANY: Final = 1000
POLL_WHEN_PUSHED: Final = 30.0
"""Seconds between polls while a subscription answers: a net under it, nothing more."""
PRUNE_EVERY: Final = 3600.0
"""Seconds between two removals of idle circuits by one process."""
LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Letter:
    """An operation on its way to the store."""

    circuit: MirroredCircuit
    operation: ops.Operation
    sent: ops.Operation
    """The same as it goes out."""


class Transport(Protocol):
    """What carries letters: the pump, or a simulation."""

    def wake(self, home: Home) -> None:
        """A home has something to send."""
        ...

    def ask(self, home: Home, letter: Letter) -> Future[View]:
        """Send a letter at once, beside all others."""
        ...


class Home:
    """The circuits of one store in one process. `limits` names what the store can't promise; `draw`: in [-1,
    1].
    """

    def __init__(
        self,
        store: SharedCircuitStore,
        *,
        now: Callable[[], float],
        draw: Callable[[], float],
        new_reporter: Callable[[], str],
        transport: Transport,
        limits: tuple[str, ...] = (),
    ) -> None:
        self.store = store
        self.limits = limits
        self.leases = "leases" not in limits
        self.store_name: str = getattr(store, "store_name", type(store).__name__)
        self.staleness: float = getattr(store, "staleness", 1.0)
        self.lease_timeout: float = getattr(store, "lease_timeout", 0.25)
        self.loop: AbstractEventLoop | None = getattr(store, "loop", None)
        """The event loop that the store's client is bound to; `None`: the pump's own will do."""
        self._unbound = self.loop is None and getattr(store, "bound", False)
        self.now = now
        self.draw = draw
        self.reporter = new_reporter()
        self.traffic = Traffic()
        self.up = True
        self.failures = 0
        self.resync_wanted = False
        self.polled_at = now()
        self.pushed_at = float("-inf")
        """When the subscription last answered."""
        self._circuits: WeakValueDictionary[str, MirroredCircuit] = WeakValueDictionary()
        self._new_reporter = new_reporter
        self._transport = transport
        self._dirty: dict[str, MirroredCircuit] = {}  # strong: a circuit is kept until its outcomes are sent
        self._urgent: dict[str, MirroredCircuit] = {}
        self._looked_at = float("-inf")
        self._pruned_at = now()
        self._ruled: tuple[CircuitBreakerPolicy, tuple[SharedRule, ...]] | None = None
        self._lock = threading.Lock()

    # ---- its circuits ----

    @property
    def circuits(self) -> list[MirroredCircuit]:
        """All that are in use."""
        # `list` of the references is one step; iterating over the dictionary itself another thread could
        # disturb.
        alive = [reference() for reference in self._circuits.valuerefs()]
        return [circuit for circuit in alive if circuit is not None]

    @property
    def depth(self) -> int:
        """Circuits with something to send."""
        return len(self._dirty)

    def find(self, key: str) -> MirroredCircuit | None:
        """The circuit of this key, while it is in use."""
        return self._circuits.get(key)

    def add(self, circuit: MirroredCircuit) -> None:
        """Serve a circuit for as long as somebody holds it."""
        self._circuits[circuit.key] = circuit

    def rules(self, policy: CircuitBreakerPolicy) -> tuple[SharedRule, ...]:
        """The rules of `policy` one by one: the same for all circuits of a family, which come in a row."""
        ruled = self._ruled
        if ruled is None or ruled[0] is not policy:
            ruled = self._ruled = policy, shared_rules(policy)
        return ruled[1]

    @property
    def used(self) -> bool:
        """Whether there is anything to do for this home, now or ever."""
        return bool(self._dirty) or any(True for _ in self._circuits.valuerefs())

    def check_loop(self, name: str) -> None:
        """Refuse to block the event loop that the store's own client needs: it would wait for itself.

        `RuntimeError` at every such call, not only when a lease is due: otherwise it would show first in an
        outage.
        """
        if self.loop is not None and _running_loop() is self.loop:
            raise RuntimeError(
                f"circuit {name!r}: {self.store_name} works on this event loop, which a sync call would "
                "block: use `await acquire_async()`, `async with` or an async function"
            )

    # ---- from the circuits ----

    def touch(self, circuit: MirroredCircuit, *, urgent: bool) -> None:
        """A circuit has something to send."""
        key = circuit.key
        if self._unbound:
            self._bind()
        if key in self._urgent or (not urgent and key in self._dirty):
            return
        with self._lock:
            self._dirty[key] = circuit
            if urgent:
                self._urgent[key] = circuit
        self._transport.wake(self)

    def ask(self, letter: Letter) -> Future[View]:
        """Send a letter at once; somebody waits for the answer."""
        if self._unbound:
            self._bind()
        return self._transport.ask(self, letter)

    def _bind(self) -> None:
        """A client of the user's own belongs to the event loop that uses it first; else to the pump's."""
        self._unbound = False
        self.loop = _running_loop()

    # ---- to the store ----

    def collect(self, *, everything: bool = False) -> list[Letter]:
        """What is due now, the urgent first; with `everything`, also what could wait."""
        now = self.now()
        with self._lock:
            circuits, self._urgent = self._urgent, {}
            if everything or now - self._looked_at >= self.tick:
                self._looked_at = now
                circuits = {**circuits, **self._dirty}
        letters: list[Letter] = []
        for circuit in circuits.values():
            due = circuit.letters(now, everything=everything)
            letters.extend(due)
            if not due:
                self._tidy(circuit)
        return letters

    @property
    def tick(self) -> float:
        """Seconds between looks at what is pending: longer when many circuits are in use, so that looking
        stays cheap.
        """
        return TICK * max(1.0, len(self._dirty) / MANY)

    @property
    def pending(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._dirty)

    def delivered(self, letters: Sequence[Letter], views: Sequence[View]) -> None:
        """The store has answered."""
        now = self.now()
        self.reached()
        for letter, view in zip(letters, views, strict=True):
            letter.circuit.answered(letter.operation, view, now)
        for circuit in {letter.circuit.key: letter.circuit for letter in letters}.values():
            self._tidy(circuit)

    def reached(self) -> None:
        """The store answers."""
        if not self.up:
            logger.warning("store %s is back", self.store_name)
        self.up, self.failures = True, 0

    def failed(self, letters: Sequence[Letter], error: BaseException) -> None:
        """The store did not answer: nothing is lost, and no call has noticed."""
        if self.up:
            logger.warning(
                "store %s can't be reached (%s: %s): circuits go on by this process's own evidence",
                self.store_name,
                type(error).__name__,
                error,
            )
        self.up = False
        self.failures += 1
        self.resync_wanted = True
        now = self.now()
        for letter in reversed(letters):
            letter.circuit.returned(letter.operation)
        for circuit in self.circuits:
            circuit.store_lost(now)

    def pause(self, draw: float) -> float:
        """Seconds until the next try, by full jitter (`draw` in [0, 1)): no herd when the store is back."""
        return draw * min(LONGEST_PAUSE, 0.05 * 2.0 ** min(self.failures, 7))

    def poll_due(self) -> bool:
        """Whether to ask for changes: always while the subscription is in doubt, else now and then."""
        now = self.now()
        pushed = now - self.pushed_at <= 2 * self.staleness
        return now - self.polled_at >= (POLL_WHEN_PUSHED if pushed else self.staleness)

    def prune_due(self) -> bool:
        """Whether to remove what nobody uses; only from a store that does not forget it by itself.

        Every process does it: which of them lives on, nobody knows, and the store lets them pass each other.
        """
        if not hasattr(self.store, "prune") or self.now() - self._pruned_at < PRUNE_EVERY:
            return False
        self._pruned_at = self.now()
        return True

    def pushed(self, key: str, view: View) -> None:
        """A view came by push or poll."""
        circuit = self.find(key)
        if circuit is not None:
            circuit.heard(view, self.now())

    def resync(self) -> list[Letter]:
        """A look at every circuit: gives the store back what it lost, and takes what was missed."""
        self.resync_wanted = False
        get = ops.Get()
        now = self.now()
        return [Letter(circuit, get, circuit.prepared(get, now)) for circuit in self.circuits if circuit.used]

    def goodbyes(self) -> list[Letter]:
        """This process stops using its circuits."""
        bye = ops.Goodbye(reporter=self.reporter)
        return [Letter(circuit, bye, bye) for circuit in self.circuits if circuit.used]

    def forked(self) -> None:
        """This is a child process now, with a name of its own; its circuits see to themselves."""
        self._lock = threading.Lock()
        self._dirty, self._urgent = {}, {}
        self.reporter = self._new_reporter()
        self.pushed_at = float("-inf")

    def _tidy(self, circuit: MirroredCircuit) -> None:
        if circuit.urgent:
            self.touch(circuit, urgent=True)
            return
        with self._lock:
            if circuit.idle and self._dirty.get(circuit.key) is circuit:
                del self._dirty[circuit.key]
                # An outcome that came between the look and the removal found the circuit listed and did not
                # list it.
                if not circuit.idle:
                    self._dirty[circuit.key] = circuit


def _running_loop() -> AbstractEventLoop | None:
    import asyncio  # the store has loaded it: it has a loop

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def batches(letters: Sequence[Letter]) -> Iterable[tuple[int, Sequence[Letter]]]:
    """In parts that a store can take at once, each with where it starts."""
    for start in range(0, len(letters), BATCH):
        yield start, letters[start : start + BATCH]
