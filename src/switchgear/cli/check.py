"""`switchgear check FILE`: every mistake in a configuration, one line each."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from switchgear.cli.explain import explain_json, explain_text
from switchgear.gateway.config import load_config
from switchgear.gateway.config.effective import effective

if TYPE_CHECKING:
    import argparse


def run(args: argparse.Namespace) -> int:
    """Prints the mistakes of `args.file` to standard output. Exit code 0, or 2 if there are any."""
    loaded = load_config(Path(args.file), os.environ)
    # A file's name or key may hold what the terminal's encoding does not.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    config = loaded.config if args.explain else None
    if args.format == "json":
        mistakes = [mistake.as_dict() for mistake in loaded.mistakes]
        print(json.dumps(mistakes if config is None else explain_json(effective(config)), indent=2))
    else:
        for mistake in loaded.mistakes:
            print(mistake.text())
    for warning in loaded.warnings:
        print(warning.text(), file=sys.stdout if args.format == "text" else sys.stderr)
    if config is not None and args.format == "text":
        print("\n".join(explain_text(effective(config))))
    return 2 if loaded.config is None else 0
