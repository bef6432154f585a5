"""YAML 1.2, core schema, from PyYAML's events.

PyYAML's own constructor is not used: it reads `no`, `010` and `1:30` as YAML 1.1 does, drops duplicate keys,
recurses, and keeps no places. Merge keys (`<<`) left the language with 1.2 and are an error here: what is
shared is named under `services`. Neither are there tags; quoting makes a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml import events

from switchgear.gateway.config.formats.scalars import core_scalar
from switchgear.gateway.config.mistakes import Mark, Report, UnreadableError
from switchgear.gateway.config.nodes import (
    DEEPEST,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    TreeBuilder,
    too_deep,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BY_ALIAS: Final = 1000
"""Nodes that all aliases of a file may stand for together: ten lines of aliases of aliases are billions."""

_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: six times faster
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class _Size:
    """What a tree comes to when its aliases are written out."""

    nodes: int = 1
    height: int = 0

    def include(self, part: _Size) -> None:
        self.nodes += part.nodes
        self.height = max(self.height, part.height + 1)


@dataclass(slots=True)
class _Anchored:
    node: Node
    size: _Size
    complete: bool = False


@dataclass(slots=True)
class _Composer:
    """Turns events into a tree."""

    report: Report
    builder: TreeBuilder = field(init=False)
    anchors: dict[str, _Anchored] = field(default_factory=dict[str, _Anchored])
    open_anchors: list[_Anchored] = field(default_factory=list[_Anchored])
    expects_key: list[bool] = field(default_factory=list[bool])
    by_alias: int = 0
    documents: int = 0

    def __post_init__(self) -> None:
        self.builder = TreeBuilder(self.report)

    def take(self, event: events.Event) -> None:
        match event:
            case events.DocumentStartEvent():
                self._document(event)
            case events.MappingStartEvent():
                self._open(event, MapNode(_mark(event)))
            case events.SequenceStartEvent():
                self._open(event, ListNode(_mark(event)))
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._close()
            case events.ScalarEvent():
                self._scalar(event)
            case events.AliasEvent():
                self._alias(event)
            case _:
                pass

    def _document(self, event: events.Event) -> None:
        self.documents += 1
        if self.documents > 1:
            raise UnreadableError("a second document; a configuration is one document", _mark(event))

    def _open(
        self, event: events.MappingStartEvent | events.SequenceStartEvent, node: MapNode | ListNode
    ) -> None:
        if self._key_due:
            raise UnreadableError("a key has to be a text", _mark(event))
        _refuse_tag(event)
        self.builder.open(node)
        anchored = self._remember(event.anchor, node)
        self.open_anchors.append(anchored)
        self.expects_key.append(isinstance(node, MapNode))

    def _close(self) -> None:
        self.builder.close()
        self.expects_key.pop()
        anchored = self.open_anchors.pop()
        anchored.complete = True
        self._value_done(anchored.size)

    def _scalar(self, event: events.ScalarEvent) -> None:
        _refuse_tag(event)
        if self._key_due:
            self._key(str(event.value), event)
            self._remember(event.anchor, ScalarNode(event.value, _mark(event))).complete = True
            return
        is_text = event.style not in {None, ""} or event.tag is not None
        value = event.value if is_text else core_scalar(event.value)
        node = ScalarNode(value, _mark(event), event.value)
        anchored = self._remember(event.anchor, node)
        anchored.complete = True
        self.builder.add(node)
        self._value_done(anchored.size)

    def _alias(self, event: events.AliasEvent) -> None:
        anchored = self.anchors.get(str(event.anchor))
        if anchored is None:
            raise UnreadableError(f"no anchor &{event.anchor} above this alias", _mark(event))
        if not anchored.complete:
            raise UnreadableError(f"the alias *{event.anchor} stands for what contains it{_where(event)}")
        self.by_alias += anchored.size.nodes
        if self.by_alias > MOST_BY_ALIAS:
            raise UnreadableError(f"aliases stand for more than {MOST_BY_ALIAS} nodes{_where(event)}")
        if self._key_due:
            self._key(_key_text(anchored.node, event), event)
            return
        if self.builder.depth + anchored.size.height > DEEPEST:
            raise too_deep(_mark(event))
        self.builder.add(anchored.node)
        self._value_done(anchored.size)

    @property
    def _key_due(self) -> bool:
        return bool(self.expects_key) and self.expects_key[-1]

    def _key(self, text: str, event: events.NodeEvent) -> None:
        if text == "<<" and isinstance(event, events.ScalarEvent) and not event.style:
            raise UnreadableError(
                "merge keys (<<) are not supported; name what is shared under services", _mark(event)
            )
        self.builder.key(text, _mark(event))
        self.expects_key[-1] = False

    def _value_done(self, size: _Size) -> None:
        if not self.open_anchors:
            return
        self.open_anchors[-1].size.include(size)
        if isinstance(self.open_anchors[-1].node, MapNode):
            self.expects_key[-1] = True

    def _remember(self, anchor: str | None, node: Node) -> _Anchored:
        height = 0 if isinstance(node, ScalarNode) else 1
        anchored = _Anchored(node, _Size(height=height))
        if anchor is not None:
            self.anchors[anchor] = anchored
        return anchored


def parse(text: str, report: Report) -> Node | None:
    """The tree of a YAML text. Raises `UnreadableError`."""
    control = _CONTROL.search(text)
    if control:
        raise UnreadableError("a character that YAML does not allow", mark_at(text, control.start()))
    composer = _Composer(report)
    try:
        for event in _events(text):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = _error_mark(error)
        if error.problem and "maximum nesting depth" in error.problem:
            # libyaml's own limit: it scans ahead of the events until a bracket can no longer begin a key.
            raise too_deep(mark) from None
        raise UnreadableError(_sentence(error, text.split("\n")[mark.line - 1 :]), mark) from None
    except yaml.YAMLError as error:  # what has no place is of the reader, which found no fault above
        raise UnreadableError(" ".join(str(error).split()), Mark(1, 1)) from None
    root = composer.builder.root
    empty = isinstance(root, ScalarNode) and root.value is None
    return None if empty else root


def mark_at(text: str, offset: int) -> Mark:
    """The place of an offset in a text."""
    start = text.rfind("\n", 0, offset) + 1
    return Mark(text.count("\n", 0, offset) + 1, offset - start + 1)


def _events(text: str) -> Iterator[events.Event]:
    loader: Any = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _mark(event: events.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _where(event: events.Event) -> str:
    mark = _mark(event)
    return f" (line {mark.line}, column {mark.column})"


def _key_text(node: Node, event: events.Event) -> str:
    if not isinstance(node, ScalarNode):
        raise UnreadableError("a key has to be a text", _mark(event))
    return str(node.written if node.written is not None else node.value)


def _refuse_tag(event: events.NodeEvent) -> None:
    tag = getattr(event, "tag", None)
    allowed = _TEXT_TAGS if isinstance(event, events.ScalarEvent) else {"!"}
    if tag is not None and tag not in allowed:
        raise UnreadableError("tags are not supported; quote a value to make it a text", _mark(event))


def _sentence(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    """The error in words; `lines` are those of the file from the error on."""
    parts = " ".join(part for part in (error.context, error.problem) if part)
    hint = " (inside { } and [ ], ${NAME} needs quotes)" if lines and "${" in lines[0] else ""
    return f"not legal YAML: {' '.join(parts.split())}{hint}"


def _error_mark(error: yaml.MarkedYAMLError) -> Mark:
    mark = error.problem_mark or error.context_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
