"""Another configuration while the gateway runs: read again when told, or when the file has changed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from switchgear.gateway.metrics.tallies import ReloadTally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from switchgear.gateway.config.loading import Loaded
    from switchgear.gateway.config.model import GatewayConfig

logger = logging.getLogger("switchgear")

INTERVAL: Final = 1.0
"""Seconds between two looks at a watched file.

Looking, not a subscription of the system's: there is one for files and one for directories, different on each
system, none for a path whose links are exchanged on the way, and no one needs to know sooner.
"""

_Place = tuple[str, int, int, int]


class Reloader:
    """Reads a configuration by `read` and hands it to `adopt`, which raises an error for one that can't be
    used. The old one goes on then."""

    def __init__(
        self, file: WatchedFile, read: Callable[[], Loaded], adopt: Callable[[GatewayConfig], Awaitable[None]]
    ) -> None:
        self.tally = ReloadTally(time.time)
        self.tally.begin(file.fingerprint)
        self._file = file
        self._read = read
        self._adopt = adopt
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Reload soon. However often this is asked while a reload is under way, one more follows it."""
        self._asked.set()

    async def run(self) -> None:
        """Reloads whenever asked, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()

    async def watch(self, interval: float = INTERVAL) -> None:
        """Asks whenever the file has changed, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            if await asyncio.to_thread(self._file.has_changed):
                self.ask()

    async def reload(self) -> bool:
        """Whether the configuration was taken."""
        fingerprint = await asyncio.to_thread(lambda: self._file.fingerprint)
        # In a thread: requests go on while a large file is read.
        loaded = await asyncio.to_thread(self._read)
        for warning in loaded.warnings:
            logger.warning("%s", warning.text())
        problems = [mistake.text() for mistake in loaded.mistakes]
        if loaded.config is not None:
            try:
                await self._adopt(loaded.config)
            except Exception as error:  # whatever it is, requests go on as before
                logger.debug("this configuration can't be used", exc_info=True)
                problems = [str(error) or type(error).__name__]
        if problems:
            return self._refuse(problems)
        self.tally.taken(fingerprint)
        logger.info("configuration: reloaded from %s", self._file.path)
        return True

    def _refuse(self, problems: list[str]) -> bool:
        self.tally.refused()
        for problem in problems:
            logger.error("%s", problem)
        logger.error("configuration: %s is refused, the one before goes on", self._file.path)
        return False


class WatchedFile:
    """Tells when the content behind a path has changed, also when it is another file that stands there now.

    In Kubernetes a mounted file is a link through a directory `..data`, itself a link that is exchanged: the
    path stays the same, where it leads does not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = self._look()
        self._settled = self._place
        self._known = self.fingerprint

    def has_changed(self) -> bool:
        """Since it was asked last. A change is told when nothing more has happened between two questions: a
        file is not read while it is written."""
        place, self._place = self._place, self._look()
        if self._place is None or place != self._place or place == self._settled:
            return False
        self._settled = place
        known, self._known = self._known, self.fingerprint
        return known != self._known

    @property
    def fingerprint(self) -> str:
        """Of the content; empty when there is none."""
        try:
            return hashlib.blake2b(self.path.read_bytes(), digest_size=8).hexdigest()
        except OSError:
            return ""

    def _look(self) -> _Place | None:
        try:
            real = self.path.resolve(strict=True)
            status = real.stat()
        except OSError:  # in the middle of an exchange
            return None
        return str(real), status.st_ino, status.st_mtime_ns, status.st_size


def with_fixed(config: GatewayConfig, before: GatewayConfig) -> GatewayConfig:
    """What can't change while the gateway runs stays as it is, and is named."""
    if config.state != before.state:
        logger.warning("state: another place for circuits is taken at the next start; until then the old one")
    return replace(config, state=before.state)
