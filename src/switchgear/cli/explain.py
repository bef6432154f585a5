"""What a configuration comes to, for people and for programs."""

from __future__ import annotations

import json
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, cast

from switchgear.gateway.config.settings import Setting, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from switchgear.gateway.config.effective import (
        Effective,
        EffectiveCircuit,
        EffectiveRoute,
        EffectiveService,
        Layer,
    )

_NO_BREAK: Final = "\xa0"
_WIDTH: Final = 100
_NAMES: Final = 20
"""Columns for names of settings."""


def explain_text(effective: Effective) -> Iterator[str]:
    """Lines: what was said in one each, then what holds by default."""
    for section in effective.sections:
        yield from _section(section)
    for route in effective.routes:
        yield ""
        yield from _route(route)
    for circuit in effective.circuits:
        yield ""
        yield from _circuit(circuit)


def _section(section: Setting) -> Iterator[str]:
    if isinstance(section.value, tuple):
        yield section.name
        yield from _settings(section.value, "  ")
    else:
        yield _line(section.name, _with_mark(section))


def _route(route: EffectiveRoute) -> Iterator[str]:
    yield f"route {route.method} {route.path} ({'streamed' if route.streamed else 'merged'})"
    yield from _settings(route.settings, "  ")
    if route.layers:
        yield "  policies, from the outside inwards"
        yield from map(_layer, route.layers)
    for service in route.services:
        yield f"  service {service.name}"
        yield from _service(service)


def _layer(layer: Layer) -> str:
    says = layer.says if isinstance(layer.says, str) else _inline(layer.says)
    return f"    {layer.priority:>4} {layer.name:<{_NAMES - 5}} {says}"


def _service(service: EffectiveService) -> Iterator[str]:
    for url in service.urls:
        yield _line("    url", url + (" + the request's path" if service.appends_path else ""))
    yield _line("    circuit", service.circuit or "none")
    yield from _settings(service.settings, "    ")


def _circuit(circuit: EffectiveCircuit) -> Iterator[str]:
    yield f"circuit {circuit.key}"
    for guarded in circuit.guards:
        yield _line("  guards", f"{guarded.place}; rejects with {_rejection(guarded.rejection)}")
    yield from _settings(circuit.policy, "  ")


def _rejection(settings: Iterable[Setting]) -> str:
    if all(setting.is_default for setting in settings):
        return "503 and a problem document (default)"
    return _inline(settings)


def _settings(settings: Iterable[Setting], indent: str) -> Iterator[str]:
    by_default: list[str] = []
    for setting in settings:
        if setting.is_default:
            by_default.append(_unbroken(f"{setting.name} {_written(setting)}"))
        else:
            yield _line(f"{indent}{setting.name}", _written(setting))
    first = _line(f"{indent}(default)", "")
    lines = wrap(
        "; ".join(by_default),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace(_NO_BREAK, " ") for line in lines)


def _unbroken(text: str) -> str:
    """A text that is wrapped as one word."""
    return text.replace(" ", _NO_BREAK)


def _line(name: str, text: str) -> str:
    return f"{name:<{_NAMES + 4}} {text}"


def _inline(settings: Iterable[Setting]) -> str:
    return ", ".join(f"{setting.name} {_with_mark(setting)}" for setting in settings)


def _with_mark(setting: Setting) -> str:
    return _written(setting) + (" (default)" if setting.is_default else "")


def _written(setting: Setting) -> str:
    value: Any = setting.value
    if setting.is_free and not setting.is_default:
        return json.dumps(value)
    match value:
        case None | []:
            text = "none"
        case tuple():
            text = _inline(cast("tuple[Setting, ...]", value))
        case [int(), *_]:
            text = _ranges(cast("list[int]", value))
        case [str(), *_]:
            text = ", ".join(cast("list[str]", value))
        case str() if value.isprintable():
            text = value
        case _:
            text = json.dumps(value)
    return text


def _ranges(numbers: list[int]) -> str:
    """`500, 502-504`."""
    breaks = [place for place, (one, other) in enumerate(pairwise(numbers), 1) if other != one + 1]
    runs = [numbers[start:end] for start, end in pairwise([0, *breaks, len(numbers)])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def explain_json(effective: Effective) -> dict[str, object]:
    """The same as a JSON object: a setting is its `value`, and whether that is the `default`."""
    return {
        **as_json(effective.sections),
        "routes": [_route_json(route) for route in effective.routes],
        "circuits": [_circuit_json(circuit) for circuit in effective.circuits],
    }


def _route_json(route: EffectiveRoute) -> dict[str, object]:
    return {
        "method": route.method,
        "path": route.path,
        "streamed": route.streamed,
        **as_json(route.settings),
        "policies": [_layer_json(layer) for layer in route.layers],
        "services": [_service_json(service) for service in route.services],
    }


def _layer_json(layer: Layer) -> dict[str, object]:
    says = layer.says if isinstance(layer.says, str) else as_json(layer.says)
    return {"priority": layer.priority, "name": layer.name, "says": says}


def _service_json(service: EffectiveService) -> dict[str, object]:
    return {
        "name": service.name,
        "urls": list(service.urls),
        "appendsRequestPath": service.appends_path,
        "circuit": service.circuit,
        **as_json(service.settings),
    }


def _circuit_json(circuit: EffectiveCircuit) -> dict[str, object]:
    return {
        "key": circuit.key,
        "guards": [{"place": guarded.place, **as_json(guarded.rejection)} for guarded in circuit.guards],
        "policy": as_json(circuit.policy),
    }
