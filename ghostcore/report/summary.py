"""The summary of a finished run, as lines of styled text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.text import Text

from ghostcore._units import format_duration
from ghostcore.errors import meaning_of
from ghostcore.metrics import (
    BUILTINS,
    FROM_DUE,
    CounterView,
    GaugeView,
    RateView,
    SeriesKey,
    ThresholdResult,
    TrendView,
    View,
    parse_selector,
)
from ghostcore.report.table import table
from ghostcore.results.generator_text import generator_lines
from ghostcore.results.record import ErrorCount, Metrics, Outcome, WarmUp
from ghostcore.results.result import Result
from ghostcore.results.text import (
    bounds_text,
    clean,
    compact,
    error_text,
    grouped,
    interval_text,
    share_text,
    three_digits,
    wrapped,
)

__all__ = ["DEFAULT_WIDTH", "MARKS", "summary_lines", "summary_text"]

DEFAULT_WIDTH = 100

MARKS = {"pass": ("✓", "green"), "fail": ("✗", "bold red"), "undetermined": ("?", "bold yellow")}
VERDICT_STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}

_INTERVAL = "p95 within"
_ERROR = "+gen"
_FIGURES = ("avg", "min", "med", "max", "p90", "p95", _INTERVAL, "p99")


def summary_text(result: Result, width: int = DEFAULT_WIDTH) -> str:
    """The summary as plain text that fits `width` columns."""
    return "\n".join(line.plain for line in summary_lines(result, width)) + "\n"


def summary_lines(result: Result, width: int = DEFAULT_WIDTH) -> Iterator[Text]:
    """The summary: what was offered, delivered and answered comes first, the verdict last."""
    yield from _outcome(result.outcome)
    yield from _warmup(result.warmup, width)
    yield from _metric_tables(result, width)
    if result.thresholds:
        yield from _section("Thresholds")
        yield from _thresholds(result, width)
    if result.errors:
        yield from _section("Errors")
        for error in result.errors:
            yield from _error(error, width)
    if result.warnings:
        yield from _section("Warnings")
        for warning in result.warnings:
            yield from _lines(wrapped(clean(warning), width, "  ! ", "    "), "yellow")
    yield Text()
    yield from _lifecycle(result)
    for line in generator_lines(result.generator):
        yield from _lines(wrapped(clean(line), width, "", "  "), "dim")
    yield from _verdict(result, width)


def _lines(lines: Iterable[str], style: str = "") -> Iterator[Text]:
    return (Text(line, style=style) for line in lines)


def _section(title: str) -> Iterator[Text]:
    yield Text()
    yield Text(title, style="bold")


def _outcome(outcome: Outcome) -> Iterator[Text]:
    line = Text("offered ", style="bold")
    line.append(f"{outcome.offered:,}")
    line.append(" / delivered ").append(f"{outcome.delivered:,}")
    line.append(f" ({share_text(outcome.delivered, outcome.offered)})", style="not bold")
    line.append(" / answered ").append(f"{outcome.answered:,}")
    line.append(f" ({share_text(outcome.answered, outcome.offered)})", style="not bold")
    yield line
    if outcome.interrupted:
        yield Text(f"  {outcome.interrupted:,} of those delivered were cut off before their end")


def _warmup(warmup: WarmUp | None, width: int) -> Iterator[Text]:
    if warmup is not None:
        text = (
            f"warm-up: the first {format_duration(round(warmup.duration_s, 1))} are not counted "
            f"below, {_count(warmup.samples)} samples and {_count(warmup.iterations)} iterations"
        )
        yield from _lines(wrapped(text, width, "  "), "dim")


# ---- metrics ------------------------------------------------------------------------------------


def ordered_selectors(metrics: Metrics, thresholds: Iterable[ThresholdResult]) -> list[str]:
    """Custom metrics by name, then the built-in ones in their own order; below each metric the
    selectors that have rows of their own: those of thresholds, checks and kinds of errors."""
    builtin = {name: place for place, name in enumerate(BUILTINS)}

    def place_of(name: str) -> tuple[bool, int, str]:
        base = name.removesuffix(FROM_DUE)
        return base in builtin, builtin.get(base, 0), name

    names = sorted(metrics, key=place_of)
    wanted = dict.fromkeys(one.metric for one in thresholds if parse_selector(one.metric).tags)
    found = []
    for name in names:
        below = dict.fromkeys(one for one in wanted if parse_selector(one).name == name)
        if name == "checks":
            values = dict.fromkeys(
                value for key in metrics.series(name) for tag, value in key.tags if tag == "check"
            )
            below |= dict.fromkeys(str(key_of(name, "check", value)) for value in values)
        found += [name, *below]
    return found


def key_of(name: str, tag: str, value: str) -> str:
    """The selector of the samples of a metric with one tag."""
    return str(SeriesKey.of(name, {tag: value}))


def _metric_tables(result: Result, width: int) -> Iterator[Text]:
    views: list[tuple[str, View]] = [
        (selector, result.metrics.view(selector))
        for selector in ordered_selectors(result.metrics, result.thresholds)
    ]
    trends = [
        _TrendRow(label(one), view, result.generator_error(one))
        for one, view in views
        if isinstance(view, TrendView)
    ]
    counters = [(label(one), view) for one, view in views if isinstance(view, CounterView)]
    rates = [(label(one), view) for one, view in views if isinstance(view, RateView)]
    gauges = [(label(one), view) for one, view in views if isinstance(view, GaugeView)]
    if trends:
        yield Text()
        yield from _trends(trends, width)
    if counters:
        yield Text()
        yield from table(
            [_heading("Counters", "", "count", "per second"), *map(_counter_row, counters)], 2
        )
    if rates:
        yield Text()
        yield from table([_heading("Rates", "rate", "passed", "failed"), *map(_rate_row, rates)])
    if gauges:
        yield Text()
        yield from table(
            [_heading("Gauges", "", "last", "min", "max"), *map(_gauge_row, gauges)], 2
        )


def label(selector: str) -> str:
    """The first cell of a row: samples with tags stand by their tags alone, below their metric."""
    name, brace, tags = selector.partition("{")
    return f"    {clean(brace + tags)}" if brace else f"  {name}"


def _heading(*cells: str) -> list[str | Text]:
    return [Text(cells[0], style="bold"), *(Text(cell, style="dim") for cell in cells[1:])]


class _TrendRow(NamedTuple):
    name: str
    view: TrendView
    error: float  # the generator's, NaN if it is not known


def _trends(trends: list[_TrendRow], width: int) -> Iterator[Text]:
    """One row a Trend; two where the table would be wider than the screen."""
    lossy = any(row.view.failed or row.view.cut_off for row in trends)
    judged = any(not math.isnan(row.error) for row in trends)
    figures = (*_FIGURES, _ERROR) if judged else _FIGURES
    counts = ("n", "failed", "cut off") if lossy else ("n",)
    rows = [_heading("Trends", "", *figures, *counts)]
    for row in trends:
        view = row.view
        numbers = (view.count, view.failed, view.cut_off)[: len(counts)]
        cells = _figures(row)[: len(figures)]
        rows.append([row.name, view.unit, *cells, *(_count(number) for number in numbers)])
    lines = _narrowest(rows, 2, width)
    if max(line.cell_len for line in lines) <= width:
        yield from lines
    else:
        yield from _stacked(trends, figures, lossy, width)
    if lossy:
        note = "(avg, min, max: samples with a value; quantiles: failed ones are infinite)"
        yield from _lines(wrapped(note, width, "  "), "dim")
    if judged:
        note = f"({_ERROR}: what the generator itself may have added; 99 of 100 samples got less)"
        yield from _lines(wrapped(note, width, "  "), "dim")


def _narrowest(rows: list[list[str | Text]], left: int, width: int) -> list[Text]:
    """A table with wide gaps if it fits, else with narrow ones."""
    lines = table(rows, left, 2)
    return lines if max(line.cell_len for line in lines) <= width else table(rows, left, 1)


def _stacked(
    trends: list[_TrendRow], figures: tuple[str, ...], lossy: bool, width: int
) -> Iterator[Text]:
    """Each Trend's name and counts on one line, its figures below."""
    rows = [_heading("Trends", *figures)]
    rows += [["", *_figures(row)[: len(figures)]] for row in trends]
    lines = _narrowest(rows, 1, width)
    yield lines[0]
    for (name, view, _), line in zip(trends, lines[1:], strict=True):
        head = Text(name)
        head.append(f"  {view.unit}, n {_count(view.count)}", style="dim")
        if lossy:
            head.append(f", failed {_count(view.failed)}, cut off {_count(view.cut_off)}")
        yield head
        yield line


