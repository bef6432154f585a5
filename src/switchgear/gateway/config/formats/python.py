"""A Python file that defines `config`: for policies, and for rules that are functions."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from types import ModuleType
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.formats.objects import Places, tree_of
from switchgear.gateway.config.mistakes import Mark, Report, UnreadableError

if TYPE_CHECKING:
    from switchgear.gateway.config.nodes import Node

_LONGEST: Final = 300
_MODULE: Final = "switchgear_gateway_file"


def parse(text: str, report: Report) -> Node | None:
    """The tree of what the file calls `config`. Raises `UnreadableError`, whatever the file raises."""
    if not text.strip():
        return None
    names = _run(text, report.file)
    if "config" not in names:
        raise UnreadableError("the file does not define config")
    try:
        return tree_of(names["config"], Places())
    except UnreadableError:
        raise
    except Exception as error:  # a user's own mapping may raise anything
        raise UnreadableError(f"config cannot be read: {_sentence(error)}") from None


def _run(text: str, file: str) -> dict[str, object]:
    # A module that can be found while it runs: dataclasses and pickle look their own up.
    module = ModuleType(_MODULE)
    module.__file__ = file
    sys.modules[_MODULE] = module
    try:
        code = compile(text, file, "exec", dont_inherit=True)
        with redirect_stdout(sys.stderr):  # standard output is for mistakes, and may be JSON
            exec(code, module.__dict__)
    except SyntaxError as error:
        if error.filename != file:
            raise UnreadableError(_sentence(error)) from None
        raise UnreadableError(
            f"not legal Python: {error.msg}", Mark(error.lineno or 1, error.offset or 1)
        ) from None
    except BaseException as error:  # SystemExit, too: nothing that a file does may end in a traceback
        raise UnreadableError(f"{_sentence(error)}{_line(error, file)}") from None
    return module.__dict__


def _sentence(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of the user's that cannot even be printed
        text = ""
    name = type(error).__name__
    return f"{name}: {text[:_LONGEST]}" if text else name


def _line(error: BaseException, file: str) -> str:
    """The last line of the file itself on the way to the error, in words."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == file:
            line = frame.tb_lineno
        frame = frame.tb_next
    return f" (line {line})" if line else ""
