"""What may follow a run; read by type checkers, run by nobody."""

from __future__ import annotations

import io

import ghostcore
from ghostcore import Scenario
from ghostcore.execution.progress import RunListener
from ghostcore.report.console import Console


def console(scenario: Scenario) -> None:
    listener: RunListener = Console(io.StringIO())
    ghostcore.run(scenario, listener=listener)
