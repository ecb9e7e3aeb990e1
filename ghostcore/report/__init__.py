"""Ways to show a result: on the console, as a file.

======================  ============================================================================
:class:`Console`        follows a run: ``ghostcore.run(scenario, listener=Console())``
:func:`summary_text`    the summary of a result as plain text
:func:`save`            writes the files of a result: ``result.save()`` as a function
======================  ============================================================================
"""

from __future__ import annotations

from pathlib import Path

from ghostcore.report.console import Console
from ghostcore.report.summary import summary_text
from ghostcore.results.result import Result

__all__ = ["Console", "save", "summary_text"]


def save(result: Result, directory: str | Path) -> Path:
    """Write a result into a directory, which is made if need be.

    :returns: the path of ``result.json``.
    :raises OSError: a file cannot be written.
    """
    return result.save(directory)
