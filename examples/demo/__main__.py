"""Starts services, gateway and traffic, and tells what happens until the time is over or Ctrl-C comes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

from examples.demo import report
from examples.demo.services import SERVICES, running
from examples.demo.traffic import Traffic
from switchgear import TransitionEvent
from switchgear.gateway.config import GatewayConfig, load_config
from switchgear.gateway.config.nodes import ScalarNode
from switchgear.gateway.config.quantities import DURATION
from switchgear.gateway.server import Gateway

PATHS: Final = ("/catalog", "/search", "/payments/7")
RATE: Final = 30.0
"""Requests a second in all."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument(
        "--for", dest="seconds", type=_duration, metavar="TIME", help="such as 20s; else endless"
    )
    asyncio.run(demonstrate(parser.parse_args().seconds))
    return 0


async def demonstrate(seconds: float | None) -> None:
    """Runs the demo for that long, or until SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def elapsed() -> float:
        return loop.time() - start

    async with contextlib.AsyncExitStack() as stack:
        ports = {s.name: await stack.enter_async_context(running(s, elapsed)) for s in SERVICES}
        gateway = Gateway(load(ports))
        await gateway.start()
        stack.push_async_callback(gateway.close)
        _say(f"The gateway listens on http://{gateway.address}. Try it from another terminal:")
        _say(f"  curl -i http://{gateway.address}{PATHS[0]}")
        await _watch(gateway, elapsed, stop, seconds)
        await gateway.drain()


def load(ports: Mapping[str, int]) -> GatewayConfig:
    """The demo's configuration, by the loader that `switchgear serve` uses."""
    environ = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    loaded = load_config(Path(__file__).with_name("gateway.yaml"), {**environ, "GATEWAY_PORT": "0"})
    if loaded.config is None:
        sys.exit("\n".join(mistake.text() for mistake in loaded.mistakes))
    return loaded.config


async def _watch(
    gateway: Gateway, elapsed: Callable[[], float], stop: asyncio.Event, seconds: float | None
) -> None:
    events: list[TransitionEvent] = []

    def on_transition(event: TransitionEvent) -> None:
        events.append(event)
        _say(report.transition(event))

    gateway.circuits.on_transition(on_transition)
    traffic = Traffic(gateway.address, PATHS, RATE)
    async with asyncio.TaskGroup() as group:
        tasks = (
            group.create_task(traffic.run()),
            group.create_task(_tell(gateway, traffic, elapsed)),
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
        for task in tasks:
            task.cancel()
    _say(report.summary(traffic.counts, events))


async def _tell(gateway: Gateway, traffic: Traffic, elapsed: Callable[[], float]) -> None:
    """Tells what the last second brought, and what the services are up to."""
    before = Counter(traffic.counts)
    moods = {service.name: service.mood_at(0) for service in SERVICES}
    while True:
        for service in SERVICES:
            now = service.mood_at(elapsed())
            if now is not moods[service.name]:
                moods[service.name] = now
                _say(report.mood(service, now))
        await asyncio.sleep(1 - elapsed() % 1)
        counts = Counter(traffic.counts)
        _say(report.second(elapsed(), counts - before, gateway.circuits))
        before = counts


def _duration(text: str) -> float:
    try:
        return cast("float", DURATION.parse(ScalarNode(text, None)))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed {DURATION.allowed}") from None


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
