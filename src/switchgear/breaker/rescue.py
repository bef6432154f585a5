"""Answers for calls that were rejected: the last good one, or the caller's own fallback."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from switchgear.breaker.colour import Colour, colour_of
from switchgear.breaker.forks import ForkableLock
from switchgear.breaker.guard import Guarded, guard
from switchgear.breaker.policy import is_count, is_exception_type

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]
KeyFunction = Callable[..., Hashable]

_MISSING = object()
_SEPARATOR = object()  # between positional and keyword arguments in a key


class LastGood:
    """The last good answer per key: at most `size`, each for `max_age` seconds; the oldest goes first."""

    def __init__(self, max_age: float, size: int, clock: Callable[[], float]) -> None:
        if not is_count(size):
            raise ValueError(f"stale_size must be an integer of at least 1, got {size!r}")
        self._max_age = max_age
        self._size = size
        self._clock = clock
        self._lock = ForkableLock()
        self._answers: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def keep(self, key: Hashable, answer: Any) -> None:
        with self._lock:
            self._answers[key] = (self._clock(), answer)
            self._answers.move_to_end(key)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)

    def get(self, key: Hashable, default: Any) -> Any:
        with self._lock:
            kept = self._answers.get(key)
            if kept is None or self._clock() - kept[0] > self._max_age:
                return default
            return kept[1]


def argument_key(*args: Any, **kwargs: Any) -> Hashable:
    """The key of a call: its arguments; `f(1)` and `f(1.0)` share one, as in any dict."""
    return (*args, _SEPARATOR, *sorted(kwargs.items()))


class Rescue:
    """What to answer instead of an error of the types `on`: first the last good answer, then `fallback`."""

    def __init__(
        self,
        on: ErrorTypes,
        fallback: Callable[..., Any] | None,
        last_good: LastGood | None,
        key: KeyFunction,
    ) -> None:
        types = on if isinstance(on, tuple) else (on,)
        if not all(map(is_exception_type, types)):
            raise TypeError(f"on= takes an exception type or a tuple of them, got {on!r}")
        for name, given in (("fallback", fallback), ("key", key)):
            if given is not None and not callable(given):
                raise TypeError(f"{name}= takes a callable, got {given!r}")
        self.on = on
        self.fallback = fallback
        self._last_good = last_good
        self._key = key

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """The call's key; `TypeError` before the call when it can't be one, not first during an outage."""
        if self._last_good is None:
            return None
        key = self._key(*args, **kwargs)
        try:
            hash(key)
        except TypeError as error:
            raise TypeError(f"stale= needs hashable arguments ({error}); choose a key with key=") from None
        return key

    def keep(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._last_good is not None:
            self._last_good.keep(self._key(*args, **kwargs), result)

    def answer(
        self, error: BaseException, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The answer instead of `error`, or `error` again."""
        if self._last_good is not None:
            kept = self._last_good.get(key, _MISSING)
            if kept is not _MISSING:
                return kept
        if self.fallback is None:
            raise error
        return self.fallback(error, *args, **kwargs)


def guard_with_rescue(breaker: Guarded, fn: Callable[..., Any], rescue: Rescue) -> Callable[..., Any]:
    """`fn`, guarded, with other answers for rejected calls. `TypeError` where these make no sense."""
    colour = colour_of(fn)
    if colour in (Colour.GENERATOR, Colour.ASYNC_GENERATOR):
        raise TypeError(
            f"fallback= and stale= need one answer per call; {_name(fn)} is {_article(colour)} function"
        )
    if colour is Colour.ASYNC:
        return _rescued_async(fn, guard(breaker, fn, rescue.keep), rescue)
    if rescue.fallback is not None and colour_of(rescue.fallback) is not Colour.SYNC:
        raise TypeError(f"the fallback {_name(rescue.fallback)} is async, but {_name(fn)} is a sync function")
    return _rescued_sync(fn, guard(breaker, fn, rescue.keep), rescue)


def _rescued_sync(fn: Callable[..., Any], guarded: Callable[..., Any], rescue: Rescue) -> Callable[..., Any]:
    @functools.wraps(fn)
    def rescued(*args: Any, **kwargs: Any) -> Any:
        key = rescue.key(args, kwargs)
        try:
            result = guarded(*args, **kwargs)
        except rescue.on as error:
            return rescue.answer(error, key, args, kwargs)
        # A sync function that returns an awaitable fails when that is awaited.
        return (
            _rescue_awaitable(result, rescue, key, args, kwargs) if hasattr(result, "__await__") else result
        )

    return rescued


def _rescued_async(fn: Callable[..., Any], guarded: Callable[..., Any], rescue: Rescue) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def rescued(*args: Any, **kwargs: Any) -> Any:
        key = rescue.key(args, kwargs)
        return await _rescue_awaitable(guarded(*args, **kwargs), rescue, key, args, kwargs)

    return rescued


async def _rescue_awaitable(
    work: Awaitable[Any], rescue: Rescue, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        return await work
    except rescue.on as error:
        answer = rescue.answer(error, key, args, kwargs)
        return await answer if hasattr(answer, "__await__") else answer


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def _article(colour: Colour) -> str:
    return ("an " if colour.value.startswith("a") else "a ") + colour.value
