"""`switchgear serve FILE`: runs the gateway until SIGTERM or SIGINT, then drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from switchgear.gateway.config import load_config, unavailable
from switchgear.gateway.config.model import Address
from switchgear.gateway.server import Gateway

if TYPE_CHECKING:
    import argparse

    from switchgear.gateway.config import GatewayConfig


def run(args: argparse.Namespace) -> int:
    """Exit code 0 after a drain, 1 when it can't run, 2 for a bad configuration."""
    loaded = load_config(Path(args.file), os.environ)
    if loaded.config is None:
        for mistake in loaded.mistakes:
            print(mistake.text())
        return 2
    for warning in loaded.warnings:
        print(warning.text(), file=sys.stderr)
    config = _with_options(loaded.config, args)
    missing = unavailable(config, workers=args.workers, watch=args.watch)
    for feature in missing:
        print(f"switchgear: {feature} is not available yet", file=sys.stderr)
    if missing:
        return 1
    logging.basicConfig(
        level=config.log.level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config))


def _with_options(config: GatewayConfig, args: argparse.Namespace) -> GatewayConfig:
    """What the command line says wins over the file."""
    host = config.listen.host if args.host is None else args.host
    port = config.listen.port if args.port is None else args.port
    return replace(config, listen=Address(host, port))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where it is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


async def _serve(config: GatewayConfig) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(config)
    try:
        await gateway.start()
    except OSError as error:
        print(f"switchgear: can't listen on {config.listen}: {error.strerror or error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"switchgear: {error}", file=sys.stderr)
        return 2
    # What start-up made lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    print(f"switchgear listening on http://{gateway.address}", flush=True)
    try:
        await stop.wait()
        await gateway.drain()
    finally:
        with contextlib.suppress(OSError):  # a log on a full disk must not keep the process
            await gateway.close()
    return 0
