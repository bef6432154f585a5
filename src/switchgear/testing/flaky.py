"""A store that misbehaves when told to."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any


class FlakyStore:
    """Any store, disturbed: `FlakyStore(store).error = ConnectionError("down")`.

    The faults may be changed at any time; they hold for every coroutine of the store but `aclose`. `share` of
    the calls, drawn by `seed`, are disturbed.
    """

    def __init__(self, store: object, *, share: float = 1.0, seed: int = 0) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must be in [0, 1], got {share!r}")
        self.wrapped = store
        self.share = share
        self.delay = 0.0
        """Seconds before a call reaches the store."""
        self.error: Exception | None = None
        """Raised in place of asking the store."""
        self.loses_replies = False
        """The store does what it was asked for, and `ConnectionError` is raised all the same."""
        self.hangs = False
        """Calls never end, unless they are cancelled."""
        self._random = Random(seed)

    def heal(self) -> None:
        """No faults from now on."""
        self.delay, self.error, self.loses_replies, self.hangs = 0.0, None, False, False

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.wrapped, name)
        disturbed = inspect.iscoroutinefunction(attribute) and name != "aclose"
        return self._disturbed(attribute) if disturbed else attribute

    def _disturbed(
        self, method: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._random.random() >= self.share:
                return await method(*args, **kwargs)
            await asyncio.sleep(self.delay)
            if self.hangs:
                await asyncio.Event().wait()
            if self.error is not None:
                raise self.error
            answer = await method(*args, **kwargs)
            if self.loses_replies:
                raise ConnectionError("the reply was lost")
            return answer

        return call
