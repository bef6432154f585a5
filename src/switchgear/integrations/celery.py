"""Celery: a task that a circuit rejects is sent again when the service may be back, and none is lost.

@app.task(base=CircuitTask, circuit=payments, autoretry_for=(ConnectionError,), max_retries=3)
def charge(order): ...

Needs `switchgear[celery]`.
"""

from __future__ import annotations

import random
import sys
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, cast

from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject, Retry

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState, Permit, Switchgear
from switchgear.stores import CircuitBreakerStore

__all__ = ["CircuitTask", "install"]

if TYPE_CHECKING:
    from celery.app.task import Context

    BaseTask = Task[..., Any]
else:
    BaseTask = Task

WAITED: Final = "switchgear_waited"
"""The header with the seconds that a task has been sent into the future for rejections, in all."""

VISIBLE: Final = 1800.0
"""Seconds that a worker may hold a message, at least: SQS, and RabbitMQ's limit; with Redis it is an hour."""

_OPTIONAL: Final = ("rejection_longest_hop", "rejection_give_up_after")
_DURATIONS: Final = (
    "rejection_spread_min",
    "rejection_spread_max",
    "rejection_unknown_delay",
    *_OPTIONAL,
)


class _Held(NamedTuple):
    """What an open circuit says."""

    state: CircuitState
    retry_after: float | None


_CALL: Final[ContextVar[tuple[CircuitBreaker, Permit] | None]] = ContextVar(
    "switchgear_celery_call", default=None
)
"""The call of its own circuit that a task is."""


def install(app: Celery, circuits: Switchgear, store: CircuitBreakerStore | str) -> None:
    """Share `circuits` through `store` in the workers of `app`.

    It is bound when a worker starts, and what is pending is flushed when one of its processes ends, which a
    pool's processes do without `atexit`. Raises what `store_from_url` raises for a URL with a mistake.
    """
    scope = circuits.open(store)

    def end(**_: object) -> None:
        scope.__exit__(None, None, None)

    def begin(sender: Any, **_: object) -> None:
        if sender.app is app:
            scope.__enter__()
            signals.worker_process_shutdown.connect(end, weak=False)
            signals.worker_shutdown.connect(end, weak=False)

    signals.worker_init.connect(begin, weak=False)


def countdown_of(
    due: float, waited: float, *, shortest: float, longest: float, hop: float, draw: float
) -> float:
    """Seconds until a rejected task is sent again, which the circuit may admit in `due` seconds.

    Tasks come back spread over as long as they have waited (`waited` in earlier rounds), from `shortest` to
    `longest` seconds: what has piled up during an outage then takes about as long to come back, and does not
    come in one burst. `draw` in [0, 1) says where in that time. Never more than `hop` seconds: who has to
    wait longer is rejected once more on the way.
    """
    spread = min(max(waited + due, shortest), longest, hop / 2)
    return min(due, hop - spread) + draw * spread


