"""A client of any host library, as the contract drives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Driver(ABC):
    """One client with breakers; sync ones work in threads, so that one contract holds for all."""

    broad: type[Exception]
    """The library's error for requests that were not completed."""
    rejection: type[CircuitOpenError]
    makes_responses = True
    """Whether `on_open="response"` is possible."""

    @abstractmethod
    def __init__(
        self, breakers: BreakerFamily | CircuitBreaker, timeout: float = 60, **options: Any
    ) -> None: ...

    @abstractmethod
    async def get(self, url: str) -> Reply:
        """Read a whole answer, following redirects."""

    @abstractmethod
    async def peek(self, url: str) -> bytes:
        """The first piece of a body that has more, and then close the answer."""

    @abstractmethod
    async def read_slowly(self, url: str, think: Callable[[], None]) -> bytes:
        """A whole body, with a pause for `think` after its first piece."""

    @abstractmethod
    async def status(self, url: str) -> int:
        """The status of an answer that is then thrown away, unread."""

    @abstractmethod
    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()
