from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from ghostcore.protocol.message import MessageReader, close_payload
from tests.reference.message_reference import Frame, Reference

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9

# Bytes that lie at the borders of UTF-8's classes, far likelier to be nearly right than any bytes.
nearly_utf8 = st.lists(
    st.one_of(
        st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([b"\x80", b"\xbf", b"\xc2", b"\xe0", b"\xed", b"\xf0", b"\xf4", b"a" * 9]),
    ),
    max_size=6,
).map(b"".join)
payloads = st.one_of(st.binary(max_size=40), nearly_utf8)

frames = st.one_of(
    st.builds(Frame, st.sampled_from([TEXT, BINARY, CONTINUATION]), payloads, st.booleans()),
    st.builds(Frame, st.sampled_from([PING, 10]), st.binary(max_size=8)),
    st.builds(
        Frame,
        st.just(CLOSE),
        st.builds(
            lambda code, reason: code.to_bytes(2, "big") + reason,
            st.integers(990, 5010),
            nearly_utf8,
        ),
    ),
    st.builds(
        Frame,
        st.integers(0, 15),
        st.binary(max_size=130),
        st.booleans(),
        st.sampled_from([0, 0, 0, 1, 2, 4]),
    ),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def feed_in_parts(
    reader: MessageReader, opcode: int, parts: list[bytes]
) -> tuple[str, bytes | None]:
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        outcome = reader.feed_frame(opcode if i == 0 else CONTINUATION, part, last)
        if outcome[0] == "violation" or last:
            return outcome
        assert outcome == ("nothing", None)
        assert reader.feed_frame(PING, b"between") == ("ping", b"between")
    raise AssertionError("there is always a last part")


@given(st.lists(frames, max_size=12), st.integers(1, 60))
def test_any_frames_get_the_outcomes_of_the_reference(sent: list[Frame], limit: int) -> None:
    reader, reference = MessageReader(limit), Reference(limit)
    for frame in sent:
        outcome = reader.feed_frame(frame.opcode, frame.payload, frame.fin, frame.reserved)
        assert outcome == reference.feed(frame)
    assert (reader.close_code, reader.close_reason) == (reference.code, reference.reason)


@given(nearly_utf8, st.lists(st.integers(0, 1000), max_size=5))
@example(b"\xed\xa0\x80", [1])
@example(b"\xf4\x90\x80\x80", [1, 2])
@example(b"aaaaaaaa\xc3\xa9aaaaaaaa", [9])
def test_utf8_is_judged_as_python_does_however_it_is_cut(data: bytes, places: list[int]) -> None:
    try:
        data.decode()
        sound = True
    except UnicodeDecodeError:
        sound = False
    reader = MessageReader()
    outcome, payload = feed_in_parts(reader, TEXT, cut(data, places))
    assert (outcome, payload) == (("message", data) if sound else ("violation", None))
    assert reader.close_code == (0 if sound else 1007)


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=8))
def test_binary_comes_out_as_it_went_in_however_it_is_cut(data: bytes, places: list[int]) -> None:
    reader = MessageReader()
    assert feed_in_parts(reader, BINARY, cut(data, places)) == ("message", data)
    assert reader.buffered_bytes == 0


@given(st.sampled_from([1000, 1002, 1014, 3000, 4999]), st.text(max_size=200))
def test_close_payloads_are_read_back(code: int, reason: str) -> None:
    payload = close_payload(code, reason)
    reader = MessageReader()
    assert reader.feed_frame(CLOSE, payload) == ("close", None)
    assert reader.close_code == code
    carried = reason.encode("utf-8", "replace")
    assert carried.startswith(reader.close_reason.encode())
    assert len(payload) <= 125
    if len(carried) <= 123:
        assert reader.close_reason.encode() == carried
    else:
        assert len(payload) > 125 - 4  # no more than one character was cut in two
