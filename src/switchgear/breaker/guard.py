"""Wrapping a function so that a breaker guards each call: one wrapper per colour.

The wrappers are twins that differ by `await` and `yield`. What they share, the judgement of an outcome,
stands in `permit.py`. Everything that a healthy call touches is a local, a cell or one attribute; no permit
object is made.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Final, Protocol

from switchgear.breaker.circuit import UNTIMED, Circuit, Grant
from switchgear.breaker.colour import Colour, colour_of
from switchgear.breaker.machine import SUCCESS
from switchgear.breaker.permit import Permit, settle_error, settle_result

Keep = Callable[[Any, tuple[Any, ...], dict[str, Any]], None]
"""Takes a good answer and the arguments that it was given for."""

# What is being handled: never `None` where it is asked.
_raised: Final[Callable[[], Any]] = sys.exception

# Results that need no look for `__await__`.
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple, set, frozenset})


class Guarded(Protocol):
    """What has a circuit. It may change from call to call: a store can be bound late."""

    circuit: Circuit


def guard(breaker: Guarded, fn: Callable[..., Any], keep: Keep | None = None) -> Callable[..., Any]:
    """`fn`, guarded; signature and colour stay. `keep` is given every good answer."""
    return functools.update_wrapper(guard_bare(breaker, fn, colour_of(fn), keep), fn)


def guard_bare(
    breaker: Guarded, fn: Callable[..., Any], colour: Colour, keep: Keep | None = None
) -> Callable[..., Any]:
    """Like `guard`, without the name and signature of `fn`: they cost more than a whole call."""
    match colour:
        case Colour.SYNC:
            return _guard_sync(breaker, fn, keep)
        case Colour.ASYNC:
            return _guard_async(breaker, fn, keep)
        case Colour.GENERATOR:
            return _guard_generator(breaker, fn)
        case Colour.ASYNC_GENERATOR:
            return _guard_async_generator(breaker, fn)


# One frame and one clause: a function or a type of exceptions more is a twentieth of what a failure costs.
def _guard_sync(  # noqa: C901
    breaker: Guarded, fn: Callable[..., Any], keep: Keep | None
) -> Callable[..., Any]:
    plain = _PLAIN

    def guarded(*args: Any, **kwargs: Any) -> Any:
        circuit = breaker.circuit
        grant: Grant | None = circuit.era
        if grant is None:
            wait = circuit.blocked_until - circuit.now()
            if wait > 0:
                raise circuit.refusal(wait)
            grant = circuit.admit()
        started = circuit.now() if circuit.timed else UNTIMED
        try:
            result = fn(*args, **kwargs)
        except:  # not `as error`: to forget that name again raises the error once more
            settle_error(circuit, grant, started, _raised())
            raise
        if type(result) not in plain and hasattr(result, "__await__"):
            return _awaited(
                Permit(circuit, grant), result, keep and functools.partial(_kept, keep, args, kwargs)
            )
        if keep is None:
            if circuit.calm is grant:
                return result
            if circuit.tallied is grant:
                next(circuit.tally)  # half of what a bound `__next__` costs
                return result
            if not circuit.reads_results:
                circuit.succeed(grant, started)
                return result
        if settle_result(circuit, grant, started, result) is SUCCESS and keep is not None:
            keep(result, args, kwargs)
        return result

    return guarded


def _guard_async(
    breaker: Guarded, fn: Callable[..., Awaitable[Any]], keep: Keep | None
) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        circuit = breaker.circuit
        grant: Grant | None = circuit.era
        if grant is None:
            wait = circuit.blocked_until - circuit.now()
            if wait > 0:
                raise circuit.refusal(wait)
            grant = await circuit.admit_async()
        started = circuit.now() if circuit.timed else UNTIMED
        try:
            result = await fn(*args, **kwargs)
        except:  # not `as error`: to forget that name again raises the error once more
            settle_error(circuit, grant, started, _raised())
            raise
        if keep is None:
            if circuit.calm is grant:
                return result
            if circuit.tallied is grant:
                next(circuit.tally)  # half of what a bound `__next__` costs
                return result
            if not circuit.reads_results:
                circuit.succeed(grant, started)
                return result
        if settle_result(circuit, grant, started, result) is SUCCESS and keep is not None:
            keep(result, args, kwargs)
        return result

    return guarded


async def _awaited(permit: Permit, work: Awaitable[Any], keep: Callable[[Any], None] | None) -> Any:
    """The rest of a call whose sync function returned an awaitable: its outcome is that of awaiting it."""
    try:
        result = await work
    except BaseException as error:
        permit.raised(error)
        raise
    if permit.returned(result) is SUCCESS and keep is not None:
        keep(result)
    return result


def _kept(keep: Keep, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    keep(result, args, kwargs)


def _guard_generator(breaker: Guarded, fn: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        circuit = breaker.circuit
        permit = Permit(circuit, circuit.era or circuit.admit())
        try:
            result = yield from fn(*args, **kwargs)
        except GeneratorExit:
            permit.success()  # only a generator that has given an item can be abandoned here
            raise
        except BaseException as error:
            permit.raised(error)
            raise
        permit.success()
        return result

    return guarded


def _guard_async_generator(
    breaker: Guarded, fn: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        circuit = breaker.circuit
        permit = Permit(circuit, circuit.era or await circuit.admit_async())
        items = fn(*args, **kwargs)
        try:
            item = await anext(items)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:
                    item = await items.athrow(thrown)
                else:
                    item = await items.asend(sent)
        except StopAsyncIteration:
            permit.success()
        except GeneratorExit:
            permit.success()
            await items.aclose()
            raise
        except BaseException as error:
            permit.raised(error)
            raise

    return guarded
