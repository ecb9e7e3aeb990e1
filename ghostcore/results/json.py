"""result.json, schema version 1: everything that is known of a run, for programs.

The schema is ``schema/result-1.schema.json`` beside this module; :func:`schema` reads it. JSON has
neither NaN nor infinity: a figure that does not exist is null, an infinite one the text ``"inf"``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from ghostcore.errors import meaning_of
from ghostcore.metrics import (
    Bounds,
    CounterView,
    GaugeView,
    Interval,
    RateView,
    Snapshot,
    TrendView,
    View,
    parse_selector,
)
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.recorders import TrendState
from ghostcore.monitor.generator_report import GeneratorReport
from ghostcore.results.files import write_whole
from ghostcore.results.record import ErrorCount, Metrics, Record
from ghostcore.results.timeline import Timeline

__all__ = ["CONFIDENCE", "FILE_NAME", "SCHEMA_VERSION", "JsonOutput", "schema", "to_dict"]

SCHEMA_VERSION = 1
FILE_NAME = "result.json"
CONFIDENCE = 0.95
"""Of the intervals beside quantiles."""

QUANTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}

SAMPLED = (
    "loop_lag_ms",
    "loop_lag_p99_ms",
    "stamp_error_ms",
    "stamp_error_p99_ms",
    "cpu_share",
    "loop_cpu_share",
    "waiting_share",
    "core_share",
    "machine_cpu_share",
    "steal_share",
    "gc_pause_ms",
    "clock_jump_ms",
    "rss_bytes",
    "descriptors",
    "backlog_bytes",
    "sockets",
    "time_wait",
    "local_failures",
)
"""Figures of a ``GeneratorSample``."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what :func:`to_dict` returns."""
    text = resources.files("ghostcore.results").joinpath("schema/result-1.schema.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def to_dict(record: Record) -> dict[str, Any]:
    """The record as plain data that JSON can hold."""
    outcome = record.outcome
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": record.verdict,
        "exit_code": record.exit_code,
        "reasons": list(record.reasons),
        "seed": record.seed,
        "started_at": record.started_at,
        "duration_s": figure(record.duration_s),
        "setup_ms": figure(record.setup_ms),
        "teardown_ms": figure(record.teardown_ms),
        "outcome": {
            "offered": outcome.offered,
            "delivered": outcome.delivered,
            "answered": outcome.answered,
            "interrupted": outcome.interrupted,
        },
        "warmup": None
        if record.warmup is None
        else {
            "duration_s": figure(record.warmup.duration_s),
            "samples": record.warmup.samples,
            "iterations": record.warmup.iterations,
        },
        "plan": plain(record.plan),
        "metrics": _metrics(record),
        "thresholds": [
            {
                "metric": one.metric,
                "expression": one.expression,
                "observed": figure(one.observed),
                "observed_text": one.observed_text,
                "verdict": one.verdict,
                "reason": one.reason,
                "generator_error": figure(record.generator_error(one.metric)),
                "aborted_at_s": figure(one.aborted_at_s),
                "breaches": one.breaches,
                "first_breach_s": figure(one.first_breach_s),
            }
            for one in record.thresholds
        ],
        "errors": [_error(one) for one in record.errors],
        "timeline": _timeline(record.timeline),
        "generator": _generator(record.generator),
        "server": {},
        "machine": plain(record.machine),
        "warnings": list(record.warnings),
    }


class JsonOutput:
    """Saves a record as result.json (an ``Output``, see ``ghostcore.results.outputs``)."""

    name = "json"
    file_name = FILE_NAME

    def write(self, record: Record, directory: Path) -> Path:
        """Write the file into a directory that exists; returns its path.

        :raises OSError: it cannot be written.
        """
        data = to_dict(record)
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        path = directory / self.file_name
        write_whole(path, text + "\n")
        return path


