"""Configurations as texts, and what the checker says about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from switchgear.gateway.config import GatewayConfig, Loaded, load_config
from tests.gateway.config.editors import flags

MINIMAL = """\
http:
  routes:
    /users/{id}:
      GET:
        services:
          users: {url: "http://localhost:6666"}
"""


def load(
    folder: Path, text: str | bytes, name: str = "g.yaml", environ: Mapping[str, str] | None = None
) -> Loaded:
    """What becomes of a file with this text. In one that is right no editor flags anything."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    loaded = load_config(path, environ or {})
    assert loaded.config is None or path.suffix == ".py" or flags(path) == []
    return loaded


def config_of(
    folder: Path, text: str, name: str = "g.yaml", environ: Mapping[str, str] | None = None
) -> GatewayConfig:
    """The configuration of a text that has to be right."""
    loaded = load(folder, text, name, environ)
    assert [mistake.text() for mistake in loaded.mistakes] == []
    assert loaded.config is not None
    return loaded.config


def lines(
    folder: Path, text: str | bytes, name: str = "g.yaml", environ: Mapping[str, str] | None = None
) -> list[str]:
    """The mistakes of a text as lines, without the folder's name."""
    loaded = load(folder, text, name, environ)
    assert (loaded.config is None) == bool(loaded.mistakes)
    return [mistake.text().removeprefix(f"{folder}/") for mistake in loaded.mistakes]


def guarded(breaker: str) -> str:
    """A gateway with this `circuitBreaker` for all routes, on its first line."""
    return f"http: {{circuitBreaker: {breaker},\n  routes: {{/a: {{GET: {{services: {{s: {{url: 'http://h'}}}}}}}}}}}}\n"


def routed(service: str, path: str = "/users/{id}") -> str:
    """A gateway with one route of one service, which stands on a line of its own, from column 1."""
    return f'http: {{routes: {{"{path}": {{GET: {{services: {{s:\n{service}\n}}}}}}}}}}\n'
