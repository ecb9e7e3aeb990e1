"""Feeders: what a file says is what a row is, and what is wrong with it is told before a run."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ghostcore import DataExhausted, InvalidPlan, feeder
from ghostcore.users.feeder import Feed, Feeder


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(one: Feeder) -> list[Any]:
    rows = one.load()
    return [rows[number] for number in range(len(rows))]


def problems_of(one: Feeder) -> list[str]:
    with pytest.raises(InvalidPlan) as caught:
        one.load()
    return list(caught.value.problems)


def test_a_csv_file(tmp_path: Path) -> None:
    text = '\ufeffname,note\r\nAda,"a, b"\r\n\r\nGrace,"two\nlines"\r\n"",x\r\n'
    assert rows_of(feeder(written(tmp_path, "users.CSV", text))) == [
        {"name": "Ada", "note": "a, b"},
        {"name": "Grace", "note": "two\nlines"},
        {"name": "", "note": "x"},
    ]


def test_a_csv_file_with_another_delimiter_and_name(tmp_path: Path) -> None:
    path = written(tmp_path, "users.txt", "a;b\n1,5;2\n")
    assert rows_of(feeder(str(path), format="csv", delimiter=";")) == [{"a": "1,5", "b": "2"}]


def test_json_lines(tmp_path: Path) -> None:
    text = '{"id": 1, "tags": ["x"]}\r\n\n  {"id": 2}\n'
    one = feeder(written(tmp_path, "users.jsonl", text))
    assert rows_of(one) == [{"id": 1, "tags": ["x"]}, {"id": 2}]
    rows = one.load()
    rows[0]["tags"].append("changed")
    assert rows[0]["tags"] == ["x"], "each start has an object of its own"


def test_a_list() -> None:
    given = [1, "two", {"three": 3}]
    one = feeder(given)
    given.append(4)
    assert rows_of(feeder(tuple(given))) == [1, "two", {"three": 3}, 4]
    assert len(one.load()) == 4, "rows are taken when a run starts, not when they are declared"


def test_every_wrong_line_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "users.csv", "a,b\n1,2\n3\n4,5\n6,7,8\n")
    assert problems_of(feeder(path)) == [
        f"feeder {str(path)!r}: line 3 has 1 fields, but the header has 2",
        f"feeder {str(path)!r}: line 5 has 3 fields, but the header has 2",
    ]
    path = written(tmp_path, "users.ndjson", '{"a": 1}\n{"a": \n[1]\n{"a": NaN}\n')
    bad, no_object, constant = problems_of(feeder(path))
    assert "line 2 is not JSON" in bad
    assert "line 3 is no JSON object: [1]" in no_object
    assert "line 4 is not JSON: NaN" in constant


def test_many_wrong_lines_are_told_in_short(tmp_path: Path) -> None:
    path = written(tmp_path, "users.csv", "a,b\n" + "1\n" * 100)
    problems = problems_of(feeder(path))
    assert len(problems) == 6
    assert problems[-1].endswith("and 95 more such problems")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.csv", "", "the file is empty"),
        ("blank.csv", "\n\n", "the file is empty"),
        ("header.csv", "a,b\n", "the file has no rows"),
        ("twice.csv", "a,b,a\n1,2,3\n", "line 1: the header names column 'a' 2 times"),
        ("unnamed.csv", "a,,b\n1,2,3\n", "line 1: the header has a column without a name"),
        ("quote.csv", 'a,b\n"1,2\n', "unexpected end of data"),
        ("latin.csv", b"a,b\n1,2\ncaf\xe9,3\n", "line 3 is not UTF-8"),
        ("empty.jsonl", "", "the file has no rows"),
        ("deep.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("rows.json", "[]", "the name must end in .csv, .jsonl or .ndjson"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, name: str, content: str | bytes, problem: str
) -> None:
    (told,) = problems_of(feeder(written(tmp_path, name, content)))
    assert problem in told
    assert name in told


def test_a_file_that_does_not_exist_is_told_with_where_it_was_looked_for() -> None:
    (told,) = problems_of(feeder("no/such.csv"))
    assert f"{os.getcwd()}/no/such.csv cannot be read: No such file" in told  # noqa: PTH109


def test_a_directory_and_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert "Is a directory" in problems_of(feeder(tmp_path / "folder.csv"))[0]
    assert "cannot be read" in problems_of(feeder("nul\0.csv"))[0]


def test_options_that_cannot_be() -> None:
    problems = problems_of(feeder([1], order="shuffled", delimiter=",,"))
    assert "order must be one of sequential, random, unique, not 'shuffled'" in problems[0]
    assert "delimiter must be one character, no quote or line break, not ',,'" in problems[1]
    assert "format must be 'csv' or 'jsonl', not 'xml'" in problems_of(feeder("a", format="xml"))[0]
    assert "format must be 'csv' or 'jsonl', not 'xml'" in problems_of(feeder([1], format="xml"))[0]
    order, missing = problems_of(feeder("no_such.csv", order="shuffled"))
    assert "order must be" in order and "no_such.csv cannot be read" in missing
    assert "the list has no rows" in problems_of(feeder([]))[0]
    assert "a list of rows, not 5" in problems_of(feeder(5))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("delimiter", ["\n", '"', "\r", "\0"])
def test_a_delimiter_that_csv_cannot_have(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    (problem,) = problems_of(feeder(path, delimiter=delimiter))
    assert f"delimiter must be one character, no quote or line break, not {delimiter!r}" in problem


def feed(order: str, rows: int, **options: Any) -> Feed:
    one = feeder(list(range(rows)), order=order)
    return Feed(one, one.load(), 7, "play", **options)


def test_sequential_rows_begin_anew() -> None:
    one = feed("sequential", 3)
    assert [one.row(number, number) for number in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert one.unique_rows is None


def test_random_rows_are_those_of_the_start_whoever_asks() -> None:
    one = feed("random", 100)
    drawn = [one.row(0, key) for key in range(1000)]
    assert drawn == [one.row(9, key) for key in range(1000)]
    assert len(set(drawn)) > 90
    assert max(Counter(drawn).values()) < 40
    other_seed = Feed(one.feeder, one.rows, 8, "play")
    other_scenario = Feed(one.feeder, one.rows, 7, "other")
    for other in (other_seed, other_scenario):
        assert [other.row(0, key) for key in range(1000)] != drawn


def test_unique_rows_run_out() -> None:
    one = feed("unique", 3)
    assert [one.row(number, 0) for number in range(3)] == [0, 1, 2]
    for number in (3, 10**9):
        with pytest.raises(DataExhausted, match=rf"start {number + 1} of play asks for one more"):
            one.row(number, 0)


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 11, 12])
@pytest.mark.parametrize("places", [1, 2, 3])
def test_scenarios_share_unique_rows_without_giving_one_twice(rows: int, places: int) -> None:
    given: list[int] = []
    for place in range(places):
        one = feed("unique", rows, place=place, places=places)
        assert one.unique_rows is not None
        given += [one.row(number, 0) for number in range(one.unique_rows)]
        with pytest.raises(DataExhausted):
            one.row(one.unique_rows, 0)
    assert sorted(given) == list(range(rows))
