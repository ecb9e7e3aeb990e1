from __future__ import annotations

import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ghostcore.protocol.deflate import Deflater, Inflater
from ghostcore.protocol.message import MessageReader

BINARY, CONTINUATION, PING = 2, 0, 9
LIMIT = 4000

messages = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.builds(lambda piece, times: piece * times, st.binary(max_size=9), st.integers(1, 400)),
    ),
    max_size=6,
)


@given(messages, st.integers(8, 15), st.booleans(), st.lists(st.integers(0, 9999), max_size=4))
def test_messages_come_back_however_they_are_cut(
    sent: list[bytes], window_bits: int, keeps_context: bool, places: list[int]
) -> None:
    deflater = Deflater(window_bits, keeps_context)
    reader = MessageReader(LIMIT, Inflater(window_bits, keeps_context))
    plain = zlib.decompressobj(-15)
    for message in sent:
        payload = deflater.deflate(message)
        if keeps_context:
            assert plain.decompress(payload + b"\0\0\xff\xff") == message
        edges = [0, *sorted(place % (len(payload) + 1) for place in places), len(payload)]
        parts = [payload[start:end] for start, end in pairwise(edges)]
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            opcode, reserved = (BINARY, 4) if i == 0 else (CONTINUATION, 0)
            outcome = reader.feed_frame(opcode, part, last, reserved)
            if not last:
                assert outcome == ("nothing", None)
                assert reader.feed_frame(PING, b"x") == ("ping", b"x")
        assert outcome == ("message", message)
        assert reader.buffered_bytes == 0


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=20))
def test_garbage_never_raises_and_never_passes_the_limit(frames: list[tuple[bytes, bool]]) -> None:
    reader = MessageReader(50, Inflater())
    inside = False
    for payload, fin in frames:
        opcode, reserved = (CONTINUATION, 0) if inside else (BINARY, 4)
        outcome, content = reader.feed_frame(opcode, payload, fin, reserved)
        if outcome == "violation":
            assert reader.close_code in (1007, 1009)
            return
        assert outcome == ("message" if fin else "nothing")
        assert content is None or len(content) <= 50
        inside = not fin
