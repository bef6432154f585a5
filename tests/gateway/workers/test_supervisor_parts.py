"""The supervisor's parts, each by itself."""

import asyncio
import os
import socket

import pytest

from switchgear.gateway.config.model import Address
from switchgear.gateway.supervisor import output as output_module
from switchgear.gateway.supervisor.backoff import LONGEST, STEADY, Backoff
from switchgear.gateway.supervisor.listening import listening
from switchgear.gateway.supervisor.output import Output, relay
from tests.gateway.upstreams import PATIENCE

pytestmark = pytest.mark.anyio


def test_who_dies_young_waits_longer_each_time():
    backoff = Backoff()
    pauses = [backoff.pause(0.0) for _ in range(20)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST


def test_after_a_steady_life_there_is_no_pause_and_all_is_forgotten():
    backoff = Backoff()
    for _ in range(5):
        backoff.pause(STEADY - 0.1)
    assert backoff.pause(STEADY) == 0.0
    assert backoff.pause(0.0) == 0.1


def test_a_host_with_several_addresses_gets_one_port(monkeypatch):
    def both(*_, **__):
        tcp = (socket.SOCK_STREAM, 6, "")
        return [(socket.AF_INET, *tcp, ("127.0.0.1", 0)), (socket.AF_INET, *tcp, ("127.0.0.2", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with listening(Address("twice.example", 0)) as listeners:
        names = [listener.getsockname() for listener in listeners]
        assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
        assert len({port for _, port in names}) == 1
        with pytest.raises(OSError, match="in use"), listening(Address("again.example", names[0][1])):
            pass
    assert [listener.fileno() for listener in listeners] == [-1, -1]


async def relayed(*pieces: bytes) -> list[bytes]:
    """What is written, as one who reads sees it."""
    source = asyncio.StreamReader()
    out, into = os.pipe()
    relaying = asyncio.create_task(relay(source, Output(into)))
    for piece in pieces:
        source.feed_data(piece)
        await asyncio.sleep(0)
    source.feed_eof()
    await relaying
    os.close(into)
    with os.fdopen(out, "rb") as stream:
        return stream.read().splitlines(keepends=True)


async def test_lines_come_whole_whatever_the_pieces():
    assert await relayed(b"a", b"b\nc", b"\n\n", b"d") == [b"ab\n", b"c\n", b"\n", b"d\n"]


async def test_a_line_without_end_is_not_kept_without_end(monkeypatch):
    monkeypatch.setattr(output_module, "LONGEST_LINE", 4)
    assert await relayed(b"abcdef", b"gh\n") == [b"abcdefgh\n"]


async def test_output_that_nobody_takes_is_dropped():
    out, into = os.pipe()
    os.close(out)
    output = Output(into)
    await asyncio.wait_for(output.write(b"lost\n"), PATIENCE)
    await asyncio.wait_for(output.write(b"lost too\n"), PATIENCE)
    os.close(into)
