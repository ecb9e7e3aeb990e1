"""Columns of styled text."""

from __future__ import annotations

from rich.text import Text

from ghostcore.report.table import table


def test_a_table_is_as_wide_as_its_cells() -> None:
    lines = table([["name", "n"], [Text("漢字"), "1,234"], ["a", ""]], 1, 2)
    assert [line.plain for line in lines] == ["name      n", "漢字  1,234", "a"]
