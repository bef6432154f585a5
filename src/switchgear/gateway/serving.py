"""What every process that serves does, alone or as one of several: its log, its event loop, its good end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from switchgear.gateway.server import Gateway

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FORMAT_OF_ONE: Final = "%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"


def configure_log(level: str, *, one_of_many: bool = False) -> None:
    """The program's log goes to standard error; of several processes each line says which."""
    logging.basicConfig(level=level.upper(), format=_FORMAT_OF_ONE if one_of_many else _FORMAT)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where it is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT from now on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def settle_memory() -> None:
    """What a configuration was made into lives long: the collector need not look at it again and again."""
    gc.unfreeze()  # what is left of an earlier one
    gc.collect()
    gc.freeze()


async def serve(
    gateway: Gateway,
    stop: asyncio.Event,
    started: Callable[[], None],
    listeners: Sequence[socket.socket] = (),
    around: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Runs until `stop` is set, then drains; `around` is entered for that time.

    Raises what `Gateway.start` and entering `around` do.
    """
    try:
        await gateway.start(listeners)
        async with around or contextlib.nullcontext():
            settle_memory()
            started()
            await stop.wait()
            await gateway.drain()
    finally:
        with contextlib.suppress(OSError):  # a log on a full disk must not keep the process
            await gateway.close()
