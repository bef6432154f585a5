"""The command `switchgear`. A command is a module with `run(args) -> int`, loaded when it is asked for."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from switchgear.cli.parser import build_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_OF_GATEWAY: Final = frozenset({"yaml", "msgspec"})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 ok, 1 failed while running, 2 usage or configuration."""
    args = build_parser().parse_args(argv)
    try:
        return _run(args)
    except ModuleNotFoundError as error:
        if error.name not in _OF_GATEWAY:
            raise
        print(
            f"switchgear: {error.name} is not installed; pip install 'switchgear[gateway]'", file=sys.stderr
        )
        return 1
    except BrokenPipeError:
        # Whoever read our output left. What is still buffered must not fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(args: argparse.Namespace) -> int:
    match args.command:
        case "serve":
            from switchgear.cli import serve

            return serve.run(args)
        case "check":
            from switchgear.cli import check

            return check.run(args)
        case "schema":
            from switchgear.cli import schema

            return schema.run(args)
        case "replay":
            from switchgear.cli import replay

            return replay.run(args)
        case _:
            from switchgear.cli import store

            return store.run(args)
