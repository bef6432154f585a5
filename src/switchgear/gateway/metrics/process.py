"""What a process takes of its machine."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from switchgear.gateway.metrics.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from switchgear.gateway.metrics.families import Sample

WORKER: Final = "0"
"""The name of a gateway's only process."""
_SYSTEM: Final = Path("/proc/self")


def process_samples() -> Iterator[Sample]:
    """Of this process; memory and descriptors only where the system tells them."""
    yield "worker_up", (WORKER,), 1.0
    yield "process_cpu_seconds", (WORKER,), time.process_time()
    with contextlib.suppress(OSError):
        pages = int((_SYSTEM / "statm").read_bytes().split()[1])
        yield "process_resident_memory_bytes", (WORKER,), pages * os.sysconf("SC_PAGE_SIZE")
        yield "process_open_fds", (WORKER,), len(os.listdir(_SYSTEM / "fd"))  # noqa: PTH208 - no objects


def of_worker(samples: Iterable[Sample], name: str) -> Iterator[Sample]:
    """The samples of a process that is one of several; `name` tells it from the others."""
    for family, labels, value in samples:
        yield family, (name,) if FAMILIES[family].labels == ("worker",) else labels, value
