"""result.json against its schema, and that nothing is lost on the way there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ghostcore import VU, ConstantVUs, Result, Scenario, run, scenario
from ghostcore.metrics import SeriesKey
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.recorders import AnyState, CounterState
from ghostcore.monitor.generator_report import Calibration, GeneratorReport
from ghostcore.results.json import JsonOutput, figure, plain, schema, to_dict
from tests.support.results import JOIN, make_result, tagged, trend_state, troubled_result


def checked(result: Result) -> dict[str, Any]:
    """The data of a result, as a reader of the file gets it, valid against the schema."""
    data: dict[str, Any] = json.loads(json.dumps(to_dict(result), allow_nan=False))
    jsonschema.Draft202012Validator(schema()).validate(data)
    return data


def one_user(script: Any, **thresholds: str) -> Scenario:
    return scenario(load=ConstantVUs(1, 0.2), thresholds=thresholds, metrics=[JOIN])(script)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_schema_that_accepts_anything_would_be_none() -> None:
    data = checked(troubled_result())
    del data["metrics"]["join_time"]["bounds"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(data)


def test_an_empty_result() -> None:
    data = checked(make_result([]))
    assert data["metrics"]["join_time"]["p95"] is None
    assert data["metrics"]["join_time"]["hdr"] is None
    assert data["metrics"]["join_time"]["intervals"]["p95"]["needed"] == 59
    assert data["generator"]["maxima"]["cpu_share"] is None
    assert data["server"] == {}


def test_failures_and_cut_offs() -> None:
    data = checked(troubled_result())
    join = data["metrics"]["join_time"]
    assert (join["count"], join["failed"], join["cut_off"]) == (110, 0, {"deadline": 10})
    assert join["bounds"]["p95"][1] == "inf"
    assert join["p95"] == join["bounds"]["p95"][0] == 10000
    assert data["metrics"]["ws_connecting"]["p50"] == "inf"
    assert data["metrics"]["ws_connecting"]["mean"] == 2
    assert data["thresholds"][2]["observed"] == "inf"
    assert data["thresholds"][3]["observed"] is None
    assert data["errors"][0]["meaning"] == "nothing listens at that address and port"
    assert data["errors"][1]["samples"][0]["elapsed_ms"] is None
    assert data["generator"]["maxima"]["loop_lag_ms"] == 312.25


def test_the_generator_tells_of_itself() -> None:
    data = checked(troubled_result())
    generator = data["generator"]
    assert generator["suspect"] == [[1.0, 2.0]]
    assert generator["stalls"][0]["where"] == "shop.py:12: time.sleep(0.3)"
    assert [one["error_ms"] for one in generator["samples"]] == [0.25, 2.5]
    assert [one["doubts"] for one in generator["samples"]] == [
        [],
        [{"rule": "loop_lag", "text": "the event loop was 312 ms late"}],
    ]
    assert generator["calibration"] is None
    assert data["metrics"]["join_time"]["generator_error"] == 2.5
    assert data["metrics"]["ws_connecting"]["generator_error"] == 0.25, "none in the second second"
    assert data["thresholds"][0]["generator_error"] == 2.5
    assert data["thresholds"][3]["generator_error"] is None, "no duration"


def test_the_noise_floor_is_stored() -> None:
    floor = Calibration(400, 2.0, 0.08, 0.21, 0.9, 0.06, 0.4)
    data = checked(make_result([], generator=GeneratorReport([], floor)))
    assert data["generator"]["calibration"]["p99_ms"] == 0.21


def test_series_are_told_apart() -> None:
    data = checked(troubled_result())
    assert data["metrics"]["checks"]["series"] == {
        "checks{check:is fine,scenario:shop}": {
            "tags": {"check": "is fine", "scenario": "shop"},
            "type": "rate",
            "unit": "",
            "rate": 0.999,
            "passes": 999,
            "fails": 1,
        }
    }


def test_what_a_threshold_selects_is_a_series_of_its_own() -> None:
    both: dict[SeriesKey, AnyState] = {tagged("ws_errors", kind="closed"): CounterState(2, 2)}
    both[tagged("ws_errors", kind="tls_failed")] = CounterState(3, 3)
    result = make_result([both], thresholds=troubled_result().thresholds[2:3])
    result.thresholds[0] = type(result.thresholds[0])(
        "ws_errors{scenario:shop}", "count<1", 5, "5", "fail", "count is 5"
    )
    series = checked(result)["metrics"]["ws_errors"]["series"]
    assert {name: entry["count"] for name, entry in series.items()} == {
        "ws_errors{kind:closed,scenario:shop}": 2,
        "ws_errors{kind:tls_failed,scenario:shop}": 3,
        "ws_errors{scenario:shop}": 5,
    }


def test_payloads_hold_the_samples() -> None:
    data = checked(troubled_result())
    join = data["metrics"]["join_time"]
    assert Histogram.decode(join["hdr"]).count == 100
    assert Histogram.decode(join["cut_off_hdr"]["deadline"]).count == 10
    first, second = data["timeline"]["blocks"]
    assert (first["start_s"], first["end_s"]) == (0, 1)
    assert first["trends"]["ws_connecting"]["failed"] == 3
    assert Histogram.decode(first["trends"]["join_time"]["hdr"]).count == 100
    assert second["trends"]["join_time"]["hdr"] is None
    assert second["trends"]["join_time"]["cut_off"] == {"deadline": 10}
    assert list(second["trends"]) == ["join_time"]


def test_blocks_join_the_series_of_a_trend() -> None:
    window: dict[SeriesKey, AnyState] = {tagged("join_time", page="a"): trend_state([1, 2])}
    window[tagged("join_time", page="b")] = trend_state([3], failed=1)
    (block,) = checked(make_result([window]))["timeline"]["blocks"]
    assert block["trends"]["join_time"]["count"] == 4
    assert Histogram.decode(block["trends"]["join_time"]["hdr"]).count == 3


def test_numbers_that_json_lacks() -> None:
    assert [figure(value) for value in (math.nan, math.inf, -math.inf, None, 3, 0.5)] == [
        None,
        "inf",
        "-inf",
        None,
        3,
        0.5,
    ]
    assert plain({1: (math.nan, True, Path("x"))}) == {"1": [None, True, "x"]}


def test_the_file_holds_the_data_on_one_line(tmp_path: Path) -> None:
    output = JsonOutput()
    path = output.write(make_result([]), tmp_path)
    assert path == tmp_path / output.file_name == tmp_path / "result.json"
    assert path.read_text().count("\n") == 1
    assert json.loads(path.read_text()) == to_dict(make_result([]))


def test_texts_that_utf_8_cannot_hold_are_escaped(tmp_path: Path) -> None:
    path = JsonOutput().write(make_result([], warnings=["half a pair: \ud800"]), tmp_path)
    assert json.loads(path.read_text())["warnings"] == ["half a pair: \ud800"]


def test_a_run_that_fails_in_the_script() -> None:
    async def script(vu: VU) -> None:
        await vu.sleep(0.05)
        vu.record(JOIN, 3.5)
        raise KeyError("what")

    result = run(one_user(script, join_time="p(95)<1"), seed=1)
    data = checked(result)
    assert data["exit_code"] == 107
    assert data["errors"][0]["kind"] == "script_error"
    assert data["metrics"]["join_time"]["min"] == 3.5
    (threshold,) = data["plan"]["thresholds"]
    assert (threshold["metric"], threshold["expression"]) == ("join_time", "p(95)<1")


def test_a_run_that_finds_nothing_to_connect_to() -> None:
    async def script(vu: VU) -> None:
        await vu.connect("ws://127.0.0.1:1")

    data = checked(run(one_user(script, ws_connecting="p(95)<1000"), seed=1))
    assert data["exit_code"] == 99
    assert data["metrics"]["ws_connecting"]["p95"] == "inf"
    assert data["errors"][0]["kind"] == "connection_refused"
    assert data["errors"][0]["count"] == data["metrics"]["ws_errors"]["count"]
