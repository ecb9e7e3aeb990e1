from __future__ import annotations

from collections import Counter

from tests.fuzz.frames import MAX_MESSAGE_SIZE, make_stream, run
from tests.reference.stream_reference import StreamReference


def test_200_000_frames_of_random_streams() -> None:
    run(200_000, seed=20_26)


def test_the_streams_reach_every_kind_of_end() -> None:
    ends: Counter[tuple[int, bool]] = Counter()
    for seed in range(1500):
        reference = StreamReference(MAX_MESSAGE_SIZE)
        reference.feed(make_stream(seed)[1])
        ends[reference.code, reference.violated] += 1
    for end in ((0, False), (1000, False), (1002, True), (1007, True), (1009, True)):
        assert ends[end] >= 10, ends
