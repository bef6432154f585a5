"""Which kind of function is being guarded."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any


class Colour(Enum):
    SYNC = "sync"
    ASYNC = "async"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


_TESTS = (
    (inspect.iscoroutinefunction, Colour.ASYNC),
    (inspect.isasyncgenfunction, Colour.ASYNC_GENERATOR),
    (inspect.isgeneratorfunction, Colour.GENERATOR),
)
_COLOURED = (
    inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
)


def colour_of(fn: Callable[..., Any]) -> Colour:
    """The colour of a function, method, `partial` or object with `__call__`."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    for candidate in (fn, getattr(fn, "__call__", None)):  # noqa: B004  # its colour is asked for
        for test, colour in _TESTS:
            if test(candidate):
                return colour
    return Colour.SYNC


def surely_sync(fn: Callable[..., Any]) -> bool:
    """A quick yes for ordinary functions; a no means: ask `colour_of`."""
    code = getattr(fn, "__code__", None)
    # A sync function marked as a coroutine function returns an awaitable, and that is seen when it does.
    return code is not None and not code.co_flags & _COLOURED
