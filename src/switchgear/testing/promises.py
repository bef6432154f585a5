"""What makes a contract of a class of tests: each belongs to a promise, and a store may declare that it lacks
some.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, Final, TypeVar

LONGEST: Final = 30.0
"""Seconds that a store may take for one test."""

Scenario = Callable[[Any, Any], Coroutine[Any, Any, None]]
T = TypeVar("T", bound=Callable[..., object])


def promise(name: str) -> Callable[[Scenario], Callable[[Any, Any], None]]:
    """A test of the promise `name`: an event loop of its own, and the store closed at the end.

    A plain function for pytest: no plug-in for async tests is needed.
    """

    def make(scenario: Scenario) -> Callable[[Any, Any], None]:
        async def run(contract: Any, store: Any) -> None:
            try:
                async with asyncio.timeout(LONGEST):
                    await scenario(contract, store)
            finally:
                close = getattr(store, "aclose", None)
                if close is not None:
                    await close()

        def test(self: Any, store: Any) -> None:
            asyncio.run(run(self, store))

        return promised(name)(_like(test, scenario))

    return make


def promised(name: str) -> Callable[[T], T]:
    """Says which promise a test belongs to."""

    def mark(test: T) -> T:
        test.promise = name  # type: ignore[attr-defined]  # a function takes attributes
        return test

    return mark


def _like(test: Callable[[Any, Any], None], scenario: Scenario) -> Callable[[Any, Any], None]:
    # Not `functools.wraps`: pytest would look through it and find a coroutine function.
    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    test.__qualname__, test.__module__ = scenario.__qualname__, scenario.__module__
    return test


class Contract:
    """Tests that any store must pass. A subclass has a fixture `store`, which gives a fresh one.

    `lacks`: promises that the store does not give. Their tests are not there at all: what is declared is
    neither skipped nor expected to fail.
    """

    lacks: ClassVar[Iterable[str]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        tests = [name for name in dir(cls) if name.startswith("test_")]
        promises = {name: str(getattr(getattr(cls, name), "promise", "")) for name in tests}
        unknown = sorted(set(cls.lacks) - set(promises.values()))
        if unknown:
            raise TypeError(
                f"{cls.__name__}.lacks has no promise {', '.join(map(repr, unknown))}: "
                f"there are {', '.join(sorted(set(promises.values()) - {''}))}"
            )
        for name, promise in promises.items():
            if promise in cls.lacks:
                setattr(cls, name, None)
