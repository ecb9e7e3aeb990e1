"""Follows a run on a terminal, or line by line where there is none."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console as Screen
from rich.live import Live
from rich.text import Text

from ghostcore._units import format_duration
from ghostcore.execution.plan import Plan
from ghostcore.execution.progress import Progress
from ghostcore.report.progress import Figures, plain_line, screen
from ghostcore.report.summary import DEFAULT_WIDTH, summary_lines
from ghostcore.results.result import Result

__all__ = ["Console"]


class _Screen(Screen):
    """A rich console that leaves a broken pipe to its user instead of ending the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Console:
    """Prints what will run, how it goes and what came of it (a ``ghostcore.RunListener``).

    On a terminal the progress is one block that changes in place; elsewhere it is one plain line
    every `interval_s`, without escape codes. ``NO_COLOR`` is respected.

    :param stream: where to print; standard output unless given.
    :param interval_s: seconds between two lines where the stream is no terminal.
    :param progress: False prints the beginning and the summary only.
    """

    def __init__(
        self, stream: TextIO | None = None, interval_s: float = 5.0, *, progress: bool = True
    ) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._interval_s = interval_s
        self._progress = progress
        self.is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._screen = _Screen(
            file=self._stream,
            force_terminal=self.is_terminal,
            width=None if self.is_terminal else DEFAULT_WIDTH,
            no_color=True if os.environ.get("NO_COLOR") else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._live: Live | None = None
        self._figures = Figures()
        self._last_line_s = 0.0
        self._gone = False

    def started(self, plan: Plan) -> None:
        self._figures = Figures()
        self._last_line_s = 0.0
        for one in plan.scenarios:
            line = Text("running ", style="dim").append(one.name, style="bold")
            self._print([line.append(f": {one.load.describe()}", style="not bold not dim")])
        self._print([Text(f"seed {plan.seed}", style="dim")])
        if self._progress and self.is_terminal and not self._gone:
            # Refreshed by hand: a thread would take its turns in the middle of the load.
            self._live = Live(console=self._screen, auto_refresh=False, transient=True)
            self._live.start()
            atexit.register(self.close)

    def progressed(self, progress: Progress) -> None:
        if self._progress and not self._gone:
            # Output may fail for a time, as with a full disk under a log: the run must go on.
            with contextlib.suppress(OSError):
                self._show(progress)

    def _show(self, progress: Progress) -> None:
        if self._live is not None:
            self._figures.take(progress)
            with self._guarded():
                self._live.update(screen(self._figures, self._screen.width), refresh=True)
        elif progress.elapsed_s - self._last_line_s >= self._interval_s - 0.5:
            self._figures.take(progress)
            self._last_line_s = progress.elapsed_s
            self._print([Text(plain_line(self._figures))])

    def finished(self, result: Result) -> None:
        self.close()
        self._print([Text(f"ran {format_duration(round(result.duration_s, 1))}", style="dim")])
        self._print([Text()])
        self._print(summary_lines(result, self._screen.width))

    def saved(self, path: str | Path) -> None:
        """Say where the result is."""
        self._print([Text(f"saved to {path}")])

    def close(self) -> None:
        """Give the terminal back as it was. Needed only if a run broke before it was finished."""
        live, self._live = self._live, None
        if live is not None:
            atexit.unregister(self.close)
            with self._guarded():
                live.stop()

    def _print(self, lines: Iterable[Text]) -> None:
        if self._gone:
            return
        with self._guarded():
            for line in lines:
                self._screen.print(self._encodable(line), soft_wrap=True)
            self._stream.flush()

    def _encodable(self, line: Text) -> Text:
        """What the stream's encoding lacks, as escapes: a summary is not lost for one letter."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            line.plain.encode(encoding)
        except UnicodeEncodeError:
            line.plain = line.plain.encode(encoding, "backslashreplace").decode(encoding)
        return line

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """A reader that went away (``| head``) ends the printing, not the run."""
        try:
            yield
        except BrokenPipeError:
            self._gone = True
            self._discard()

    def _discard(self) -> None:
        """What is still buffered has no reader: the interpreter must not stumble over it later."""
        with contextlib.suppress(OSError, ValueError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, self._stream.fileno())
            os.close(descriptor)
