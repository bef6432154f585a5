"""What is public, as text: a line for each name, with its parameters.

`python -m tests.release.surface` compares the working tree with the last tag, if there is one, and tells what
breaks callers; `--write` records the surface of now, which a change of what is public has to do, on purpose.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("surface.txt")
ROOTS = ("switchgear", "switchgear.stores", "switchgear.testing", "switchgear.gateway.policies")
INTEGRATIONS = "switchgear.integrations"


def surface() -> list[str]:
    """The lines of now, read from the sources; nothing is imported."""
    package = griffe.load("switchgear", search_paths=[ROOT / "src"])
    assert isinstance(package, griffe.Module)
    modules = [_module(package, name) for name in ROOTS]
    hosts = _module(package, INTEGRATIONS)
    modules += [module for name, module in sorted(hosts.modules.items()) if not name.startswith("_")]
    return sorted({line for module in modules for line in _lines(module)})


def _module(package: griffe.Module, name: str) -> griffe.Module:
    found = package[name.partition(".")[2]] if "." in name else package
    assert isinstance(found, griffe.Module)
    return found


def _lines(module: griffe.Module) -> Iterator[str]:
    for name in module.exports or ():
        assert isinstance(name, str)
        if name in module.members:
            yield from _described(f"{module.path}.{name}", module.members[name])
        else:
            yield f"{module.path}.{name}"  # loaded late, by `__getattr__`


def _described(path: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    if found.is_alias:
        found = found.final_target  # type: ignore[union-attr]
    if found.is_function:
        yield f"{path}({_parameters(found)})"
    elif found.is_class:
        yield path
        for name, member in found.members.items():
            if not name.startswith("_") or name in {"__init__", "__call__", "__enter__", "__aenter__"}:
                yield from _described(f"{path}.{name}", member)
    else:
        yield path


def _parameters(function: griffe.Object | griffe.Alias) -> str:
    parts: list[str] = []
    for each in function.parameters:  # type: ignore[union-attr]
        mark = {"variadic positional": "*", "variadic keyword": "**"}.get(each.kind.value, "")
        default = "" if each.default is None or mark else f"={each.default}"
        only = {"positional-only": "/", "keyword-only": "*"}.get(each.kind.value)
        parts.append(f"{mark}{each.name}{default}" + (f" [{only}]" if only else ""))
    return ", ".join(parts)


def main(arguments: list[str]) -> int:
    if arguments == ["--write"]:
        RECORDED.write_text("\n".join(surface()) + "\n")
        return 0
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if not tag:
        print("no tag yet: there is no release to compare with")
        return 0
    command = [sys.executable, "-m", "griffe", "check", "switchgear", "--search", "src", "--against", tag]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
