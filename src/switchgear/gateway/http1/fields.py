"""The fields of a head, in either direction: what goes on to the next hop, and what is for this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from switchgear.gateway.http1.grammar import find_fields, match_token_list

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

CHUNKED: Final = -1
"""Stands for a body's length: chunked transfer coding."""
UNTIL_CLOSE: Final = -2
"""Stands for a body's length: an answer that ends with its connection."""

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer trailers"
    b" transfer-encoding upgrade".split()
)
_ESSENTIAL: Final = frozenset((b"content-length", b"transfer-encoding", b"host"))
_MAX_LENGTH_DIGITS: Final = 18  # stays below 2**63 for every reader behind us
_CODINGS: Final = frozenset(b"gzip x-gzip deflate compress x-compress br zstd identity".split())


class FramingError(Exception):
    """A message that contradicts itself or can be read in two ways. `status`: what answers such a request."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Fields:
    """A field section: `kept` are the lines that go on, `own` the values of the fields named in `wanted`."""

    __slots__ = ("_names", "kept", "own")

    def __init__(self, head: bytes, start: int, wanted: Collection[bytes]) -> None:
        self.own: dict[bytes, list[bytes]] = {}
        self.kept: list[bytes] = []
        self._names: list[bytes] = []
        for match in find_fields(head, start):
            name = match[1].lower()
            if name in wanted:
                self.own.setdefault(name, []).append(match[2].rstrip(b" \t"))
            else:
                self.kept.append(match[0])
                self._names.append(name)

    def __len__(self) -> int:
        return len(self.kept) + sum(map(len, self.own.values()))

    def tokens(self, name: bytes) -> list[bytes]:
        """The members of a list field, in lower case."""
        text = b",".join(self.own.get(name, ()))
        if not match_token_list(text):
            raise FramingError(f"malformed {name.decode()} field")
        return [token.strip(b" \t").lower() for token in text.split(b",") if token.strip(b" \t")]

    def refuse_lookalikes(self, names: Collection[bytes]) -> None:
        """Refuses `Transfer_Encoding` and the like: servers that make variables of fields (CGI, WSGI) take
        both spellings for one."""
        if any(b"_" in name and name.replace(b"_", b"-") in names for name in self._names):
            raise FramingError("a field that some servers take for another one")

    def drop(self, names: Collection[bytes]) -> None:
        """Leaves out fields that `Connection` names: they were meant for this hop."""
        if not _ESSENTIAL.isdisjoint(names):
            raise FramingError("Connection names a field that the message can't do without")
        kept = [(line, name) for line, name in zip(self.kept, self._names, strict=True) if name not in names]
        self.kept = [line for line, _ in kept]
        self._names = [name for _, name in kept]


def cut_fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Names in lower case, and values, of field lines that were checked before."""
    return [(match[1].lower(), match[2].rstrip(b" \t")) for match in find_fields(lines)]


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The lines of `fields`, as they are sent."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def connection_options(fields: Fields) -> list[bytes]:
    """What `Connection` says, in lower case; the fields that it names are dropped."""
    options = fields.tokens(b"connection")
    named = [option for option in options if option not in (b"close", b"keep-alive")]
    if named:
        fields.drop(named)
    return options


def body_length(own: Mapping[bytes, list[bytes]], http10: bool) -> int | None:
    """The length that the fields declare: bytes, `CHUNKED`, or `None` when they say nothing."""
    lengths, codings = own.get(b"content-length"), own.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise FramingError("both Content-Length and Transfer-Encoding")
        if http10:
            raise FramingError("Transfer-Encoding in HTTP/1.0")
        _check_coding(codings)
        return CHUNKED
    if lengths is None:
        return None
    if len(lengths) > 1:
        raise FramingError("more than one Content-Length")
    if not lengths[0].isdigit() or len(lengths[0]) > _MAX_LENGTH_DIGITS:
        raise FramingError("malformed Content-Length")
    return int(lengths[0])


def _check_coding(values: list[bytes]) -> None:
    if len(values) == 1 and values[0].lower() == b"chunked":
        return
    codings = [coding.strip(b" \t").lower() for coding in b",".join(values).split(b",")]
    before = codings[:-1] if codings[-1] == b"chunked" else codings
    known = len(values) == 1 and before and _CODINGS.issuperset(before)
    raise FramingError("transfer coding other than chunked", 501 if known else 400)
