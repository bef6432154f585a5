"""The log of a real gateway before services that fail on schedule, replayed under the same policies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from examples.demo.__main__ import PATHS
from examples.demo.services import SERVICES, running
from examples.demo.traffic import Traffic

from switchgear import TransitionEvent
from switchgear.gateway.config import load_config
from switchgear.gateway.config.model import LogConfig
from switchgear.gateway.server import Gateway
from switchgear.replay.formats.gateway import GatewayReader
from switchgear.replay.policies import Policies, load_policies
from switchgear.replay.reading import opened
from switchgear.replay.run import replay

FILE = Path(__file__).parents[2] / "examples" / "demo" / "gateway.yaml"
PACE = 2.5
"""How much faster than in the demo the services' schedules go."""
SECONDS = 5.5
RATE = 150.0
ROUNDS = 5
"""The log tells when a request ended, which on a busy machine is long after its circuit has heard: but not in
each round.
"""


async def demonstrate(log: Path) -> tuple[dict[str, str], list[TransitionEvent]]:
    """Runs the demo in a hurry, and gives the environment of its file and what the gateway told."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    events: list[TransitionEvent] = []
    async with contextlib.AsyncExitStack() as stack:

        def elapsed() -> float:
            return (loop.time() - start) * PACE

        ports = {s.name: await stack.enter_async_context(running(s, elapsed)) for s in SERVICES}
        environ = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
        config = load_config(FILE, {**environ, "GATEWAY_PORT": "0"}).config
        assert config is not None
        gateway = Gateway(replace(config, log=LogConfig(access=str(log))))
        await gateway.start()
        stack.push_async_callback(gateway.close)
        gateway.circuits.on_transition(events.append)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Traffic(gateway.address, PATHS, RATE).run(), SECONDS)
        await gateway.drain()
    return environ, events


def spans_of(log: Path) -> dict[str, list[tuple[float, float]]]:
    """When requests of each circuit began and ended, as exact as the log tells."""
    spans = defaultdict(list)
    for line in map(json.loads, log.read_text().splitlines()):
        end = datetime.fromisoformat(line["time"]).timestamp()
        begin = end - line["duration_ms"] / 1000
        spans[line["circuit"]].append((begin - GatewayReader.resolution, end + GatewayReader.resolution))
    return spans


def is_within_one(spans: list[tuple[float, float]], *moments: float) -> bool:
    return any(begin <= min(moments) and max(moments) <= end for begin, end in spans)


def test_replay_gives_the_transitions_that_the_gateway_told(tmp_path):
    differences = [differ(tmp_path / "0.log")]
    while differences[-1]:
        assert len(differences) < ROUNDS, differences
        differences.append(differ(tmp_path / f"{len(differences)}.log"))


def differ(log: Path) -> list[str]:
    """In what a gateway and the replay of its log differ."""
    environ, events = asyncio.run(demonstrate(log))
    policies = load_policies(FILE, environ)
    assert isinstance(policies, Policies)
    with opened(str(log)) as source:
        reader, lanes, failed = replay(source, [policies])
    assert (failed, reader.broken.count, reader.without_key) == (None, 0, 0)
    told = defaultdict(list)
    for event in events:
        told[event.name].append((event.from_state.value, event.to_state.value, event.rule.value, event.at))
    spans = spans_of(log)
    found = [] if len(told) == 3 else [f"circuits: {list(told)}"]
    for key, moves in told.items():
        history = lanes.by_key[key].tracks[0].history
        replayed = [(move.from_state, move.to_state, move.rule, move.at) for move in history.moves]
        if [move[:3] for move in moves] != [move[:3] for move in replayed]:
            found.append(f"{key}: {moves} and {replayed}")
        else:
            pairs = [(one[3], other[3]) for one, other in zip(moves, replayed, strict=True)]
            # However slow the machine was just then: both are within one request.
            found += [f"{key}: {pair}" for pair in pairs if not is_within_one(spans[key], *pair)]
        # What it rejected in truth is in the log as such, and hardly any other call would have been.
        if history.rejections.all > 5:
            found.append(f"{key}: {history.rejections.all} rejections")
    return found
