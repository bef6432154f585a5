"""The command line. It loads nothing of the gateway, so that `--version` and usage errors are instant."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import Protocol


class _Commands(Protocol):
    """What takes commands; argparse has no public name for it."""

    def add_parser(self, name: str, *, help: str, allow_abbrev: bool) -> argparse.ArgumentParser: ...  # noqa: A002


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the command's name ends up in `command`."""
    parser = argparse.ArgumentParser(
        prog="switchgear",
        description="An HTTP gateway whose routes and services are guarded by circuit breakers.",
        epilog="Exit codes: 0 ok, 1 failed while running, 2 usage or configuration, 3 nothing reachable, "
        "4 no such circuit.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"switchgear {version('switchgear')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_check(commands)
    commands.add_parser("schema", help="print the JSON Schema of configurations", allow_abbrev=False)
    _add_store(commands)
    _add_replay(commands)
    return parser


def _add_serve(commands: _Commands) -> None:
    serve = commands.add_parser("serve", help="run the gateway", allow_abbrev=False)
    _add_file(serve)
    serve.add_argument("--host", help="listen at this host instead of the file's")
    serve.add_argument(
        "--port", type=_port, help="listen at this port instead of the file's; 0 chooses a free one"
    )
    serve.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes [1]")
    serve.add_argument(
        "--require-state", action="store_true", help="exit with 3 when the store can't be used at the start"
    )
    serve.add_argument("--watch", action="store_true", help="reload when the file changes")


def _add_check(commands: _Commands) -> None:
    check = commands.add_parser("check", help="tell every mistake in a configuration", allow_abbrev=False)
    _add_file(check)
    check.add_argument("--explain", action="store_true", help="print what the configuration comes to")
    check.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed [text]")


def _add_store(commands: _Commands) -> None:
    store = commands.add_parser("store", help="prepare a store", allow_abbrev=False)
    actions = store.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser("init", help="make or upgrade a store's schema", allow_abbrev=False)
    init.add_argument("url", metavar="URL", help="the store, such as postgresql://localhost/circuits")
    init.add_argument("--print", action="store_true", dest="print_only", help="print the statements only")


def _add_replay(commands: _Commands) -> None:
    replay = commands.add_parser("replay", help="run an access log through a policy", allow_abbrev=False)
    replay.add_argument("log", metavar="LOG", help="the log, plain or gzip; - for standard input")
    replay.add_argument(
        "--policy", required=True, metavar="FILE", help="keys of circuitBreaker, or a gateway's file"
    )
    replay.add_argument("--against", metavar="FILE", help="a second policy, shown beside the first")
    replay.add_argument(
        "--format", choices=("json", "combined", "csv"), help="what the log is [told by its first lines]"
    )
    replay.add_argument(
        "--key",
        metavar="KEY",
        help="what makes one circuit: circuit, route, service, host, path, client, all, or the name of a "
        "member or column [circuit; all of a combined log]",
    )
    replay.add_argument(
        "--time", choices=("end", "start"), default="end", help="when a line's time was taken [end]"
    )
    replay.add_argument(
        "--reorder",
        type=_seconds,
        default=60.0,
        metavar="TIME",
        help="how far out of order lines may be [60s]",
    )
    replay.add_argument("--openings", type=_lines, default=10, metavar="N", help="listed for each key [10]")
    replay.add_argument("--max-broken", type=_lines, metavar="N", help="exit with 1 for more broken lines")
    replay.add_argument("--json", action="store_true", help="print the report as JSON")
    replay.add_argument("--html", metavar="FILE", help="write the report with plots, as one page")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the configuration: .yaml, .json, .toml or .py")


def _port(text: str) -> int:
    return _integer(text, 0, 65535)


def _workers(text: str) -> int:
    return _integer(text, 1, 1024)


def _lines(text: str) -> int:
    return _integer(text, 0, 999_999_999)


def _seconds(text: str) -> float:
    number = text.removesuffix("s")
    if not (number.isascii() and number.isdigit() and text != number and 1 <= int(number[:9]) <= 86400):
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed 1s to 86400s")
    return float(number)


def _integer(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed an integer in {low}-{high}")
    return int(text)
