"""What an operator has of a running gateway: its listener, reloads, signals."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final, Protocol, Self

from switchgear.gateway.reload import Reloader
from switchgear.gateway.serving import settle_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.admin.server import AdminServer
    from switchgear.gateway.config.loading import Loaded
    from switchgear.gateway.config.model import Admin, GatewayConfig
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.reload import WatchedFile

_SIGNALS: Final = (signal.SIGHUP, signal.SIGUSR1)


class Operable(Protocol):
    """A gateway: that of this process, or several workers."""

    @property
    def config(self) -> GatewayConfig: ...
    @property
    def ready(self) -> bool: ...
    async def pictures(self) -> list[list[Sample]]: ...
    async def adopt(self, config: GatewayConfig) -> None: ...
    def reopen_log(self) -> None: ...


class Operation:
    """For as long as a gateway runs: SIGHUP reloads, SIGUSR1 opens the access log anew.

    `read` gives what the file says now; with `watch` it is read again whenever it has changed. Entering
    raises what `AdminServer.adopt` does.
    """

    def __init__(
        self, gateway: Operable, file: WatchedFile, read: Callable[[], Loaded], *, watch: bool = False
    ) -> None:
        self._gateway = gateway
        self._watch = watch
        self._reloader = Reloader(file, read, self._adopt)
        self._admin: AdminServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number, act in zip(_SIGNALS, (self._reloader.ask, self._gateway.reopen_log), strict=True):
            loop.add_signal_handler(number, act)
        await self._listen(self._gateway.config.admin)
        self._tasks.append(loop.create_task(self._reloader.run()))
        if self._watch:
            self._tasks.append(loop.create_task(self._reloader.watch()))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._admin is not None:
            await self._admin.close()

    # ---- for the operator's listener

    @property
    def ready(self) -> bool:
        return self._gateway.ready

    async def pictures(self) -> list[list[Sample]]:
        return [list(self._reloader.tally.samples()), *await self._gateway.pictures()]

    # ---- inside

    async def _adopt(self, config: GatewayConfig) -> None:
        before = self._gateway.config
        await self._listen(config.admin)
        try:
            await self._gateway.adopt(config)
        except BaseException:
            await self._listen(before.admin)
            raise
        logging.getLogger().setLevel(config.log.level.upper())
        settle_memory()

    async def _listen(self, admin: Admin | None) -> None:
        if admin is not None and self._admin is None:
            # Late: who has no listener for operators need not load what renders metrics.
            from switchgear.admin.server import AdminServer

            self._admin = AdminServer(self)
        if self._admin is not None:
            await self._admin.adopt(admin)
