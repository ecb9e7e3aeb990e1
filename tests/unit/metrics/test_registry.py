from __future__ import annotations

import pytest

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.recorders import (
    CounterRecorder,
    CounterState,
    GaugeRecorder,
    GaugeState,
    RateRecorder,
    TrendRecorder,
)
from ghostcore.metrics.registry import Registry
from ghostcore.metrics.snapshot import OTHER, SeriesKey


def counter(registry: Registry, name: str, **tags: str) -> CounterRecorder:
    recorder = registry.recorder(Counter(name), tags)
    assert isinstance(recorder, CounterRecorder)
    return recorder


def test_one_series_has_one_recorder_whatever_the_order_of_tags() -> None:
    registry = Registry()
    hits = Counter("hits")
    first = registry.recorder(hits, {"a": "1", "b": "2"})
    assert registry.recorder(Counter("hits"), {"b": "2", "a": "1"}) is first
    assert registry.recorder("hits", {"a": "1", "b": "2"}) is first
    assert registry.recorder(hits) is not first
    assert registry.recorder(hits) is registry.recorder(hits, {})


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (Trend("t"), TrendRecorder),
        (Counter("c"), CounterRecorder),
        (Rate("r"), RateRecorder),
        (Gauge("g"), GaugeRecorder),
        ("ws_connecting", TrendRecorder),
        ("vus", GaugeRecorder),
    ],
)
def test_each_metric_has_its_recorder(metric: Declaration | str, kind: type) -> None:
    recorder = Registry().recorder(metric)
    assert type(recorder) is kind
    assert recorder.name == str(metric)


def test_recorders_are_made_from_the_declaration() -> None:
    registry = Registry([Trend("size", unit="items", resolution=0.5)])
    size, level = registry.recorder("size"), registry.recorder("vus")
    assert isinstance(size, TrendRecorder)
    assert size.resolution == 0.5
    with pytest.raises(ValueError, match="size is not a duration"):
        size.record_ns(1)
    assert isinstance(level, GaugeRecorder)
    assert level.additive
    join = registry.recorder(Trend("join", unit="s"))
    assert isinstance(join, TrendRecorder)
    join.record_ns(1_500_000_000)
    state = join.drain()
    assert state is not None
    assert state.hist.max == 1_500_000


@pytest.mark.parametrize(
    "other", [Gauge("hits"), Counter("hits", unit="bytes"), Trend("hits"), Rate("hits")]
)
def test_a_name_means_one_metric(other: Declaration) -> None:
    registry = Registry([Counter("hits")])
    for attempt in (registry.declare, registry.recorder):
        with pytest.raises(UsageError, match=r"hits is declared as .* but it already is"):
            attempt(other)


def test_built_in_names_are_taken() -> None:
    with pytest.raises(UsageError, match="ws_connecting"):
        Registry([Trend("ws_connecting", unit="s")])
    Registry([Trend("ws_connecting")])


def test_what_is_no_metric_is_refused() -> None:
    registry = Registry()
    with pytest.raises(UsageError, match=r"unknown metric 'join'.*declare it"):
        registry.recorder("join")
    for thing in (5, Trend, Declaration):
        with pytest.raises(UsageError, match="is no metric"):
            registry.declare(thing)  # type: ignore[arg-type]


def test_drain_gives_what_happened_and_only_that() -> None:
    registry = Registry()
    counter(registry, "hits", page="a").add(2)
    counter(registry, "misses")
    level = registry.recorder("vus")
    assert isinstance(level, GaugeRecorder)
    level.set(7)
    first = registry.drain(0, 1_000_000_000)
    assert (first.start_ns, first.end_ns) == (0, 1_000_000_000)
    assert first.series == {
        SeriesKey("hits", (("page", "a"),)): CounterState(2, 1),
        SeriesKey("vus"): GaugeState(7, 7, 7, additive=True),
    }
    assert first.declarations.keys() == {"hits", "vus"}
    second = registry.drain(1_000_000_000, 2_000_000_000)
    assert second.series == {SeriesKey("vus"): GaugeState(7, 7, 7, additive=True)}


def test_beyond_a_thousand_series_samples_are_counted_together_with_one_warning() -> None:
    registry = Registry()
    for i in range(1003):
        counter(registry, "hits", user=str(i)).add(1)
    kept = counter(registry, "hits", user="5")
    kept.add(10)
    counter(registry, "other_metric").add(4)
    series = registry.drain(0, 1).series
    assert len(series) == 1002
    assert series[SeriesKey("hits", OTHER)] == CounterState(3, 3)
    assert series[SeriesKey("other_metric", OTHER)] == CounterState(4, 1)
    assert series[SeriesKey("hits", (("user", "5"),))] == CounterState(11, 2)
    assert SeriesKey("hits", (("user", "1000"),)) not in series
    assert len(registry.warnings) == 1
    assert "more than 1000 series" in registry.warnings[0]
    assert "hits{user:1000}" in registry.warnings[0]


def test_two_registries_share_nothing() -> None:
    one, two = Registry(), Registry()
    counter(one, "hits").add(1)
    assert two.drain(0, 1).series == {}
    two.declare(Rate("hits"))
