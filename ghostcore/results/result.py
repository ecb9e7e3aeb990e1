"""The result of a run as its user gets it: the record, which can save itself."""

from __future__ import annotations

from pathlib import Path

from ghostcore.results.json import FILE_NAME
from ghostcore.results.outputs import save_record
from ghostcore.results.record import Record

__all__ = ["Result"]


class Result(Record):
    """A finished run: what :func:`ghostcore.run` returns. Its attributes are those of
    :class:`~ghostcore.results.record.Record`.
    """

    def save(self, directory: str | Path) -> Path:
        """Write the result into a directory, which is made if need be: ``result.json``, and every
        other format in ``ghostcore.results.outputs.OUTPUTS``.

        A format that cannot be written does not keep the others from being written.

        :returns: the path of result.json.
        :raises OSError: a file cannot be written.
        """
        save_record(self, directory).raise_failures()
        return Path(directory) / FILE_NAME
