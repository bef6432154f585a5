"""`switchgear replay LOG --policy FILE`: what a policy would have done to the calls of an access log."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from switchgear.cli.progress import Progress
from switchgear.replay.as_json import as_json
from switchgear.replay.formats.columns import HeaderError
from switchgear.replay.page import as_html
from switchgear.replay.policies import Policies, load_policies
from switchgear.replay.reading import LogError, Source, opened
from switchgear.replay.report import Report, report
from switchgear.replay.run import KeyNameError, replay
from switchgear.replay.text import as_text
from switchgear.replay.words import count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1 for a log that breaks off, or has more broken lines than allowed, and for a report that
    can't be written; 2 for a policy with mistakes, and for a log of which nothing can be read."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a key may hold what the terminal's encoding does not
    policies = _policies([args.policy] if args.against is None else [args.policy, args.against])
    if policies is None:
        return 2
    try:
        with opened(args.log) as source:
            return _run(args, source, policies)
    except (LogError, HeaderError, KeyNameError) as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:  # amid the work, whose half would be no report
        return _fail("interrupted", 1)


def _policies(files: Sequence[str]) -> list[Policies] | None:
    """The policies of all files; `None` after the mistakes of all were printed."""
    loaded = [load_policies(Path(file), os.environ) for file in files]
    policies = [each for each in loaded if isinstance(each, Policies)]
    if len(policies) == len(loaded):
        for each in policies:
            for name in each.blind:
                why = f"{name} looks at answers, which a log does not hold; it is not asked"
                print(f"{each.name}: warning: {why}", file=sys.stderr)
        return policies
    for mistakes in loaded:
        for mistake in mistakes if isinstance(mistakes, list) else ():
            print(mistake.text())
    return None


def _run(args: argparse.Namespace, source: Source, policies: Sequence[Policies]) -> int:
    began = time.monotonic()
    with Progress(sys.stderr) as progress:
        reader, lanes, failed = replay(
            source,
            policies,
            format_=args.format,
            key=args.key,
            from_start=args.time == "start",
            reorder=args.reorder,
            timelines=args.html is not None,
            progress=progress.show,
        )
    took = max(time.monotonic() - began, 1e-3)
    done = report(source.name, reader, lanes, policies)
    if not done.keys and failed is None:
        return _fail(_nothing(done), 2)
    try:
        _write(args, done)
    except OSError as error:
        return _fail(f"{args.html}: {error.strerror or error}", 1)
    print(f"{done.lines:,} lines in {took:.2f} s ({done.lines / took:,.0f} lines/s)", file=sys.stderr)
    if failed is not None:
        return _fail(str(failed), 1)
    if args.max_broken is not None and done.broken.count > args.max_broken:
        return _fail(f"{done.broken.count:,} lines are broken; allowed {args.max_broken:,}", 1)
    return 0


def _write(args: argparse.Namespace, done: Report) -> None:
    if args.html is not None:
        with Path(args.html).open("w", encoding="utf-8", errors="backslashreplace") as page:
            page.writelines(as_html(done))
    if args.json:
        print(json.dumps(as_json(done), indent=2))
        return
    for line in as_text(done, args.openings):
        print(line)


def _nothing(done: Report) -> str:
    """Why there is nothing to tell."""
    if done.without_policy:
        names = ", ".join(list(done.without_policy)[:5])
        return f"{done.log}: the gateway's file has no policy for any of the log's keys, such as {names}"
    if done.calls:
        read = count(done.calls, "call")
        return f"{done.log}: no call has that key ({read} read); choose another with --key"
    words = f"{done.log}: no calls in {done.lines:,} lines (read as {done.format})"
    first = done.broken.first
    return f"{words}; line {first[0].line}: {first[0].reason}" if first else words


def _fail(words: str, code: int) -> int:
    print(f"switchgear: {words}", file=sys.stderr)
    return code
