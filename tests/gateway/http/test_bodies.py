"""Decoders of bodies: any cut of the bytes gives the same content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.http1.bodies import ChunkedDecoder, LengthDecoder, encode_chunk
from switchgear.gateway.http1.fields import FramingError


def feed(decoder, data: bytes, size: int) -> tuple[bytes, bytes]:
    """Feeds `data` in pieces; returns content and what followed the body."""
    content = rest = b""
    for at in range(0, len(data), size):
        piece, rest = decoder.feed(data[at : at + size])
        content += piece
        if decoder.done:
            return content, rest + data[at + size :]
    return content, rest


contents = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
trailers = st.sampled_from([b"", b"X: y\r\n", b"A: 1\r\nB: \r\n"])


@given(contents, trailers, st.binary(max_size=10), st.integers(1, 50))
def test_chunks_in_any_pieces(chunks: list[bytes], trailer: bytes, after: bytes, size: int):
    decoder = ChunkedDecoder()
    wire = b"".join(map(encode_chunk, chunks)) + b"0\r\n" + trailer + b"\r\n"
    assert feed(decoder, wire + after, size) == (b"".join(chunks), after)
    assert decoder.done
    assert decoder.trailers == trailer


@given(contents, trailers, st.data())
def test_a_body_that_is_not_complete_is_not_done(chunks: list[bytes], trailer: bytes, data):
    wire = b"".join(map(encode_chunk, chunks)) + b"0\r\n" + trailer + b"\r\n"
    decoder = ChunkedDecoder()
    feed(decoder, wire[: data.draw(st.integers(0, len(wire) - 1))], 7)
    assert not decoder.done


@given(contents, st.data(), st.integers(1, 20))
def test_malformed_chunks_are_malformed_in_any_pieces(chunks: list[bytes], data, size: int):
    wire = b"".join(map(encode_chunk, [*chunks, b"abc"]))
    bad = data.draw(
        st.sampled_from([b"x\r\n", b"\r\n\r\n", b"1 \r\n", b"-1\r\n", b"1;\x00\r\n", b"1\n", b"1\rx"])
    )
    with pytest.raises(FramingError):
        feed(ChunkedDecoder(), wire + bad, size)


@given(st.binary(max_size=60), st.integers(0, 50), st.integers(1, 20))
def test_a_length_in_any_pieces(data: bytes, length: int, size: int):
    decoder = LengthDecoder(length)
    if length:
        content, rest = feed(decoder, data, size)
        assert content == data[:length]
        assert rest == data[length:]
    assert decoder.done == (len(data) >= length)
