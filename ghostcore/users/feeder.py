"""Data feeders: rows for the starts of a scenario, from CSV, JSON lines or a list.

A feeder is a value without state. Which row a start gets follows from the start alone (the run's
seed, the scenario and the number of the start), not from who runs it or when: nobody keeps count,
so that workers need not agree, and the same seed gives the same rows.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ghostcore._random import Random
from ghostcore.errors import DataExhausted, InvalidPlan

__all__ = ["Feed", "Feeder", "Rows", "feeder"]

ORDERS = ("sequential", "random", "unique")
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
NO_DELIMITERS = '"\n\r\0'
SHOWN_LINES = 5
"""Wrong lines of a file that a message lists one by one; it gives the number of the others."""


class Rows(Protocol):
    """Rows by number, from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class _CsvRows:
    """Rows of a CSV file: tuples, which take a third of the memory of dicts."""

    header: tuple[str, ...]
    lines: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, number: int) -> dict[str, str]:
        return dict(zip(self.header, self.lines[number], strict=True))


@dataclass(frozen=True, slots=True)
class _JsonRows:
    """JSON texts that are known to be valid: each start gets an object of its own."""

    lines: list[str]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, number: int) -> Any:
        return json.loads(self.lines[number])


@dataclass(frozen=True, eq=False)
class Feeder:
    """What :func:`feeder` makes. ``load()`` reads the rows: before a run starts."""

    source: Any
    order: str = "sequential"
    format: str | None = None
    delimiter: str = ","

    @property
    def name(self) -> str:
        """For messages: the path as it was given; a list has none."""
        if isinstance(self.source, str | os.PathLike):
            return repr(os.fspath(self.source))
        return "(a list)"

    def load(self) -> Rows:
        """Read the rows.

        :raises InvalidPlan: with all that is wrong with the feeder and its file.
        """
        problems: list[str] = []
        if self.order not in ORDERS:
            problems.append(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        known_format = self.format is None or self.format in FORMATS.values()
        if not known_format:
            problems.append(f"format must be 'csv' or 'jsonl', not {self.format!r}")
        delimits = isinstance(self.delimiter, str) and len(self.delimiter) == 1
        if not delimits or self.delimiter in NO_DELIMITERS:
            delimits = False
            problems.append(
                f"delimiter must be one character, no quote or line break, not {self.delimiter!r}"
            )
        rows: Rows = []
        if isinstance(self.source, str | os.PathLike):
            if known_format and delimits:
                rows = self._load_file(Path(self.source), problems)
        elif isinstance(self.source, list | tuple):
            rows = list(self.source)
            if not rows:
                problems.append("the list has no rows")
        else:
            problems.append(
                f"expected the path of a file, or a list of rows, not {self.source!r:.100}"
            )
        if problems:
            raise InvalidPlan([f"feeder {self.name}: {problem}" for problem in problems])
        return rows

    def _load_file(self, path: Path, problems: list[str]) -> Rows:
        kind = self.format or FORMATS.get(path.suffix.lower())
        if kind not in FORMATS.values():
            problems.append(
                "the name must end in .csv, .jsonl or .ndjson, or format= be 'csv' or 'jsonl'"
            )
            return []
        try:
            data = path.read_bytes()
        except OSError as error:
            problems.append(f"{path.absolute()} cannot be read: {error.strerror or error}")
            return []
        except ValueError as error:  # a path that no system has, such as one with a NUL
            problems.append(f"it cannot be read: {error}")
            return []
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            problems.append(f"line {line} is not UTF-8")
            return []
        found = _read_csv(text, self.delimiter) if kind == "csv" else _read_json_lines(text)
        if isinstance(found, list):
            problems.extend(_shortened(found))
            return []
        if not len(found):
            problems.append("the file has no rows")
        return found


def feeder(
    source: str | os.PathLike[str] | Sequence[Any],
    *,
    order: str = "sequential",
    format: str | None = None,
    delimiter: str = ",",
) -> Feeder:
    """Declare where rows come from; name it in ``@scenario(feeders=[...])``, then ``vu.row(it)``.

    Nothing is read here. Before a run starts the rows are read and checked; what is wrong stands in
    the one list of all problems of the plan.

    :param source: a CSV file with a header (a row is a dict of texts), a file of JSON objects, one
        a line (a row is what the line says), or a list of anything. Files are UTF-8; a relative
        path starts, as everywhere in Python, at the working directory: ``Path(__file__).parent``
        is beside the script. Blank lines do not count.
    :param order: ``"sequential"``: start i gets row i, from the first again when they are all
        used. ``"random"``: each start draws one, whatever others drew. ``"unique"``: as sequential,
        but no row is ever given twice in a run; the scenarios that use the feeder get every n-th
        row each. A start for which no row is left raises :class:`~ghostcore.DataExhausted`.
    :param format: ``"csv"`` or ``"jsonl"``; from the name of the file unless given.
    :param delimiter: between the fields of a CSV file.
    """
    return Feeder(source, order, format, delimiter)


@dataclass(frozen=True, slots=True)
class Feed:
    """The rows of a feeder for one scenario of a run.

    :ivar place: of the scenario among the ``places`` that use the feeder.
    """

    feeder: Feeder
    rows: Rows
    seed: int
    scenario: str
    place: int = 0
    places: int = 1

    @property
    def unique_rows(self) -> int | None:
        """How many starts can have a row; None if all can."""
        if self.feeder.order != "unique":
            return None
        return max(0, -((self.place - len(self.rows)) // self.places))

    def row(self, number: int, key: int) -> Any:
        """The row of a start.

        :param number: of the start in its scenario, from 0.
        :param key: that of its random numbers.
        :raises DataExhausted: rows are unique, and none is left.
        """
        count = len(self.rows)
        match self.feeder.order:
            case "random":
                draw = Random.keyed(self.seed, f"{self.scenario}#rows of {self.feeder.name}", key)
                return self.rows[draw.randrange(count)]
            case "unique":
                place = number * self.places + self.place
                if place >= count:
                    raise DataExhausted(
                        f"no row left: feeder {self.feeder.name} has {count} rows, each is given "
                        f"once, and start {number + 1} of {self.scenario} asks for one more"
                    )
                return self.rows[place]
        return self.rows[number % count]


def _read_csv(text: str, delimiter: str) -> Rows | list[str]:
    """The rows, or what is wrong with them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[str] = []
    lines: list[tuple[str, ...]] = []
    try:
        header = tuple(next((row for row in reader if row), ()))
        problems += _header_problems(header, reader.line_num)
        for row in reader:
            if row and len(row) != len(header):
                problems.append(
                    f"line {reader.line_num} has {len(row)} fields, but the header has "
                    f"{len(header)}"
                )
            elif row:
                lines.append(tuple(row))
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}")
    return problems or _CsvRows(header, lines)


def _header_problems(header: tuple[str, ...], line: int) -> Iterator[str]:
    if not header:
        yield "the file is empty: expected a header and rows"
    for name in dict.fromkeys(header):
        if not name.strip():
            yield f"line {line}: the header has a column without a name"
        elif header.count(name) > 1:
            yield f"line {line}: the header names column {name!r} {header.count(name)} times"


def _read_json_lines(text: str) -> Rows | list[str]:
    problems: list[str] = []
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped:
            continue
        try:
            value = json.loads(stripped, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number} is not JSON: {error}")
            continue
        if not isinstance(value, dict):
            problems.append(f"line {number} is no JSON object: {stripped:.60}")
        lines.append(stripped)
    return problems or _JsonRows(lines)


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON's")


def _shortened(problems: list[str]) -> list[str]:
    if len(problems) <= SHOWN_LINES + 1:
        return problems
    return [*problems[:SHOWN_LINES], f"and {len(problems) - SHOWN_LINES} more such problems"]