def figure(value: float | None) -> float | str | None:
    """A number for JSON: NaN is null, infinity ``"inf"``, a whole float stays a number."""
    if value is None or isinstance(value, int):
        return value
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def plain(value: Any) -> Any:
    """Nested data with its numbers made fit for JSON; what JSON cannot hold becomes text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return figure(value)
    return str(value)


# ---- metrics ------------------------------------------------------------------------------------


def _metrics(record: Record) -> dict[str, Any]:
    selectors = [one.metric for one in record.thresholds if parse_selector(one.metric).tags]
    found = {}
    for name in record.metrics:
        wanted = [one for one in selectors if parse_selector(one).name == name]
        found[name] = {
            **_view(record.metrics.view(name)),
            **_error_of(record, name),
            "series": _series(record.metrics, name, wanted),
        }
    return found


def _error_of(record: Record, name: str) -> dict[str, Any]:
    if not isinstance(record.metrics[name], TrendView):
        return {}
    return {"generator_error": figure(record.generator_error(name))}


def _series(metrics: Metrics, name: str, selectors: Iterable[str]) -> dict[str, Any]:
    """Every combination of tags, and the samples that thresholds selected."""
    names = dict.fromkeys([*map(str, metrics.series(name)), *selectors])
    return {
        selector: {"tags": dict(parse_selector(selector).tags), **_view(metrics.view(selector))}
        for selector in names
        if parse_selector(selector).tags
    }


def _view(view: View) -> dict[str, Any]:
    match view:
        case TrendView():
            return _trend(view)
        case CounterView():
            return {
                "type": "counter",
                "unit": view.unit,
                "count": figure(view.count),
                "rate": figure(view.rate),
            }
        case RateView():
            return {
                "type": "rate",
                "unit": "",
                "rate": figure(view.rate),
                "passes": view.passes,
                "fails": view.fails,
            }
        case GaugeView():
            return {
                "type": "gauge",
                "unit": view.unit,
                "value": figure(view.value),
                "min": figure(view.min),
                "max": figure(view.max),
            }


def _trend(view: TrendView) -> dict[str, Any]:
    return {
        "type": "trend",
        "unit": view.unit,
        "count": view.count,
        "failed": view.failed,
        "cut_off": view.cut_off_by_cause,
        "min": figure(view.min),
        "max": figure(view.max),
        "mean": figure(view.mean),
        **{name: figure(view.p(q)) for name, q in QUANTILES.items()},
        "bounds": {name: _bounds(view.bounds(q)) for name, q in QUANTILES.items()},
        "intervals": {name: _interval(view, q) for name, q in QUANTILES.items()},
        "resolution": view.state.resolution,
        **_payloads(view.state),
    }


def _bounds(bounds: Bounds) -> list[float | str | None]:
    return [figure(bounds.lower), figure(bounds.upper)]


def _interval(view: TrendView, q: float) -> dict[str, Any]:
    found = view.interval(q, CONFIDENCE)
    if isinstance(found, Interval):
        return {"low": figure(found.low), "high": figure(found.high), "confidence": CONFIDENCE}
    return {"too_few": True, "needed": found.needed, "confidence": CONFIDENCE}


def _payloads(state: TrendState) -> dict[str, Any]:
    return {
        "hdr": payload(state.hist),
        "cut_off_hdr": {cause: payload(hist) for cause, hist in state.cut_off.items()},
    }


def payload(hist: Histogram) -> str | None:
    """The histogram as HdrHistogram implementations exchange it; None if it is empty."""
    return hist.encode() if hist.count else None


# ---- the rest -----------------------------------------------------------------------------------


def _error(error: ErrorCount) -> dict[str, Any]:
    return {
        "kind": error.kind,
        "meaning": meaning_of(error.kind),
        "count": error.count,
        "samples": [
            {
                "scenario": one.scenario,
                "text": one.text,
                "phase": one.phase,
                "elapsed_ms": figure(one.elapsed_ms),
                "at_s": figure(one.at_s),
                "age_s": figure(one.age_s),
                "code": one.code,
            }
            for one in error.samples
        ],
    }


def _timeline(timeline: Timeline) -> dict[str, Any]:
    return {
        "seconds": [
            {"start_s": one.start_s, "end_s": one.end_s, "values": plain(one.values)}
            for one in timeline.seconds
        ],
        "blocks": [_block(block) for block in timeline.blocks],
    }


def _block(block: Snapshot) -> dict[str, Any]:
    """The Trends of a block, all tags together."""
    merged: dict[str, TrendState] = {}
    for key, state in block.series.items():
        if not isinstance(state, TrendState) or not state.count:
            continue
        known = merged.get(key.name)
        if known is None:
            merged[key.name] = state.copy()
        else:
            known.merge(state)
    return {
        "start_s": block.start_ns / 1e9,
        "end_s": block.end_ns / 1e9,
        "trends": {
            name: {
                "resolution": state.resolution,
                "count": state.count,
                "failed": state.failed,
                "cut_off": {cause: hist.count for cause, hist in state.cut_off.items()},
                **_payloads(state),
            }
            for name, state in merged.items()
        },
    }


def _generator(report: GeneratorReport) -> dict[str, Any]:
    return {
        "maxima": {name: figure(_maximum(report, name)) for name in SAMPLED},
        "calibration": None if report.calibration is None else plain(asdict(report.calibration)),
        "suspect": [list(span) for span in report.suspect_spans],
        "stalls": [plain(asdict(stall)) for stall in report.stalls],
        "samples": [
            {
                "at_s": figure(one.at_s),
                "window_s": figure(one.window_s),
                "error_ms": figure(one.error_ms),
                **{name: figure(getattr(one, name)) for name in SAMPLED},
                "doubts": [{"rule": doubt.rule, "text": doubt.text} for doubt in one.doubts],
            }
            for one in report.samples
        ],
    }


def _maximum(report: GeneratorReport, name: str) -> float | None:
    return report.maximum(name) if report.samples else None