def _figures(row: _TrendRow) -> list[str | Text]:
    view = row.view
    return [
        three_digits(view.mean),
        three_digits(view.min),
        bounds_text(view.bounds(50)),
        three_digits(view.max),
        bounds_text(view.bounds(90)),
        Text(bounds_text(view.bounds(95)), style="bold"),
        Text(interval_text(view, 95), style="dim"),
        bounds_text(view.bounds(99)),
        Text(error_text(row.error) or "-", style="dim"),
    ]


def _count(number: int) -> str:
    return f"{number:,}"


def _counter_row(row: tuple[str, CounterView]) -> list[str | Text]:
    name, view = row
    return [name, view.unit, grouped(view.count), compact(view.rate)]


def _rate_row(row: tuple[str, RateView]) -> list[str | Text]:
    name, view = row
    share = share_text(view.passes, view.passes + view.fails)
    return [name, share, _count(view.passes), _count(view.fails)]


def _gauge_row(row: tuple[str, GaugeView]) -> list[str | Text]:
    name, view = row
    return [name, view.unit, compact(view.value), compact(view.min), compact(view.max)]


# ---- verdicts -----------------------------------------------------------------------------------


def _thresholds(result: Result, width: int) -> Iterator[Text]:
    rows: list[list[str | Text]] = []
    errors: list[str] = []
    for one in result.thresholds:
        mark, style = MARKS[one.verdict]
        observed = Text(one.observed_text, style=style)
        counted = one.expression.startswith("count")
        error = "" if counted else error_text(result.generator_error(one.metric))
        rows.append([Text(f"  {mark}", style=style), clean(one.metric), one.expression, observed])
        errors.append(error)
    for one, error, line in zip(result.thresholds, errors, table(rows, 3), strict=True):
        yield line.append(f"  ({error} generator)", style="dim") if error else line
        plain = one.verdict == "pass" and not one.breaches
        if not plain and not one.reason.endswith(f" {one.observed_text}"):
            style = MARKS["undetermined" if one.verdict == "pass" else one.verdict][1]
            yield from _lines(wrapped(clean(one.reason), width, "     "), style)


