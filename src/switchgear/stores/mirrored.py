"""The circuit that a breaker with a store gets: a mirror under a lock, and a home that sends for it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from weakref import ReferenceType, ref

from switchgear.breaker.circuit import Grant, Override, Shed
from switchgear.breaker.deferring import DeferringCircuit
from switchgear.breaker.events import DISPATCHER, log_transition
from switchgear.breaker.machine import (
    FAILURE,
    INCONCLUSIVE,
    OPEN,
    SUCCESS,
    Leased,
    Outcome,
    Passed,
    Rejected,
    Result,
    Transition,
)
from switchgear.breaker.outcome import Gist, gist
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.breaker.window import RollingWindow, Run
from switchgear.clock import Clock
from switchgear.stores import operations as ops
from switchgear.stores.fingerprint import fingerprint
from switchgear.stores.following import FollowingMirror
from switchgear.stores.grants import Ask
from switchgear.stores.home import Home, Letter
from switchgear.stores.mirror import Mirror
from switchgear.stores.view import View

logger = logging.getLogger("switchgear")


class MirroredCircuit(DeferringCircuit):
    """A shared circuit as this process sees it. Healthy calls and rejections do no I/O."""

    __slots__ = (
        "_ages",
        "_blocked_until",
        "_changed_at",
        "_foreign",
        "_hello",
        "_home",
        "_mirror",
        "_state",
        "_tallies",
        "_tally_read",
        "_users",
        "key",
        "used",
    )

    def __init__(self, key: str, name: str, policy: CircuitBreakerPolicy, clock: Clock, home: Home) -> None:
        super().__init__(name, policy, clock)
        self.key = key
        self.used = False
        """Whether a call ever came: before that, nothing is sent."""
        self._users: tuple[ReferenceType[object], ...] = ()
        self._home = home
        self._mirror = self._make_mirror()
        self._state = CircuitState.CLOSED
        self._changed_at: float | None = None
        self._blocked_until = -math.inf  # as `blocked_until`, but for `by_hand`
        self._foreign = ""  # the last fingerprint of another policy that was complained about
        self._hello = _hello(policy)
        self._new_tally()
        self._publish(self.now())

    def _take_policy(self, policy: CircuitBreakerPolicy) -> None:
        super()._take_policy(policy)
        self._ages = self.timed or policy.has_window  # otherwise nobody asks when a success came
        self._tallies = not (self._ages or self.reads_results)

    def _make_mirror(self) -> Mirror:
        return FollowingMirror(self.policy, self.now(), self._home.draw)

    @property
    def in_use(self) -> bool:
        """Whether there is a breaker of it: so long the policy stays."""
        return any(user() is not None for user in self._users)

    def used_by(self, user: object) -> None:
        """A breaker holds it from now on."""
        # Not a `WeakSet`, which takes a kilobyte: nearly always there is one.
        self._users = (*(other for other in self._users if other() not in (None, user)), ref(user))

    # ---- calls ----

    def admit(self) -> Grant:
        self._home.check_loop(self.name)
        answer = self._ask_mirror()
        assert not isinstance(answer, Ask), "only a store that leases probes is asked"
        return self._granted(answer)

    def ready(self, timeout: float) -> bool:
        self._home.check_loop(self.name)
        try:
            view = self._home.ask(self._hello_letter()).result(timeout)
        except Exception:  # not in time, or no store: the breaker works by local evidence
            return False
        self.heard(view, self.now())
        return True

    async def ready_async(self, timeout: float) -> bool:  # noqa: ASYNC109  # the sync twin has it too
        import asyncio

        try:
            async with asyncio.timeout(timeout):
                view = await asyncio.wrap_future(self._home.ask(self._hello_letter()))
        except Exception:  # as in `ready`
            return False
        self.heard(view, self.now())
        return True

    def _ask_mirror(self) -> Passed | Leased | Rejected | Ask:
        now = self.now()
        wait = self._blocked_until - now
        if wait > 0:
            raise self.refusal(wait)
        self._settle_deferred()
        with self._inside():
            self._begin()
            answer = self._mirror.admit(now)
            tell = self._publish(now)
        tell()
        self._touch()
        return answer

    def _granted(self, answer: Passed | Leased | Rejected) -> Grant:
        if isinstance(answer, Passed):
            return self.era or answer
        if isinstance(answer, Leased):
            return answer
        if self.policy.shadow:
            return Shed(self._mirror.generation)
        raise self.refusal(answer.retry_after, self._state)

    def _hello_letter(self) -> Letter:
        with self._inside():
            self.used = True
            return Letter(
                self, self._hello, self._mirror.prepared(self._hello, self._home.reporter, self.now())
            )

    # The next two are `settle` for what nearly every call ends with, as long as that is only a number more:
    # see `Mirror.ease`, and `LocalCircuit` for why they look so.
    #
    # Once there is no run to end, the next successes are not even worth a lock: they are tallied until
    # somebody takes it (a failure, the pump for its flush, a reader). One that has found itself `tallied`
    # came before whatever ends that. Where threads really run at once it may be counted just after a reading,
    # and shows in the next one: it is not lost, and it ends no run that has begun since.

    def succeed(self, grant: Grant, started: float) -> None:
        if self.tallied is grant:
            next(self.tally)
            return
        now = self.now() if self._ages else 0.0
        acquire, leave = self._acquire, self._release
        slow = self.timed and now - started > self._slow_after
        acquire()
        mirror = self._mirror
        if now < mirror.steady_until and not (slow or self._busy) and grant is self.era:
            ledger, counts = mirror.ledger, mirror.counts
            ledger.newest.calls += 1
            if ledger.tail or not ledger.success:
                ledger.end_run()
            if type(counts) is RollingWindow:
                counts.newest.calls += 1
                counts.calls += 1
            elif type(counts) is Run:
                counts.failures = 0
                counts.successes += 1
            self._cancelled = 0
            if self._tallies:
                self.tallied = self.era
            leave()
            return
        leave()
        self.settle(grant, SUCCESS, started)

    def fail(self, grant: Grant, started: float, failure: Gist) -> None:
        clock, acquire, leave = self.now, self._acquire, self._release
        now = clock()
        slow = self.timed and now - started > self._slow_after
        acquire()
        mirror = self._mirror
        slack = mirror.slack
        other = slow or self._busy or self._shadow  # in shadow mode `settle` counts every failure
        if slack > 0 and now < mirror.steady_until and not other and grant is self.era:
            self.tallied = None
            mirror.slack = slack - 1
            ledger, counts = mirror.ledger, mirror.counts
            pending = ledger.newest
            pending.calls += 1
            pending.failures += 1
            ledger.tail += 1
            if type(counts) is RollingWindow:
                bucket = counts.newest
                bucket.calls += 1
                bucket.failures += 1
                counts.calls += 1
                counts.failures += 1
            elif type(counts) is Run:
                counts.failures += 1
            self._last_failure_at = now
            self._last_failure = failure
            self._cancelled = 0
            leave()
            return
        leave()
        self.settle(grant, FAILURE, started, failure)

    def settle(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        error: BaseException | str | Gist | None = None,
        retry_after: float | None = None,
    ) -> None:
        now = self.now()
        slow = now - started > self._slow_after
        failure = None if error is None else gist(error)
        self._acquire()
        if self._busy:
            self._defer(grant, outcome, started, failure, retry_after)
            self._release()
            return
        self._busy = True
        try:
            self._take_tally()
            self._begin()
            self._settle(grant, Result(outcome, slow, retry_after, self._spread()), failure, now)
            tell = self._publish(now)
            self._mirror.ease(now)
        finally:
            self._busy = False
            self._release()
        tell()
        self._touch()

    def _settle(self, grant: Grant, result: Result, failure: Gist | None, now: float) -> None:
        if result.outcome is not INCONCLUSIVE:
            self._cancelled = 0
        if result.outcome is FAILURE:
            self._last_failure_at = now
            if failure is not None:
                self._last_failure = failure
        if self._shadow:
            self._shed = self._shed.plus(result.outcome, shed=isinstance(grant, Shed))
        if not isinstance(grant, Shed):
            if isinstance(grant, Leased):
                self._mirror.last_failure = self.last_failure or ""
            self._mirror.settle(grant, result, now)

    def _spread(self) -> float:
        return self._home.draw() if self.policy.jitter else 0.0

    # ---- reading ----

    def snapshot(self) -> CircuitBreakerSnapshot:
        now = self.now()
        self._settle_deferred()
        with self._inside():
            mirror = self._mirror
            tell = self._publish(now)
            standing, view = mirror.standing(now), mirror.view
            shared_failure_at = view.last_failure_at / 1000 if view else 0.0
            picture = CircuitBreakerSnapshot(
                state=standing.state,
                failure_count=mirror.failure_count(now),
                call_count=mirror.call_count(now),
                success_count=mirror.success_count(),
                last_failure_time=max(self._epoch(self._last_failure_at), shared_failure_at),
                last_state_change=self._epoch(self._changed_at),
                generation=mirror.generation,
                retry_after=standing.retry_after,
                age=max(0.0, now - mirror.received),
                reason=standing.reason,
                last_failure=self.last_failure or (view.last_failure or None if view else None),
                shadow=self.policy.shadow,
                would_have_rejected=self._shed,
                own=standing.own,
                limits=self._home.limits,
            )
        tell()
        return picture

    def outdated(self, grant: Grant) -> bool:
        return not isinstance(grant, Shed) and self._mirror.outdated(grant)

    def due_since(self) -> float:
        with self._inside():
            return self._mirror.due_since(self.now())

    # ---- operator ----

    def override(self, to: Override, reason: str, author: str | None, expires_in: float | None) -> None:
        self._operate(lambda now: self._mirror.force(to, now, reason, author, expires_in))

    def release(self) -> None:
        self._operate(self._mirror.release)

    def reset(self) -> None:
        def forget(now: float) -> None:
            self._last_failure = self._last_failure_at = None
            self._cancelled = 0
            self._mirror.reset(now)

        self._operate(forget)

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        now = self.now()
        with self._inside():
            self._take_policy(policy)
            self._mirror.adopt_policy(policy)
            # No hello: the processes of one gateway adopt a policy one after the other, which is no conflict.
            view = self._mirror.view
            self._foreign = self._hello.policy if view is None else view.policy
            self._hello = _hello(policy)
            tell = self._publish(now)
        tell()

    def _operate(self, act: Callable[[float], None]) -> None:
        now = self.now()
        with self._inside():
            self._begin()
            act(now)
            tell = self._publish(now)
        tell()
        self._touch()

    # ---- for the home ----

    def letters(self, now: float, *, everything: bool) -> list[Letter]:
        """What is due to be sent."""
        with self._inside():
            mirror, reporter = self._mirror, self._home.reporter
            mirror.brace()
            mirror.last_failure = self.last_failure or ""
            out = [Letter(self, wish, mirror.prepared(wish, reporter, now)) for wish in mirror.wishes()]
            if mirror.flush_due(now, everything=everything, patience=self._home.staleness):
                flush = mirror.flush(reporter, now)
                out.insert(0, Letter(self, flush, flush))  # what was counted comes before what was made of it
            return out

    @property
    def staleness(self) -> float:
        """Seconds since the store last told anything."""
        return max(0.0, self.now() - self._mirror.received)

    @property
    def dropped(self) -> int:
        """Outcomes that could not be sent while they mattered."""
        return self._mirror.ledger.dropped

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be sent."""
        mirror = self._mirror
        return mirror.ledger.empty and not mirror.restless

    @property
    def urgent(self) -> bool:
        """Whether something should be sent at once."""
        return self._mirror.restless

    def prepared(self, operation: ops.Get, now: float) -> ops.Operation:
        """An operation that asks for nothing, as it goes out."""
        with self._inside():
            return self._mirror.prepared(operation, self._home.reporter, now)

    def answered(self, operation: ops.Operation, view: View, now: float) -> None:
        """The store's reply to one of its letters."""
        self._update(lambda: self._mirror.answer(operation, view, now), now)

    def heard(self, view: View, now: float) -> None:
        """A view that nobody here has asked for."""
        self._update(lambda: self._mirror.hear(view, now), now)
        self._touch()

    def returned(self, operation: ops.Operation) -> None:
        """A letter that did not arrive, as far as one knows. A flush stays frozen by itself."""
        if not isinstance(operation, ops.Flush | ops.Get | ops.Goodbye):
            with self._inside():
                self._mirror.requeue(operation)

    def store_lost(self, now: float) -> None:
        """The store can't be reached."""
        self._update(lambda: self._mirror.lost(now), now)

    def _update(self, act: Callable[[], object], now: float) -> None:
        self._settle_deferred()
        with self._inside():
            act()
            tell = self._publish(now)
        tell()
        self._compare_policies()

    def _compare_policies(self) -> None:
        view = self._mirror.view
        theirs = "" if view is None else view.policy
        if theirs and theirs not in (self._foreign, self._hello.policy):
            self._foreign = theirs
            logger.warning(
                "circuit %s: another process guards it with another policy; each decides by its own",
                self.name,
                extra={"circuit": self.name, "event": "policy_conflict"},
            )

    # ---- inside ----

    @contextmanager
    def _inside(self) -> Generator[None]:
        with super()._inside():
            self._take_tally()
            yield

    def _new_tally(self) -> None:
        self.tallied = None
        self.tally = count()
        self._tally_read = 0  # what a reading gives if no success has come

    def _take_tally(self) -> None:
        """Put what was tallied where it is sent and read; the lock is held. The next success comes by."""
        self.tallied = None
        read = next(self.tally)
        came, self._tally_read = read - self._tally_read, read + 1
        if came:
            self._mirror.tallied(came, self.now())

    def _begin(self) -> None:
        """The first call says hello; the lock is held."""
        if not self.used:
            self.used = True
            self._mirror.outbox.insert(0, self._hello)

    def _touch(self) -> None:
        if not self.idle:
            self._home.touch(self, urgent=self.urgent)

    def _publish(self, now: float) -> Callable[[], None]:
        """Put what decides now where calls read it; returns what is left to do without the lock."""
        mirror = self._mirror
        mirror.brace()
        by_hand = self._home.loop is not None  # every call by `admit`, to be told of a wrong loop
        if by_hand or not mirror.passes:
            self.era = None
        elif self.era != mirror.admitted:
            self.era = mirror.admitted
        standing = mirror.standing(now)
        self._reason = standing.reason
        blocked = standing.state is OPEN and not self.policy.shadow
        self._blocked_until = now + (standing.retry_after or 0.0) if blocked else -math.inf
        self.blocked_until = -math.inf if by_hand else self._blocked_until
        if standing.state is self._state:
            return _nothing
        change = Transition(self._state, standing.state, mirror.generation, mirror.rule, standing.reason)
        self._state = standing.state
        self._changed_at = now
        event = self._event(change, standing.retry_after, standing.own)
        delivery = DISPATCHER.post(event, self._listeners)

        def tell() -> None:
            log_transition(event)
            DISPATCHER.give_time(delivery)

        return tell

    def after_fork(self) -> None:
        super().after_fork()
        self.used = False
        self._new_tally()
        self._mirror.forked()
        self._publish(self.now())


def _hello(policy: CircuitBreakerPolicy) -> ops.Hello:
    return ops.Hello(reporter="", policy=fingerprint(policy))


def _nothing() -> None:
    """Nothing to tell."""
