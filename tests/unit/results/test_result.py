"""A result is its record, and can save itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import ghostcore
from ghostcore.results.record import Record
from ghostcore.results.result import Result
from tests.support.results import make_result


def test_a_result_has_the_fields_of_its_record_and_no_others() -> None:
    assert ghostcore.Result is Result
    assert dataclasses.fields(Result) == dataclasses.fields(Record)
    result = make_result([], seed=3)
    values = [getattr(result, field.name) for field in dataclasses.fields(Result)]
    assert Result(*values) == result
    assert repr(result).startswith("Result(metrics=")
    assert isinstance(dataclasses.replace(result, seed=4), Result)


def test_a_result_saves_itself_and_says_where(tmp_path: Path) -> None:
    path = make_result([], seed=3).save(str(tmp_path / "new" / "folder"))
    assert path == tmp_path / "new" / "folder" / "result.json"
    assert json.loads(path.read_text())["seed"] == 3
