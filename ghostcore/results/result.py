"""The result of a run as its user gets it: the record, which can save itself."""

from __future__ import annotations

from pathlib import Path

from ghostcore.results import json
from ghostcore.results.record import Record

__all__ = ["Result"]


class Result(Record):
    """A finished run: what :func:`ghostcore.run` returns. Its attributes are those of
    :class:`~ghostcore.results.record.Record`.
    """

    def save(self, directory: str | Path) -> Path:
        """Write the result into a directory, which is made if need be: ``result.json``.

        :returns: the path of result.json.
        :raises OSError: it cannot be written.
        """
        return json.write(self, Path(directory))
