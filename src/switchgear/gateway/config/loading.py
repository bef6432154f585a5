"""The way from a file to a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from switchgear.gateway.config.files import read_tree
from switchgear.gateway.config.interpolation import replace_variables
from switchgear.gateway.config.mistakes import Mistake, Report, by_place
from switchgear.gateway.config.model import GatewayConfig
from switchgear.gateway.config.nodes import MapNode
from switchgear.gateway.config.reader import INVALID, Place, read
from switchgear.gateway.config.resolve import resolve
from switchgear.gateway.config.tables.gateway import TOP


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a file. `config` is `None` exactly if there are mistakes."""

    config: GatewayConfig | None
    mistakes: list[Mistake]
    warnings: list[Mistake]


def load_config(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Reads and checks a configuration; `environ` is what `${NAME}` stands for."""
    report = Report(str(path))
    config = _read(path, environ, report)
    mistakes = report.ordered()
    return Loaded(None if mistakes else config, mistakes, sorted(report.warnings, key=by_place))


def _read(path: Path, environ: Mapping[str, str], report: Report) -> GatewayConfig | None:
    tree = read_tree(path, report)
    if tree is None:
        return None
    place = Place(report, (), tree, in_python=path.suffix.lower() == ".py")
    if not isinstance(tree, MapNode):
        place.wrong("the top level is no mapping", allowed=f"a mapping of {', '.join(TOP.names)}")
        return None
    replace_variables(tree, environ, report)
    values = read(TOP, place)
    return None if values is INVALID else resolve(values)
