"""What was measured in a window, as data that merges and travels; and the sum of all windows."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Declaration, declaration_from_wire
from ghostcore.metrics.recorders import AnyState, state_from_wire
from ghostcore.metrics.views import View, view_of

__all__ = [
    "MAX_SERIES",
    "OTHER",
    "SeriesKey",
    "Snapshot",
    "Totals",
    "parse_selector",
    "tag_problems",
]

MAX_SERIES = 1000
"""Combinations of metric and tags that are kept apart."""

OTHER: tuple[tuple[str, str], ...] = (("__other__", "true"),)
"""The tags of the series that takes what is beyond MAX_SERIES."""

WIRE_VERSION = 1


class SeriesKey(NamedTuple):
    """A metric and its tags, sorted by name."""

    name: str
    tags: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, tags: Mapping[str, str] | None = None) -> SeriesKey:
        """The key for tags in any order. Values are made text."""
        if not tags:
            return cls(name)
        return cls(name, tuple(sorted((str(tag), str(value)) for tag, value in tags.items())))

    def __str__(self) -> str:
        if not self.tags:
            return self.name
        tags = ",".join(f"{tag}:{_quoted(value)}" for tag, value in self.tags)
        return f"{self.name}{{{tags}}}"


_PLAIN_VALUE = re.compile(r"""(?!\s)[^,{}"]*(?<!\s)""")
_SELECTED = re.compile(
    r"""\s* (?P<tag> [^:,{}"]*? ) \s* : \s*
    (?: "(?P<quoted> (?: [^"\\] | \\. )* )" | (?P<plain> [^,{}"]*? ) ) \s* (?: , | \Z )""",
    re.VERBOSE | re.DOTALL,
)
_TAG = re.compile(r"""(?!\s)[^:,{}"]+(?<!\s)""")


