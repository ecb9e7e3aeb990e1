"""The public API as mypy and pyright see it: from an environment that has it installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGHT = ["listeners.py", "metrics.py", "sessions.py"]
WRONG = "refused.py"

Findings = list[tuple[str, int, str]]


def mypy(*names: str) -> Findings:
    """What mypy finds in these files of the folder: file, line and text."""
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml"]
    done = run([*command, *(str(HERE / name) for name in names)])
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, flags=re.MULTILINE)
    assert done.returncode == (1 if found else 0), done.stdout + done.stderr
    return [(Path(file).name, int(line), text) for file, line, text in found]


def pyright(*names: str) -> Findings:
    """The same of pyright."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = run([*command, *(str(HERE / name) for name in names)])
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(names)
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=100
    )


@pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])
def test_types_are_as_asserted_and_mistakes_are_found(check: Callable[..., Findings]) -> None:
    found = check(*RIGHT, WRONG)
    lines = (HERE / WRONG).read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert [one for one in found if one[0] != WRONG] == []
    assert {line for _, line, _ in found} == wrong
