"""What type checkers know of the metrics of a result; read by them, run by nobody."""

from __future__ import annotations

from typing import assert_type

import ghostcore
from ghostcore import Counter, Gauge, Rate, Result, Trend
from ghostcore.metrics import CounterView, GaugeView, NamedView, RateView, TrendView

ECHO = Trend("echo_time", unit="ms")
ITEMS = Counter("items")
GOOD = Rate("good")
LEVEL = Gauge("level")


def by_declaration(result: Result) -> None:
    assert_type(result.metrics[ECHO], TrendView)
    assert_type(result.metrics[ECHO].p(95), float)
    assert_type(result.metrics[ECHO].count, int)
    assert_type(result.metrics[ITEMS], CounterView)
    assert_type(result.metrics[ITEMS].count, float)
    assert_type(result.metrics[GOOD], RateView)
    assert_type(result.metrics[GOOD].passes, int)
    assert_type(result.metrics[LEVEL], GaugeView)
    assert_type(result.metrics[LEVEL].value, float)


def by_name(result: Result) -> None:
    view = result.metrics["echo_time"]
    assert_type(view, NamedView)
    assert_type(view.p(95), float)
    assert_type(view.cut_off, int)
    print(view.count + 1)
    assert_type(result.metrics["vus"].value, float)
    assert_type(result.metrics["checks"].passes, int)
    for name, found in result.metrics.items():
        assert_type(name, str)
        assert_type(found, NamedView)


def narrowed(result: Result) -> None:
    view = result.metrics["echo_time"]
    if isinstance(view, TrendView):
        assert_type(view.mean, float)
    union = result.metrics.view("echo_time")
    if isinstance(union, TrendView):
        assert_type(union, TrendView)


async def of_a_run(scenario: ghostcore.Scenario) -> None:
    assert_type(ghostcore.run(scenario), Result)
    assert_type(await ghostcore.run_async(scenario), Result)
    assert_type(ghostcore.run(scenario).metrics[ECHO].p(50), float)
