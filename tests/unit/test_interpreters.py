"""Which interpreters of a machine the unit tests run on, and which are missed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import interpreters
from tests.builds.interpreters import candidates, not_found, others, version_of


def stand_in(path: Path, script: str) -> Path:
    """A program that answers in place of an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_they_are_sought_among_pyenvs_versions_and_on_the_path(tmp_path: Path) -> None:
    pyenv = stand_in(tmp_path / "home/.pyenv/versions/3.12.1/bin/python", "")
    on_path = stand_in(tmp_path / "bin/python3.13", "")
    stand_in(tmp_path / "bin/python3.13-config", "")
    stand_in(tmp_path / "bin/python3", "")
    environment = {"HOME": str(tmp_path / "home"), "PATH": f"/nowhere::{tmp_path / 'bin'}"}
    assert [*candidates(environment)] == [pyenv, on_path]
    elsewhere = stand_in(tmp_path / "root/versions/3.14.0/bin/python", "")
    environment["PYENV_ROOT"] = str(tmp_path / "root")
    assert [*candidates(environment)] == [elsewhere, on_path]


def test_what_does_not_run_is_no_interpreter(tmp_path: Path) -> None:
    assert version_of(Path(sys.executable)) == sys.version_info[:3]
    assert version_of(stand_in(tmp_path / "shim", "echo 'command not found' >&2; exit 127")) is None
    assert version_of(stand_in(tmp_path / "silent", "")) is None
    assert version_of(stand_in(tmp_path / "bare", "echo 3 12 1; exit 1")) is None
    assert version_of(tmp_path / "absent") is None


def test_the_newest_of_each_other_version_is_taken(tmp_path: Path) -> None:
    paths = [
        stand_in(tmp_path / answer.replace(" ", "."), f"echo {answer}")
        for answer in ("3 12 9", "3 12 10", "3 12 2", "3 10 1", "3 11 7", "2 12 0", "3 15 0")
    ]
    found = others(paths, own_minor=11)
    assert found == {12: ((3, 12, 10), paths[1]), 15: ((3, 15, 0), paths[-1])}
    assert not_found(found, own_minor=11) == ["3.13", "3.14"]
    assert not_found([11, 12, 14], own_minor=13) == []


def test_one_that_fails_fails_all_after_the_rest_ran(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command[2:])
        return subprocess.CompletedProcess(command, code if "PYTHON=/a" in command else 0)

    found = {97: ((3, 97, 1), Path("/a")), 98: ((3, 98, 0), Path("/b"))}
    monkeypatch.setattr(interpreters, "others", lambda *_: found)
    monkeypatch.setattr(subprocess, "run", run)
    code = 2
    assert interpreters.main() == 1
    assert ran == [["PYTHON=/a", "VENV=.venv-3.97"], ["PYTHON=/b", "VENV=.venv-3.98"]]
    assert "unit tests failed on: 3.97.1" in capsys.readouterr().out
    code = 0
    assert interpreters.main() == 0
    out = capsys.readouterr().out
    assert "unit tests ran on: 3.97, 3.98" in out and "Pythons not found: 3." in out