def _error(error: ErrorCount, width: int) -> Iterator[Text]:
    line = Text(f"  {error.count:,} x ", style="bold").append(clean(error.kind), style="bold red")
    meaning = meaning_of(error.kind)
    if meaning:
        line.append(f"  {meaning}", style="not bold")
    yield line
    for sample in error.samples[:1]:
        parts = [f"at {compact(sample.at_s)} s in {clean(sample.scenario)}"]
        if sample.phase:
            parts.append(clean(sample.phase))
        if sample.elapsed_ms == sample.elapsed_ms:
            parts.append(f"after {compact(sample.elapsed_ms)} ms")
        text = f"{', '.join(parts)}: {clean(sample.text)}"
        yield from _lines(wrapped(text, width, "     "), "dim")


def _lifecycle(result: Result) -> Iterator[Text]:
    steps = (("set-up", result.setup_ms), ("teardown", result.teardown_ms))
    parts = [f"{name} {format_duration(ms / 1e3)}" for name, ms in steps if ms is not None]
    if parts:
        yield Text(", ".join(parts), style="dim")


def _verdict(result: Result, width: int) -> Iterator[Text]:
    line = Text("verdict: ", style="bold")
    line.append(result.verdict, style=VERDICT_STYLES[result.verdict])
    line.append(f"  (exit code {result.exit_code}, seed {result.seed})", style="not bold")
    yield line
    for reason in result.reasons:
        yield from _lines(wrapped(clean(reason), width, "  - ", "    "))
