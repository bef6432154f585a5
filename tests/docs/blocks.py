"""Runs the code blocks of a Markdown document, in their order.

`python` is executed, all blocks of a document in one namespace; one that defines `config` is also loaded as
a configuration. A `text` block right after it is what it prints. `yaml` is a configuration, or a part of one
that is completed before the loader reads it. In `sh` every command has to exist and to take its arguments.
`json` and `toml` are files of other programs, and only have to be legal.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from switchgear.cli.parser import build_parser
from switchgear.gateway.config import GatewayConfig, load_config

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MANIFEST = ROOT / "examples" / "kubernetes" / "switchgear.yaml"

_execute = PythonEvaluator()


def run_blocks(document: Path, folder: Path) -> int:
    """Runs all blocks, with `folder` for files, and returns how many there were.

    Raises for the first one that is wrong.
    """
    blocks = _Blocks(folder)
    parsers = [CodeBlockParser(language, evaluate) for language, evaluate in blocks.evaluators.items()]
    examples = list(Sybil(parsers).parse(document).examples())
    for example in examples:
        example.evaluate()
    return len(examples)


class _Blocks:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._printed: str | None = None
        self.evaluators: dict[str, Callable[[Example], None]] = {
            "python": self._python,
            "text": self._text,
            "yaml": self._yaml,
            "sh": self._sh,
            "json": self._json,
            "toml": self._toml,
        }

    def _python(self, example: Example) -> None:
        example.namespace.pop("config", None)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            _execute(example)
        self._printed = out.getvalue()
        if "config" in example.namespace:
            read_config(self._folder / "gateway.py", str(example.parsed))

    def _text(self, example: Example) -> None:
        printed, self._printed = self._printed, None
        if printed is not None:
            assert _timeless(printed) == _timeless(str(example.parsed))

    def _yaml(self, example: Example) -> None:
        self._printed = None
        read_config(self._folder / "gateway.yaml", completed(str(example.parsed)))

    def _sh(self, example: Example) -> None:
        self._printed = None
        for line in str(example.parsed).splitlines():
            words = shlex.split(line, comments=True)
            if words:
                _COMMANDS[words[0]](words[1:])

    def _json(self, example: Example) -> None:
        self._printed = None
        json.loads(str(example.parsed))

    def _toml(self, example: Example) -> None:
        self._printed = None
        tomllib.loads(str(example.parsed))


def read_config(file: Path, text: str) -> GatewayConfig:
    """The configuration of a text, which has to be right."""
    file.write_text(text)
    loaded = load_config(file, {})
    assert loaded.config is not None, "\n".join(mistake.text() for mistake in loaded.mistakes) + f"\n{text}"
    return loaded.config


def _timeless(printed: str) -> str:
    """Without what depends on how long the machine took to get there."""
    return re.sub(r"next probe in [\d.]+ s", "next probe in a while", printed)


_ROUTES = 'routes: {"/x/{id}": {GET: {services: {x: {url: "http://localhost:6666"}}}}}'


def completed(text: str) -> str:
    """A whole configuration of a part of one, told by its first key."""
    if re.search(r"^http:", text, re.MULTILINE):
        return text
    first = re.search(r"^(\S+):", text, re.MULTILINE)
    assert first, f"no key at the left margin:\n{text}"
    match first[1]:
        case "circuitBreaker" | "retry" | "headers":
            return f"http:\n{indent(text, '  ')}\n  {_ROUTES}\n"
        case path if path.startswith(('"/', "/")):
            return f"http:\n  routes:\n{indent(text, '    ')}"
        case _:
            return f"{text}\nhttp: {{{_ROUTES}}}\n"


def _switchgear(arguments: list[str]) -> None:
    build_parser().parse_args(arguments)  # ends the process for arguments that it does not know


def _make(arguments: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (target,) = (word for word in arguments if "=" not in word)
    assert target in targets


def _pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for asked in re.findall(r"\[(.*?)\]", " ".join(arguments)):
        assert set(asked.split(",")) <= set(extras)


def _python(arguments: list[str]) -> None:
    assert arguments[0] == "-m"
    assert importlib.util.find_spec(arguments[1]) is not None


def _curl(arguments: list[str]) -> None:
    assert any(word.startswith("http://") for word in arguments)


def _docker(arguments: list[str]) -> None:
    image = re.search(r"image: (\S+)", MANIFEST.read_text())
    assert image is not None
    assert (arguments[0], image[1] in arguments) in {("build", True), ("run", True)}
    assert (ROOT / "Dockerfile").exists()


def _kubectl(arguments: list[str]) -> None:
    match arguments:
        case ["apply", "-f", file]:
            assert (ROOT / file).exists()
        case _:
            raise AssertionError(arguments)


def _kill(arguments: list[str]) -> None:
    assert arguments[0] in {"-HUP", "-USR1", "-TERM"}


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "switchgear": _switchgear,
    "make": _make,
    "pip": _pip,
    "python": _python,
    "curl": _curl,
    "docker": _docker,
    "kubectl": _kubectl,
    "kill": _kill,
}
