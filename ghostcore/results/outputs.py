"""The files that a result is saved as, in one list.

To add a format, write a module of this package with a class that is an :class:`Output`, and list
an instance of it in ``OUTPUTS``: ``result.save()`` and ``--out`` write what is listed there. Beside
this module, ``files`` writes a file whole or not at all, and ``text`` writes figures as the summary
on the console does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ghostcore.results.json import JsonOutput
from ghostcore.results.record import Record

__all__ = ["OUTPUTS", "NotWritten", "Output", "Saved", "save_record"]


class Output(Protocol):
    """A format in which results are saved."""

    @property
    def name(self) -> str:
        """The format in one word: ``json``."""

    @property
    def file_name(self) -> str:
        """The file within the directory: ``result.json``."""

    def write(self, record: Record, directory: Path) -> Path:
        """Write the file; its path, ``directory / file_name``.

        :param directory: exists.
        :raises OSError: it cannot be written.
        """


OUTPUTS: tuple[Output, ...] = (JsonOutput(),)
"""What is written of every result that is saved, in this order."""


@dataclass(frozen=True, slots=True)
class NotWritten:
    """An output that failed, and with what."""

    output: Output
    error: Exception


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of the outputs of a result.

    :ivar paths: the files that were written. :ivar failures: the outputs that failed.
    """

    paths: tuple[Path, ...]
    failures: tuple[NotWritten, ...]

    def raise_failures(self) -> None:
        """Raise what the outputs failed with; nothing if none failed.

        The error of a single output is raised as it is. Of several, a fault of the output itself
        goes before those of the disk, and has these as notes.

        :raises OSError: files could not be written; its text names each.
        """
        if not self.failures:
            return
        errors = [one.error for one in self.failures]
        if len(errors) == 1:
            raise errors[0]
        texts = [f"{one.output.file_name}: {one.error}" for one in self.failures]
        for error in errors:
            if not isinstance(error, OSError):
                for text in texts:
                    error.add_note(f"not written: {text}")
                raise error
        raise OSError("; ".join(texts)) from errors[0]


def save_record(
    record: Record, directory: str | Path, outputs: Sequence[Output] | None = None
) -> Saved:
    """Write all outputs into a directory, which is made if need be. An output that fails does not
    keep the others from being written: see :meth:`Saved.raise_failures`.

    :param outputs: those to write; ``OUTPUTS`` unless given.
    :raises OSError: there is no such directory, and it cannot be made.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths, failures = [], []
    for output in OUTPUTS if outputs is None else outputs:
        try:
            paths.append(output.write(record, folder))
        except Exception as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(folder / output.file_name)  # a full disk names no file
            failures.append(NotWritten(output, error))
    return Saved(tuple(paths), tuple(failures))
