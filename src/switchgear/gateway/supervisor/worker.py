"""A worker: `python -m switchgear.gateway.supervisor.worker CONTROL`, started by the supervisor alone.

`CONTROL` is the descriptor of a socket: the job comes by it, the answer goes by it, and its end is the
supervisor's.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from switchgear.gateway.server import Gateway
from switchgear.gateway.serving import configure_log, loop_factory, serve, stop_signal
from switchgear.gateway.state import released, store_for
from switchgear.gateway.supervisor.control import Control
from switchgear.gateway.supervisor.job import Job
from switchgear.stores.socket.frames import pack_message, receive
from switchgear.stores.socket.store import SocketCircuitStore

if TYPE_CHECKING:
    from switchgear.gateway.config.model import GatewayConfig
    from switchgear.stores import CircuitBreakerStore

logger = logging.getLogger("switchgear")


def main(control: socket.socket) -> int:
    """Exit code 0 after a drain, 1 when it could not run; the supervisor hears why."""
    try:
        job = Job.unpickled(receive(control))
        config = job.load()
        configure_log(config.log.level, one_of_many=True)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_work(job, config, control))
    except Exception as error:  # whatever it is, the supervisor is to say it
        logger.debug("this worker can't run", exc_info=True)
        _tell(control, {"failed": f"{type(error).__name__}: {error}"})
        return 1
    return 0


async def _work(job: Job, config: GatewayConfig, connection: socket.socket) -> None:
    stop = stop_signal()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # reloads come from the supervisor
    listeners = [socket.socket(fileno=descriptor) for descriptor in job.listeners]
    async with released(_store(job, config)) as store:
        gateway = Gateway(config, store=store)
        control = Control(gateway, connection, stop)
        await serve(gateway, stop, lambda: control.tell({"ready": True}), listeners, around=control)


def _store(job: Job, config: GatewayConfig) -> CircuitBreakerStore | None:
    return store_for(config.state) if job.circuits is None else SocketCircuitStore(Path(job.circuits))


def _tell(control: socket.socket, message: dict[str, object]) -> None:
    try:
        control.sendall(pack_message(message))
    except OSError:
        logger.warning("the supervisor is gone")


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