class CircuitTask(BaseTask):
    """A task base: `CircuitOpenError` sends the task again and does not use up its `max_retries`.

    It does not matter whether the task's own `circuit` rejects it, a breaker in its body, or a client that
    has one. Retries that a task asks for while its own `circuit` is open are not counted either: a probe that
    fails is a retry that the outage asks for. Called directly, or eagerly, nothing can be sent, and the
    rejection is raised.

    Raises `TypeError` and `ValueError` for its options when it is bound to its application.
    """

    abstract = True

    circuit: ClassVar[CircuitBreaker | None] = None
    """The breaker that each run of the task is a call of, if there is one."""
    rejection_spread_min: ClassVar[float] = 1.0
    """Seconds over which rejected tasks come back, at least."""
    rejection_spread_max: ClassVar[float] = 300.0
    """Seconds over which rejected tasks come back, at most."""
    rejection_unknown_delay: ClassVar[float] = 60.0
    """Seconds to wait for a circuit that does not know when it will admit calls: one that is forced open."""
    rejection_longest_hop: ClassVar[float | None] = None
    """Longest countdown in seconds; `None`: half of the broker's visibility timeout. A message that is held
    for longer than that is delivered once more."""
    rejection_give_up_after: ClassVar[float | None] = None
    """Seconds of waiting in all, after which a rejection fails the task; `None`: as long as it takes."""

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        """Celery calls this when the task is bound to its application."""
        given = cast(object, cls.circuit)
        if given is not None and not isinstance(given, CircuitBreaker):
            raise TypeError(f"task {cls.name}: circuit must be a CircuitBreaker or None, got {given!r}")
        for option in _DURATIONS:
            value = getattr(cls, option)
            if value is None and option in _OPTIONAL:
                continue
            if not (isinstance(value, int | float) and value > 0):
                allowed = "a number over 0 (seconds)" + (" or None" if option in _OPTIONAL else "")
                raise ValueError(f"task {cls.name}: {option} must be {allowed}, got {value!r}")
        super().on_bound(app)

    def circuit_for(self, *args: Any, **kwargs: Any) -> CircuitBreaker | None:
        """The breaker for a run with these arguments: `circuit`, unless you override this."""
        return self.circuit

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            breaker = self.circuit_for(*args, **kwargs)
            return self._run(args, kwargs) if breaker is None else self._guarded(breaker, args, kwargs)
        except CircuitOpenError as rejection:
            raise self.retry(exc=rejection) from rejection

    def retry(
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        exc: Exception | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """As Celery's, but nothing is counted for a rejection, or while the task's own circuit is open.

        The countdown is then what the circuit says, and at least `countdown`.
        """
        error = exc or sys.exc_info()[1]
        held = self._held(error) if isinstance(error, Exception) else None
        if held is not None and isinstance(error, Exception):
            again = self._send_again(error, held, args, kwargs, eta, countdown, options)
            if throw:
                raise again
            return again
        return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)

    def _held(self, error: Exception) -> _Held | None:
        """The circuit that holds the task up, if there is one; raises rejections that can't be waited for."""
        call = _CALL.get()
        if call is not None:
            call[1].raised(error)  # now, so that its circuit has changed its state
        alone = self.request.called_directly or self.request.is_eager
        if isinstance(error, CircuitOpenError):
            if alone:
                raise error
            return _Held(error.state, error.retry_after)
        if call is None or alone:
            return None
        now = call[0].snapshot()
        passes = now.shadow or now.state in {CircuitState.CLOSED, CircuitState.DISABLED}
        return None if passes else _Held(now.state, now.retry_after)

    def _send_again(
        self,
        error: Exception,
        held: _Held,
        args: tuple[Any, ...] | None,
        kwargs: dict[str, Any] | None,
        eta: datetime | None,
        countdown: float | None,
        options: dict[str, Any],
    ) -> Retry:
        request = self.request
        waited = _waited(request)
        wait = max(self._countdown(held, waited), countdown or 0.0)
        if self.rejection_give_up_after is not None and waited + wait > self.rejection_give_up_after:
            raise error
        signature = self.signature_from_request(
            request,
            args,
            kwargs,
            retries=request.retries,
            headers={**(request.headers or {}), WAITED: waited + wait},
            **({"countdown": wait} if eta is None else {"eta": eta}),
            **options,
        )
        try:
            signature.apply_async()
        except Exception as trouble:
            if self.acks_late:  # the broker still has the message
                raise Reject(trouble, requeue=True) from trouble
            raise
        return Retry(exc=error, when=cast(Any, eta or wait), sig=signature)

    def _countdown(self, held: _Held, waited: float) -> float:
        due = self.rejection_unknown_delay if held.retry_after is None else held.retry_after
        if held.state is CircuitState.HALF_OPEN:
            due = 0.0  # `retry_after` says when the probe's time is over; mostly it ends much sooner
        hop = self.rejection_longest_hop
        if hop is None:
            options: dict[str, Any] = self.app.conf.broker_transport_options or {}
            hop = options.get("visibility_timeout", VISIBLE) / 2
        return countdown_of(
            due,
            waited,
            shortest=self.rejection_spread_min,
            longest=self.rejection_spread_max,
            hop=hop,
            draw=random.random(),
        )

    # ---- one run ----

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # In a worker Celery has pushed the request. `Task.__call__` would push another one, whose `retry`
        # can't send anything; it is for who calls the task like a function.
        run = super().__call__ if self.request.called_directly else self.run
        return run(*args, **kwargs)

    def _guarded(self, breaker: CircuitBreaker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        permit = breaker.acquire()
        outer = _CALL.set((breaker, permit))
        try:
            result = self._run(args, kwargs)
        except (Retry, Ignore, Reject):  # how a task tells Celery what to do; `retry` has reported the cause
            permit.cancel()
            raise
        except BaseException as error:
            permit.raised(error)
            raise
        finally:
            _CALL.reset(outer)
        permit.returned(result)
        return result


def _waited(request: Context) -> float:
    value = (request.headers or {}).get(WAITED)
    return value if isinstance(value, int | float) and value > 0 else 0.0
