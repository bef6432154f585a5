"""A store in use for a `with` block."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from switchgear.stores.memory import InMemoryCircuitBreakerStore
from switchgear.stores.protocol import CircuitBreakerStore, checked_store
from switchgear.stores.url import store_from_url


class StoreScope:
    """Binds a store at the start of a block, flushes and releases it at the end; sync and async.

    At the end the store is closed too, if it has `aclose()`.
    """

    def __init__(
        self, bind: Callable[[CircuitBreakerStore | None], None], store: CircuitBreakerStore | str
    ) -> None:
        self._bind = bind
        self._store = store_from_url(store) if isinstance(store, str) else checked_store(store)

    def __enter__(self) -> CircuitBreakerStore:
        self._bind(self._store)
        return self._store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bind(None)
        if not isinstance(self._store, InMemoryCircuitBreakerStore):
            from switchgear.stores.sharing import release

            release(self._store)

    async def __aenter__(self) -> CircuitBreakerStore:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio

        # Waiting for the pump blocks: in a thread, so that the event loop goes on meanwhile.
        await asyncio.to_thread(self.__exit__, kind, error, traceback)
