"""The summary, word for word."""

from __future__ import annotations

from ghostcore.metrics import SeriesKey
from ghostcore.metrics.recorders import RateState
from ghostcore.report import summary_text
from ghostcore.report.summary import ordered_selectors, summary_lines
from ghostcore.results.record import Outcome
from tests.support.results import make_result, tagged, trend_state, troubled_result

TROUBLED = """\
offered 1,300 / delivered 1,240 (95.38 %) / answered 1,234 (94.92 %)
  6 of those delivered were cut off before their end

Trends   avg   min   med   max   p90       p95  p95 within       p99   +gen
  join_time  ms, n 110, failed 0, cut off 10
        11.0  10.0  10.0  20.0  20.0  >= 10000   20.0..inf  >= 10000  +2.50
  ws_connecting  ms, n 5, failed 3, cut off 0
        2.00  1.50   inf  2.50   inf       inf     too few       inf  +0.25
    {scenario:shop}  ms, n 5, failed 3, cut off 0
        2.00  1.50   inf  2.50   inf       inf     too few       inf  +0.25
  (avg, min, max: samples with a value; quantiles: failed ones are infinite)
  (+gen: what the generator itself may have added; 99 of 100 samples got less)

Counters              count  per second
  items       pieces   12.5        6.25
  iterations          1,234         617
  ws_errors               3        1.50

Rates                   rate  passed  failed
  checks             99.90 %     999       1
    {check:is fine}  99.90 %     999       1

Gauges    last  min  max
  vus        0    0   20

Thresholds
  ✓  join_time                     p(50)<1000         10  (+2.50 generator)
  ?  join_time                     p(95)<15000  >= 10000  (+2.50 generator)
     p(95) is >= 10000: it depends on the 10 operations that were cut off
  ✗  ws_connecting{scenario:shop}  p(95)<3000        inf  (+0.25 generator)
     p(95) is inf: 3 of 5 operations failed
  ✗  items                         count>99            -
     no data

Errors
  3 x connection_refused  nothing listens at that address and port
     at 0.500 s in shop, tcp, after 1.25 ms: refused \\x1b[31m[ws://h/]
  1 x script_error  an error of the script's own, not of the server's
     at 1 s in shop: shop.py:3: KeyError: 'x'

Warnings
  ! 1,001 series: more are counted in __other__

generator peaks: loop lag 312 ms, stamp error 1.50 ms, CPU 90 % of a core, 41.5 MB, 33 files
the event loop stood still for 310 ms at 1.5 s: shop.py:12: time.sleep(0.3)
verdict: fail  (exit code 99, seed 7)
  - threshold items count>99 failed: no data
"""

NARROW = """\
offered 1,300 / delivered 1,240 (95.38 %) / answered 1,234 (94.92 %)
  6 of those delivered were cut off before their end

Trends   avg   min   med   max   p90       p95  p95 within       p99   +gen
  join_time  ms, n 110, failed 0, cut off 10
        11.0  10.0  10.0  20.0  20.0  >= 10000   20.0..inf  >= 10000  +2.50
  ws_connecting  ms, n 5, failed 3, cut off 0
        2.00  1.50   inf  2.50   inf       inf     too few       inf  +0.25
    {scenario:shop}  ms, n 5, failed 3, cut off 0
        2.00  1.50   inf  2.50   inf       inf     too few       inf  +0.25
  (avg, min, max: samples with a value; quantiles: failed ones are infinite)
  (+gen: what the generator itself may have added; 99 of 100 samples got less)
"""

EMPTY = """\
offered 0 / delivered 0 (-) / answered 0 (-)

Trends           avg  min  med  max  p90  p95  p95 within  p99  n
  join_time  ms    -    -    -    -    -    -           -    -  0

generator: not watched
verdict: pass  (exit code 0, seed 7)
  - no thresholds were set; sessions or iterations were completed
"""


def test_everything_that_can_be_said_at_100_columns() -> None:
    assert summary_text(troubled_result()) == TROUBLED


def test_at_80_columns_figures_stand_below_their_names() -> None:
    text = summary_text(troubled_result(), 80)
    assert text[: len(NARROW)] == NARROW
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_measured() -> None:
    assert summary_text(make_result([])) == EMPTY


def test_the_outcome_comes_first_and_the_verdict_last() -> None:
    lines = [line.plain for line in summary_lines(make_result([], outcome=Outcome(9, 8, 7, 0)))]
    assert lines[0] == "offered 9 / delivered 8 (88.89 %) / answered 7 (77.78 %)"
    assert lines[-2] == "verdict: pass  (exit code 0, seed 7)"


def test_custom_metrics_stand_before_the_built_in_ones() -> None:
    result = troubled_result()
    assert ordered_selectors(result.metrics, result.thresholds) == [
        "items",
        "join_time",
        "vus",
        "iterations",
        "checks",
        "checks{check:is fine}",
        "ws_connecting",
        "ws_connecting{scenario:shop}",
        "ws_errors",
    ]


def test_a_table_that_is_just_too_wide_gets_narrow_gaps() -> None:
    result = make_result([{tagged("join_time"): trend_state([1.0] * 60)}])
    wide, narrow = summary_text(result), summary_text(result, 70)
    assert "join_time  ms  1.00  1.00" in wide
    assert "join_time ms 1.00 1.00" in narrow


def test_tags_cannot_command_the_terminal() -> None:
    key = SeriesKey.of("checks", {"check": "\x1b[31mred"})
    text = summary_text(make_result([{key: RateState(1, 0)}]))
    assert "\x1b" not in text
    assert "{check:\\x1b[31mred}" in text
