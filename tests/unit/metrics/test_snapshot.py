from __future__ import annotations

import msgpack  # type: ignore[import-untyped, unused-ignore]
import pytest

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.recorders import CounterState, GaugeState, RateState, TrendState
from ghostcore.metrics.snapshot import (
    MAX_SERIES,
    OTHER,
    SeriesKey,
    Snapshot,
    Totals,
    parse_selector,
)
from ghostcore.metrics.views import CounterView, TrendView

SECOND = 1_000_000_000
HITS = Counter("hits")
VUS = Gauge("vus", additive=True)


def hits(total: float, second: int = 0, **tags: str) -> Snapshot:
    return Snapshot(
        second * SECOND,
        (second + 1) * SECOND,
        {SeriesKey.of("hits", tags): CounterState(total, 1)},
        {"hits": HITS},
    )


def level(value: float, second: int = 0, **tags: str) -> Snapshot:
    return Snapshot(
        second * SECOND,
        (second + 1) * SECOND,
        {SeriesKey.of("vus", tags): GaugeState(value, value, value, additive=True)},
        {"vus": VUS},
    )


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        ("hits", SeriesKey("hits")),
        (" hits {} ", SeriesKey("hits")),
        ("hits{a:1}", SeriesKey("hits", (("a", "1"),))),
        ("hits{b:2, a:1}", SeriesKey("hits", (("a", "1"), ("b", "2")))),
        ("hits{url:ws://h:80/x}", SeriesKey("hits", (("url", "ws://h:80/x"),))),
        ('hits{a:"1,2 } ", b: x y }', SeriesKey("hits", (("a", "1,2 } "), ("b", "x y")))),
        ("hits{a:}", SeriesKey("hits", (("a", ""),))),
        (r'hits{a:"say \"b\" \\ \n"}', SeriesKey("hits", (("a", r'say "b" \ \n'),))),
        (r"hits{a:C:\x}", SeriesKey("hits", (("a", r"C:\x"),))),
    ],
)
def test_selectors(selector: str, key: SeriesKey) -> None:
    assert parse_selector(selector) == key


@pytest.mark.parametrize(
    "selector",
    [
        "hits{",
        "hits{a}",
        "hits{a:1",
        "hits{:1}",
        "hits{a:1,a:2}",
        'hits{a:"1}',
        'hits{a:"1"b:2}',
        "hits{a:1}x",
        'hits{a:say "b"}',
        r'hits{a:"b\"}',
        "hits{a:1{b}",
    ],
)
def test_bad_selectors_are_refused(selector: str) -> None:
    with pytest.raises(UsageError, match=r"selects no metric: expected name or name\{tag:value"):
        parse_selector(selector)


@pytest.mark.parametrize("tags", [{}, {"a": "1"}, {"b": "x,y", "a": " }"}, {"a": ""}])
def test_a_key_prints_as_the_selector_that_finds_it(tags: dict[str, str]) -> None:
    key = SeriesKey.of("hits", tags)
    assert parse_selector(str(key)) == key


def test_tags_are_made_text_and_sorted() -> None:
    assert SeriesKey.of("m", {"b": 2, "a": True}).tags == (("a", "True"), ("b", "2"))  # type: ignore[dict-item]


def test_snapshots_travel() -> None:
    hist = Histogram()
    hist.record(1500)
    declared: list[Declaration] = [HITS, VUS, Rate("checks"), Trend("join", unit="s")]
    whole = Snapshot(
        5,
        SECOND,
        {
            SeriesKey.of("hits", {"b": "ü", "a": "1"}): CounterState(3, 2),
            SeriesKey("vus"): GaugeState(1, 0, 2, additive=True),
            SeriesKey("checks"): RateState(3, 4),
            SeriesKey("join"): TrendState(1e-6, hist, 3, {"end": hist.copy()}),
        },
        {declaration.name: declaration for declaration in declared},
    )
    assert Snapshot.from_bytes(whole.to_bytes()) == whole
    assert whole.copy() == whole
    assert Snapshot.from_bytes(Snapshot(0, 1).to_bytes()) == Snapshot(0, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x02" + hits(1).to_bytes()[1:],
        hits(1).to_bytes()[:-1],
        hits(1).to_bytes() + b"\x00",
        b"\x01" + msgpack.packb([1, 2, [], [["x", [], ["c", 1.0, 1]]]]),
        b"\x01" + msgpack.packb([1, 2, [["rate"]], []]),
        b"\x01" + msgpack.packb([1, 2, [], [["x"]]]),
        b"\x01" + msgpack.packb(7),
        b"\x01" + msgpack.packb([0, 1, [["rate", "r"]], [["r", [["a"]], ["r", 1, 1]]]]),
    ],
)
def test_snapshot_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a snapshot|not the declaration"):
        Snapshot.from_bytes(data)