def _quoted(value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def tag_problems(tags: Mapping[Any, Any]) -> Iterator[str]:
    """What is wrong with the names of tags: no selector could name them."""
    for tag in tags:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            yield f"tag {tag!r}: a name has no colon, comma, brace, quote or outer space"


def parse_selector(selector: str) -> SeriesKey:
    """``name`` or ``name{tag:value,tag2:v2}`` as a key.

    A value may stand in double quotes; it must where it holds a comma, a brace, a quote or outer
    spaces. In quotes a backslash stands before a quote or another backslash that is meant as such.
    Raises UsageError for anything else.
    """
    name, brace, rest = selector.strip().partition("{")
    if not brace:
        return SeriesKey(name)
    tags: dict[str, str] = {}
    body, position = rest.rstrip(), 0
    whole = body.endswith("}")
    body = body[:-1].strip()
    while whole and position < len(body):
        match = _SELECTED.match(body, position)
        if match is None or not match["tag"] or match["tag"] in tags:
            whole = False
            break
        quoted = match["quoted"]
        tags[match["tag"]] = (
            match["plain"] if quoted is None else re.sub(r'\\([\\"])', r"\1", quoted)
        )
        position = match.end()
    if whole:
        return SeriesKey.of(name.strip(), tags)
    raise UsageError(f"{selector!r} selects no metric: expected name or name{{tag:value,tag2:v2}}")


@dataclass(slots=True)
class Snapshot:
    """One window of one worker, or of several merged.

    :ivar start_ns: begin of the window, in ns since the start of the run.
    :ivar end_ns: its end.
    """

    start_ns: int
    end_ns: int
    series: dict[SeriesKey, AnyState] = field(default_factory=dict)
    declarations: dict[str, Declaration] = field(default_factory=dict)

    def merge(self, other: Snapshot) -> None:
        """Join the same window of another worker. UsageError if they disagree about a metric."""
        self._join(other, later=False)

    def append(self, later: Snapshot) -> None:
        """Join a later window. UsageError if they disagree about a metric."""
        self._join(later, later=True)

    def _join(self, other: Snapshot, *, later: bool) -> None:
        _join_declarations(self.declarations, other.declarations)
        for key, state in other.series.items():
            _join_state(self.series, key, state, later=later)
        self.start_ns = min(self.start_ns, other.start_ns)
        self.end_ns = max(self.end_ns, other.end_ns)

    def metric(self, wanted: SeriesKey) -> AnyState | None:
        """All series of a metric that have the wanted tags, merged; None where there is none."""
        return _selected(self.series, wanted)

    def copy(self) -> Snapshot:
        """An independent snapshot with the same content."""
        return Snapshot(
            self.start_ns,
            self.end_ns,
            {key: state.copy() for key, state in self.series.items()},
            dict(self.declarations),
        )

    def to_bytes(self) -> bytes:
        """A version byte and msgpack."""
        body = [
            self.start_ns,
            self.end_ns,
            [declaration.to_wire() for declaration in self.declarations.values()],
            [[key.name, key.tags, state.to_wire()] for key, state in self.series.items()],
        ]
        packed: bytes = msgpack.packb(body)
        return bytes((WIRE_VERSION,)) + packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """The snapshot that :meth:`to_bytes` wrote. ValueError for anything else."""
        if data[:1] != bytes((WIRE_VERSION,)):
            raise ValueError(
                f"not a snapshot of version {WIRE_VERSION}: "
                "do all workers run the same version of ghostcore?"
            )
        try:
            start_ns, end_ns, declarations, series = msgpack.unpackb(data[1:])
            found = cls(int(start_ns), int(end_ns))
            for wire in declarations:
                declaration = declaration_from_wire(wire)
                found.declarations[declaration.name] = declaration
            for name, tags, wire in series:
                found.series[_key_from_wire(name, tags)] = state_from_wire(wire)
        except (TypeError, ValueError, msgpack.UnpackException) as error:
            raise ValueError(f"not a snapshot: {error}") from error
        unknown = {key.name for key in found.series} - set(found.declarations)
        if unknown:
            raise ValueError(f"not a snapshot: {', '.join(sorted(unknown))} without a declaration")
        return found


def _key_from_wire(name: Any, tags: Any) -> SeriesKey:
    return SeriesKey(str(name), tuple(sorted((str(tag), str(value)) for tag, value in tags)))


def _join_declarations(own: dict[str, Declaration], other: Mapping[str, Declaration]) -> None:
    for name, declaration in other.items():
        known = own.setdefault(name, declaration)
        if known != declaration:
            raise UsageError(
                f"metric {name} is {known!r} in one place and {declaration!r} in another"
            )


def _join_state(
    series: dict[SeriesKey, AnyState], key: SeriesKey, state: AnyState, *, later: bool
) -> None:
    known = series.get(key)
    if known is None:
        series[key] = state.copy()
    elif later:
        known.append(state)
    else:
        known.merge(state)


def _selected(series: Mapping[SeriesKey, AnyState], wanted: SeriesKey) -> AnyState | None:
    """An independent state of all series with the wanted tags, whatever other tags they have."""
    tags = set(wanted.tags)
    found: AnyState | None = None
    for key in sorted(key for key in series if key.name == wanted.name and tags.issubset(key.tags)):
        if found is None:
            found = series[key].copy()
        else:
            found.merge(series[key])
    return found


class Totals:
    """All windows of a run so far. Add the snapshots in the order of time.

    :param declarations: metrics that exist even if nothing is ever recorded.
    """

    def __init__(self, declarations: Mapping[str, Declaration] | None = None) -> None:
        self.declarations: dict[str, Declaration] = dict(declarations or {})
        self.series: dict[SeriesKey, AnyState] = {}
        self.start_ns: int | None = None
        self.end_ns = 0
        self._ordinary = 0

    @property
    def seconds(self) -> float:
        """From the begin of the first window to the end of the last."""
        return 0.0 if self.start_ns is None else (self.end_ns - self.start_ns) / 1e9

    def add(self, snapshot: Snapshot) -> None:
        """Take a window in, the windows of all workers having been merged into one.

        Each worker keeps MAX_SERIES apart; together they may come to more. What is beyond is
        counted in the series tagged ``__other__``, so that nothing is lost.
        """
        _join_declarations(self.declarations, snapshot.declarations)
        folded: dict[SeriesKey, AnyState] = {}
        for key, state in snapshot.series.items():
            if key in self.series:
                _join_state(self.series, key, state, later=True)
            elif key.tags != OTHER and self._ordinary < MAX_SERIES:
                self._ordinary += 1
                self.series[key] = state.copy()
            else:
                _join_state(folded, SeriesKey(key.name, OTHER), state, later=False)
        for key, state in folded.items():
            _join_state(self.series, key, state, later=True)
        if self.start_ns is None or snapshot.start_ns < self.start_ns:
            self.start_ns = snapshot.start_ns
        self.end_ns = max(self.end_ns, snapshot.end_ns)

    def names(self) -> Iterator[str]:
        """The metrics that have data."""
        return iter(dict.fromkeys(key.name for key in self.series))

    def keys(self, name: str) -> list[SeriesKey]:
        """The series of a metric, sorted by tags."""
        return sorted(key for key in self.series if key.name == name)

    def complete(self, selector: str) -> bool:
        """False where some samples of the metric may have been counted in ``__other__``."""
        key = parse_selector(selector)
        return not key.tags or SeriesKey(key.name, OTHER) not in self.series

    def metric(self, selector: str) -> AnyState | None:
        """Everything measured under ``name`` or ``name{tag:value,tag2:v2}``.

        All series that have these tags, whatever other tags they have, are merged. None where
        nothing was measured. UsageError for a selector of another form.
        """
        return _selected(self.series, parse_selector(selector))

    def view(self, selector: str) -> View:
        """What a user reads of a metric. UsageError for one that was never declared."""
        name = parse_selector(selector).name
        declaration = self.declarations.get(name)
        if declaration is None:
            raise UsageError(f"unknown metric {name!r}: neither declared nor recorded in this run")
        state = self.metric(selector)
        return view_of(declaration, state, seconds=self.seconds, name=selector)

    def copy(self) -> Totals:
        """An independent copy."""
        return copy.deepcopy(self)
