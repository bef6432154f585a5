"""HTTP messages as tests see them, read from a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_HEAD: Final = 1 << 20
"""Bytes; a test's own gateway and services, not strangers, are at the other end."""
_BODYLESS: Final = (204, 304)


@dataclass(frozen=True, slots=True)
class _Message:
    headers: Mapping[str, str]
    """By name in lower case; fields of one name are joined by a comma."""
    body: bytes

    @property
    def text(self) -> str:
        """The body, as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body, parsed. `ValueError` when it is no JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class FakeRequest(_Message):
    """A request that a fake upstream got."""

    method: str
    target: str
    """Path and query, as they came."""


@dataclass(frozen=True, slots=True)
class GatewayAnswer(_Message):
    """An answer of the gateway."""

    status: int


async def read_request(reader: asyncio.StreamReader) -> FakeRequest:
    """The next request of a connection. `EOFError` or `OSError` when there is none."""
    start, headers = await _read_head(reader)
    method, target, _ = start.split(" ")
    return FakeRequest(headers, await _read_body(reader, headers, to_end=False), method, target)


async def read_answer(reader: asyncio.StreamReader, method: str) -> GatewayAnswer:
    """The final answer to a request with that method. `EOFError` or `OSError` when it is broken off."""
    status = 100
    headers: Mapping[str, str] = {}
    while status < 200:
        start, headers = await _read_head(reader)
        status = int(start.split(" ")[1])
    bodyless = method == "HEAD" or status in _BODYLESS
    body = b"" if bodyless else await _read_body(reader, headers, to_end=True)
    return GatewayAnswer(headers, body, status)


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, Mapping[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.split("\r\n")[:-2]
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        known = headers.get(name.lower())
        headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
    return start, headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str], *, to_end: bool) -> bytes:
    """`to_end`: without a length or chunks, the body ends with the connection."""
    if headers.get("transfer-encoding") == "chunked":
        return await _read_chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read(-1) if to_end else b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # a trailer
    return body
