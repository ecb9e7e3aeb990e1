"""Saving a result where a command line asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ghostcore.report import Console
from ghostcore.results.outputs import OUTPUTS, save_record
from ghostcore.results.result import Result

__all__ = ["EXIT_NOT_SAVED", "out_option", "save_result"]

EXIT_NOT_SAVED = 1
"""The run passed, but its result could not be written where it was asked for."""

Function = TypeVar("Function", bound=Callable[..., Any])


def out_option(*, envvar: str | None = None) -> Callable[[Function], Function]:
    """The option ``--out DIR`` of a click command, with the files that are written there.

    :param envvar: an environment variable that can give the directory as well.
    """
    files = ", ".join(output.file_name for output in OUTPUTS)
    return click.option(
        "--out",
        envvar=envvar,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help=f"Save the result there: {files}.",
    )


def save_result(result: Result, directory: str | Path, console: Console) -> int:
    """Save a result, print where each file is, and to standard error what could not be written.

    :returns: the exit code: that of the result, or EXIT_NOT_SAVED in place of 0.
    """
    try:
        saved = save_record(result, directory)
        for path in saved.paths:
            console.saved(path)
        saved.raise_failures()
    except OSError as error:
        click.echo(f"The result could not be saved: {error}", err=True)
        return result.exit_code or EXIT_NOT_SAVED
    return result.exit_code
