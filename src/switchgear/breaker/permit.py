"""The permission for one call, for code that reports by hand."""

from __future__ import annotations

import contextlib
import logging
from types import TracebackType
from typing import Self

from switchgear.breaker.circuit import UNTIMED, Circuit, Grant
from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS, Leased, Outcome
from switchgear.breaker.outcome import (
    LONGEST_KEPT,
    asked_for,
    carries_nothing,
    gist,
    is_bare,
    is_cancellation,
    judge_error,
)
from switchgear.breaker.policy import seconds
from switchgear.breaker.state import CircuitState
from switchgear.errors import CircuitOpenError

logger = logging.getLogger("switchgear")


class Permit:
    """The permission for one call: report its end once; the first report counts, later ones change nothing.

    Also a context manager: an exception is judged by the policy, its absence is a success. A permit that is
    thrown away without a report is cancelled, and logged.
    """

    __slots__ = ("__weakref__", "_circuit", "_grant", "_pending", "_started")

    def __init__(self, circuit: Circuit, grant: Grant) -> None:
        self._circuit = circuit
        self._grant = grant
        self._started = circuit.now() if circuit.timed else UNTIMED
        # Taking the one element is atomic, with and without a GIL: of two threads that report, one wins.
        self._pending: list[Grant] = [grant]

    @property
    def probe(self) -> bool:
        """Whether this call is a probe of a circuit that is not closed."""
        return isinstance(self._grant, Leased)

    @property
    def generation(self) -> int:
        """The generation of the circuit that the call was admitted in."""
        return self._grant.generation

    @property
    def outdated(self) -> bool:
        """Whether how the call ends is evidence no more: it was admitted in a generation that is over."""
        return self._circuit.outdated(self._grant)

    @property
    def slow(self) -> bool:
        """Whether it was given longer ago than `slow_call_duration`, if that is set."""
        longest = self._circuit.policy.slow_call_duration
        return longest is not None and self._circuit.now() - self._started > seconds(longest)

    @property
    def state(self) -> CircuitState:
        """The circuit's state now."""
        return self._circuit.state

    def success(self) -> None:
        """The service answered (slowly, if longer after the permit than `slow_call_duration`)."""
        try:
            grant = self._pending.pop()  # `_take`, without the call: this is what nearly every permit hears
        except IndexError:
            return
        if self._circuit.calm is not grant:
            self._circuit.succeed(grant, self._started)

    def failure(
        self,
        error: BaseException | str | None = None,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """The call failed, whatever the policy would say of `error`; but a `CircuitOpenError` is no evidence.

        `reason`: the same in words, where there is no error. `retry_after`: seconds that the upstream asks
        for; without it the policy's `retry_after_from` reads `error`, if that is an exception.
        """
        if isinstance(error, CircuitOpenError):
            self.ignore()  # a rejection says nothing about the service, whoever reports it
            return
        error = reason if error is None else error
        grant = self._take()
        if grant is None:
            return
        if retry_after is None and isinstance(error, BaseException):
            try:
                retry_after = asked_for(self._circuit.policy.retry_after_from, error)
            except BaseException as wrong:
                self._circuit.settle(grant, FAILURE, self._started, wrong)
                raise
        if retry_after is None and error is not None:
            self._circuit.fail(grant, self._started, gist(error))
        else:
            self._circuit.settle(grant, FAILURE, self._started, error, retry_after)

    def cancel(self) -> None:
        """The call says nothing about the service: its lease is given back, nothing is counted.

        With `slow_call_duration` set, a call that was given up after it is a failure: a dependency that hangs
        must open the circuit.
        """
        grant = self._take()
        if grant is not None:
            self._circuit.cancel(grant, self._started)

    def ignore(self) -> None:
        """The call says nothing about the service, however long it lasted: it ended before it reached it.

        As an exception of the policy's `ignore`; unlike `cancel`, nobody gave up waiting for the service.
        """
        grant = self._take()
        if grant is not None:
            self._circuit.settle(grant, INCONCLUSIVE, UNTIMED)

    def pause(self) -> None:
        """The service has answered up to here, and now it is the caller's turn: that time is not the
        service's.

        For answers that come in pieces: with `pause` after each piece and `resume` before the next one,
        `slow_call_duration` limits each wait for the service, and not how long a stream lasts or how slowly
        it is read. A call that was slow stays so.
        """
        slow = self._circuit.policy.slow_call_duration
        if slow is not None and self._circuit.now() - self._started <= seconds(slow):
            self._started = UNTIMED

    def resume(self) -> None:
        """The caller waits for the service again, which is timed anew (`pause`)."""
        if self._started == UNTIMED and self._circuit.timed:
            self._started = self._circuit.now()

    def raised(self, error: BaseException) -> None:
        """The call raised `error`: failure, answer or no evidence, as the policy says."""
        grant = self._take()
        if grant is not None:
            settle_error(self._circuit, grant, self._started, error)

    def returned(self, result: object) -> Outcome:
        """The call returned `result`: `failure_if` decides. Returns what it was taken for."""
        grant = self._take()
        if grant is None:
            return INCONCLUSIVE
        return settle_result(self._circuit, grant, self._started, result)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.success()
        else:
            self.raised(error)

    def __del__(self) -> None:
        try:
            unsettled = self._pending
        except AttributeError:
            return  # its construction failed
        if unsettled:
            with contextlib.suppress(Exception):  # the interpreter may be half gone
                self.cancel()
                logger.warning(
                    "circuit %s: a permit was thrown away without success(), failure() or cancel()",
                    self._circuit.name,
                    extra={"circuit": self._circuit.name},
                )

    def _take(self) -> Grant | None:
        try:
            return self._pending.pop()
        except IndexError:
            return None


def settle_error(circuit: Circuit, grant: Grant, started: float, error: BaseException) -> None:
    """Report a call that raised. What the policy's predicates raise counts as a failure and goes through.

    `settle_judged` without all that has no use where a policy looks at types alone and the error carries
    nothing like a status: nearly every call that fails. An error of a `familiar` type can carry one only
    among its own attributes, and nearly always has none.
    """
    kind = type(error)
    try:
        if circuit.plain and ((kind is circuit.familiar and not error.__dict__) or _unmarked(circuit, error)):
            text = str(error)
        else:
            text = None
    except Exception:  # an attribute or a `__str__` that raises: there are more careful ways to look
        text = None
    if text is not None and len(text) <= LONGEST_KEPT:
        circuit.fail(grant, started, (kind, text))
    else:
        settle_judged(circuit, grant, started, error)


def _unmarked(circuit: Circuit, error: BaseException) -> bool:
    """Whether nothing about `error` tells of anything but a failure. Its type is familiar from then on, if it
    `is_bare`.
    """
    if not carries_nothing(error):
        return False
    kind: type = type(error)
    if is_bare(kind):
        circuit.familiar = kind
    return True


def settle_judged(circuit: Circuit, grant: Grant, started: float, error: BaseException) -> None:
    """`settle_error` for any error under any policy."""
    if is_cancellation(error):
        circuit.cancel(grant, started)
        return
    policy = circuit.policy
    try:
        outcome = judge_error(policy, error)
        wait = asked_for(policy.retry_after_from, error) if outcome is FAILURE else None
    except BaseException as wrong:
        circuit.settle(grant, FAILURE, started, wrong)
        raise
    if outcome is not SUCCESS or circuit.calm is not grant:
        circuit.settle(grant, outcome, started, error if outcome is FAILURE else None, wait)


def settle_result(circuit: Circuit, grant: Grant, started: float, result: object) -> Outcome:
    """Report a call that returned."""
    policy = circuit.policy
    if policy.failure_if is None:
        if circuit.calm is not grant:
            circuit.succeed(grant, started)
        return SUCCESS
    try:
        failed = bool(policy.failure_if(result))
        wait = asked_for(policy.retry_after_from, result) if failed else None
    except BaseException as wrong:
        circuit.settle(grant, FAILURE, started, wrong)
        raise
    outcome = FAILURE if failed else SUCCESS
    text = f"{type(result).__name__}: failure_if says that it is a failure" if failed else None
    circuit.settle(grant, outcome, started, text, wait)
    return outcome
