"""What the suite prints of a run, over what ghostcore does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ghostcore import Result
from ghostcore.report import Console

__all__ = ["SuiteConsole"]

Answer = Callable[[Result], Iterable[str]]


class SuiteConsole(Console):
    """A console that ends with the answers of the suite.

    :param findings: each looks at a result and gives sentences that belong among its warnings, in
        the summary and in result.json.
    :param answers: likewise, but they belong to the verdict, below it and in result.json.
    """

    def __init__(
        self, *, progress: bool, findings: Sequence[Answer] = (), answers: Sequence[Answer] = ()
    ) -> None:
        super().__init__(progress=progress)
        self._findings = findings
        self._answers = answers

    def finished(self, result: Result) -> None:
        for finding in self._findings:
            result.warnings.extend(finding(result))
        for answer in self._answers:
            result.reasons.extend(answer(result))
        super().finished(result)