def test_merge_joins_workers_and_append_joins_time() -> None:
    workers = level(10)
    workers.merge(level(5))
    assert workers.series[SeriesKey("vus")] == GaugeState(15, 15, 15, additive=True)
    assert (workers.start_ns, workers.end_ns) == (0, SECOND)
    workers.append(level(3, second=1))
    assert workers.series[SeriesKey("vus")] == GaugeState(3, 3, 15, additive=True)
    assert (workers.start_ns, workers.end_ns) == (0, 2 * SECOND)


def test_merging_takes_in_new_series_without_sharing_them() -> None:
    one, two = hits(1), hits(2, page="a")
    one.merge(two)
    one.merge(two)
    assert one.series[SeriesKey("hits", (("page", "a"),))] == CounterState(4, 2)
    assert two == hits(2, page="a")


def test_workers_must_agree_about_a_metric() -> None:
    wrong = Snapshot(0, SECOND, {}, {"hits": Rate("hits")})
    with pytest.raises(UsageError, match=r"metric hits is .* in one place and .* in another"):
        hits(1).merge(wrong)
    totals = Totals()
    totals.add(hits(1))
    with pytest.raises(UsageError, match="hits"):
        totals.add(wrong)


def test_totals_merge_the_series_whose_tags_are_a_superset() -> None:
    totals = Totals()
    totals.add(hits(1, page="a", user="x"))
    totals.add(hits(2, 1, page="a", user="y"))
    totals.add(hits(4, 2, page="b", user="x"))
    totals.add(hits(8, 3))
    totals.add(hits(16, 4, page="a", user="x"))

    def total(selector: str) -> float | None:
        state = totals.metric(selector)
        return state.total if isinstance(state, CounterState) else None

    assert total("hits") == 31
    assert total("hits{page:a}") == 19
    assert total("hits{user:x,page:a}") == 17
    assert total("hits{page:c}") is None
    assert total("other") is None
    assert total("hits") == 31  # asking changes nothing
    assert totals.seconds == 5
    assert list(totals.names()) == ["hits"]
    assert [str(key) for key in totals.keys("hits")][:2] == ["hits", "hits{page:a,user:x}"]


def test_totals_follow_a_level_and_add_shares_of_series() -> None:
    totals = Totals()
    totals.add(level(10, 0, scenario="a"))
    window = level(4, 1, scenario="a")
    window.merge(level(5, 1, scenario="b"))
    totals.add(window)
    assert totals.metric("vus{scenario:a}") == GaugeState(4, 4, 10, additive=True)
    assert totals.metric("vus") == GaugeState(9, 9, 15, additive=True)


def test_totals_own_what_they_keep() -> None:
    totals, snapshot = Totals(), hits(1)
    totals.add(snapshot)
    totals.add(snapshot)
    assert snapshot == hits(1)
    twin = totals.copy()
    totals.add(snapshot)
    assert twin.metric("hits") == CounterState(2, 2)
    assert totals.metric("hits") == CounterState(3, 3)


def test_totals_keep_a_bounded_number_of_series_and_lose_nothing() -> None:
    totals = Totals()
    for i in range(MAX_SERIES):
        totals.add(hits(1, user=str(i)))
    assert totals.complete("hits{user:5}")
    late = hits(1, user="late")
    late.merge(hits(1, user="later"))
    totals.add(late)
    totals.add(hits(5, user="late"))
    totals.add(hits(7, user="3"))
    assert len(totals.series) == MAX_SERIES + 1
    assert totals.series[SeriesKey("hits", OTHER)] == CounterState(7, 3)
    assert totals.metric("hits{user:3}") == CounterState(8, 2)
    state = totals.metric("hits")
    assert isinstance(state, CounterState)
    assert state.total == MAX_SERIES + 14
    assert not totals.complete("hits{user:5}")
    assert totals.complete("hits")


def test_views_of_totals() -> None:
    totals = Totals({"join": Trend("join")})
    totals.add(hits(4, page="a"))
    totals.add(hits(4, 1, page="b"))
    view = totals.view("hits{page:a}")
    assert isinstance(view, CounterView)
    assert (view.name, view.count, view.rate) == ("hits{page:a}", 4, 2.0)
    empty = totals.view("join")
    assert isinstance(empty, TrendView)
    assert empty.count == 0
    with pytest.raises(UsageError, match="unknown metric 'joint'"):
        totals.view("joint{a:1}")
