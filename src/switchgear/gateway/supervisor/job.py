"""What a worker is told at its start, and what it answers."""

from __future__ import annotations

import os
import pickle
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from switchgear.gateway.config.loading import load_config

if TYPE_CHECKING:
    from switchgear.gateway.config.model import GatewayConfig

_PYTHON: Final = ".py"


@dataclass(frozen=True, slots=True)
class Job:
    """The configuration, or the file to read it from; inherited listening sockets; where the circuits are.

    A replacement gets what its siblings have, also when the file has changed since. Only a Python file is run
    again: its functions can't be handed over.
    """

    config: GatewayConfig | None
    file: str
    listeners: tuple[int, ...]
    circuits: str | None
    """The supervisor's socket; `None` when the configuration says where circuits are."""

    @classmethod
    def of(
        cls, config: GatewayConfig, file: Path, listeners: list[socket.socket], circuits: Path | None
    ) -> Job:
        return cls(
            None if file.suffix.lower() == _PYTHON else config,
            str(file),
            tuple(listener.fileno() for listener in listeners),
            None if circuits is None else str(circuits),
        )

    def pickled(self) -> bytes:
        """For a process of our own, over a pair of sockets that nobody else has."""
        return pickle.dumps(self)

    @staticmethod
    def unpickled(data: bytes) -> Job:
        return cast("Job", pickle.loads(data))

    def load(self) -> GatewayConfig:
        """The configuration. Raises `ValueError` with the mistakes of a file."""
        if self.config is not None:
            return self.config
        loaded = load_config(Path(self.file), os.environ)
        if loaded.config is None:
            raise ValueError("; ".join(mistake.text() for mistake in loaded.mistakes))
        return loaded.config
