"""`switchgear serve FILE`: runs the gateway until SIGTERM or SIGINT, then drains."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from switchgear.admin.operation import Operation
from switchgear.gateway.config import load_config
from switchgear.gateway.config.model import Address
from switchgear.gateway.reload import WatchedFile
from switchgear.gateway.server import Gateway
from switchgear.gateway.serving import configure_log, loop_factory, serve, stop_signal
from switchgear.gateway.state import released, store_for, usable
from switchgear.gateway.tls import listener_context

if TYPE_CHECKING:
    import argparse

    from switchgear.gateway.config import GatewayConfig
    from switchgear.gateway.config.loading import Loaded

logger = logging.getLogger("switchgear")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 after a drain, 1 when it can't run, 2 for a bad configuration, 3 without its store."""
    file = WatchedFile(Path(args.file))  # before it is read: no change of it is overlooked
    loaded = _read(args)
    config = loaded.config
    if config is None:
        for mistake in loaded.mistakes:
            print(mistake.text())
        return 2
    for warning in loaded.warnings:
        print(warning.text(), file=sys.stderr)
    several = args.workers > 1
    configure_log(config.log.level, one_of_many=several)
    # The supervisor waits for processes most of the time, and uvloop can't give them a group of their own.
    with asyncio.Runner(loop_factory=None if several else loop_factory()) as runner:
        return runner.run(_run(config, file, args))


def _read(args: argparse.Namespace) -> Loaded:
    """What the file says now; what the command line says wins."""
    loaded = load_config(Path(args.file), os.environ)
    config = loaded.config
    if config is None:
        return loaded
    host = config.listen.host if args.host is None else args.host
    port = config.listen.port if args.port is None else args.port
    return replace(loaded, config=replace(config, listen=Address(host, port)))


async def _run(config: GatewayConfig, file: WatchedFile, args: argparse.Namespace) -> int:
    stop = stop_signal()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # until there is something to reload
    try:
        if not await usable(config.state):
            if args.require_state:
                return 3
            logger.warning("circuits go on by each process's own evidence until their store can be used")
        if args.workers > 1:
            return await _supervise(config, file, args, stop)
        return await _serve(config, file, args, stop)
    except ImportError as error:
        print(f"switchgear: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"switchgear: {_reason(error, config.listen)}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"switchgear: {error}", file=sys.stderr)
        return 2


def _reason(error: OSError, listen: Address) -> str:
    reason = error.strerror or str(error)
    if reason.startswith("can't listen"):
        return reason
    where = f"can't listen on {listen}" if error.filename is None else error.filename  # of the access log
    return f"{where}: {reason}"


async def _serve(
    config: GatewayConfig, file: WatchedFile, args: argparse.Namespace, stop: asyncio.Event
) -> int:
    async with released(store_for(config.state)) as store:
        gateway = Gateway(config, store=store)
        operation = Operation(gateway, file, lambda: _read(args), watch=args.watch)
        await serve(gateway, stop, lambda: _announce(config, gateway.address), around=operation)
    return 0


async def _supervise(
    config: GatewayConfig, file: WatchedFile, args: argparse.Namespace, stop: asyncio.Event
) -> int:
    # Late: only several workers need it.
    from switchgear.gateway.supervisor.listening import listening
    from switchgear.gateway.supervisor.supervisor import Supervisor

    listener_context(config.tls)  # a file that can't be used is told once, as a mistake, not by each worker
    with listening(config.listen) as listeners:
        supervisor = Supervisor(config, file.path, args.workers, listeners)
        operation = Operation(supervisor, file, lambda: _read(args), watch=args.watch)
        return 0 if await supervisor.run(stop, partial(_announce, config), operation) else 1


def _announce(config: GatewayConfig, address: Address) -> None:
    scheme = "http" if config.tls is None or config.tls.cert is None else "https"
    print(f"switchgear listening on {scheme}://{address}", flush=True)
