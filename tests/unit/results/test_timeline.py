"""The timeline: figures of each second, blocks that join, nothing lost."""

from __future__ import annotations

from ghostcore import Gauge, Rate, Trend
from ghostcore.metrics import Registry
from ghostcore.results.timeline import Timeline

SECOND = 10**9
T, R, G = Trend("t"), Rate("r"), Gauge("g")


def filled(seconds: int, max_blocks: int) -> Timeline:
    registry = Registry([T, R, G])
    timeline = Timeline(max_blocks)
    for second in range(seconds):
        registry.recorder(T, {"s": "a"}).record(second + 1)  # type: ignore[union-attr]
        registry.recorder(T, {"s": "b"}).fail()  # type: ignore[union-attr]
        registry.recorder("iterations").add(second)  # type: ignore[union-attr, arg-type]
        registry.recorder(R).add(second % 2 == 1)  # type: ignore[union-attr]
        registry.recorder(G).set(second)  # type: ignore[union-attr]
        timeline.add(registry.drain(second * SECOND, (second + 1) * SECOND))
    return timeline


def test_each_second_has_its_figures_with_all_tags_together() -> None:
    second = filled(4, 10).seconds[3]
    assert (second.start_s, second.end_s) == (3, 4)
    assert second.values["iterations"] == 3
    assert second.values["r"] == [1, 0]
    assert second.values["g"] == 3
    figures = second.values["t"]
    assert (figures["count"], figures["failed"], figures["cut_off"]) == (2, 1, 0)
    assert (figures["min"], figures["max"], figures["p50"]) == (4, 4, 4)
    assert figures["p95"] == float("inf")


def test_blocks_stay_within_their_number_and_lose_nothing() -> None:
    for seconds in range(1, 70):
        timeline = filled(seconds, 8)
        assert len(timeline.seconds) == seconds
        assert len(timeline.blocks) <= 8
        assert timeline.blocks[0].start_ns == 0
        assert timeline.blocks[-1].end_ns == seconds * SECOND
        pairs = zip(timeline.blocks, timeline.blocks[1:], strict=False)
        assert all(first.end_ns == second.start_ns for first, second in pairs)
        everything, whole_s = timeline.outside([])
        assert whole_s == seconds
        assert everything.metric("t").count == 2 * seconds  # type: ignore[union-attr]


def test_blocks_have_about_the_same_length() -> None:
    for seconds in (9, 17, 33, 50, 100):
        lengths = [block.end_ns - block.start_ns for block in filled(seconds, 8).blocks[:-1]]
        assert len(set(lengths)) == 1, (seconds, lengths)


def test_the_last_seconds() -> None:
    last, last_s = filled(10, 100).outside([], 3)
    assert (last.metric("t").count, last_s) == (6, 3)  # type: ignore[union-attr]
    assert Timeline().outside([], 3)[1] == 0
