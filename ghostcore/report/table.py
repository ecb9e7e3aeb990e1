"""Columns of styled text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

__all__ = ["table"]


def table(rows: Sequence[Sequence[str | Text]], left: int = 1, gap: int = 2) -> list[Text]:
    """Columns as wide as their widest cell; the first `left` stand left, the others right."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        line = Text()
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (width - _width(cell))
            line.append(" " * gap if number else "")
            if number >= left:
                line.append(padding)
            line.append(cell)
            if number < left:
                line.append(padding)
        line.rstrip()
        lines.append(line)
    return lines


def _width(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else Text(cell).cell_len
