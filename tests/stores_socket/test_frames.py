"""Frames: what is written is read, and nothing else is."""

import asyncio
import socket

import pytest

from switchgear.stores.socket import frames
from switchgear.stores.socket.frames import FrameError, pack, pack_message, read, read_message, receive

pytestmark = pytest.mark.anyio


def stream(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_messages_are_read_as_they_were_written():
    reader = stream(pack_message({"a": [1, "ü"]}) + pack_message({}))
    assert await read_message(reader) == {"a": [1, "ü"]}
    assert await read_message(reader) == {}
    with pytest.raises(asyncio.IncompleteReadError):
        await read_message(reader)


async def test_a_frame_may_have_the_largest_size_and_not_one_byte_more(monkeypatch):
    monkeypatch.setattr(frames, "LARGEST", 3)
    assert await read(stream(pack(b"abc"))) == b"abc"
    with pytest.raises(FrameError, match="at most 3 bytes, got 4"):
        pack(b"abcd")
    with pytest.raises(FrameError, match="at most 3 bytes, 4 are announced"):
        await read(stream(b"\0\0\0\4abcd"))


@pytest.mark.parametrize(("body", "says"), [(b"{", "no JSON"), (b"\xff", "no JSON"), (b"[]", "is a mapping")])
async def test_a_frame_that_is_no_message_is_refused(body, says):
    with pytest.raises(FrameError, match=says):
        await read_message(stream(pack(body)))


async def test_half_a_frame_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(frames, "FRAME_SECONDS", 0.01)
    reader = asyncio.StreamReader()
    reader.feed_data(pack(b"abc")[:-1])
    with pytest.raises(TimeoutError):
        await read(reader)


def test_a_blocking_socket_gives_one_frame_and_leaves_the_rest_alone():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(b"job") + pack(b"next")[:-1])
        assert receive(theirs) == b"job"
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(FrameError, match="ended inside"):
            receive(theirs)
