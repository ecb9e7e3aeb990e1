"""Saving a result where a command line asks for it."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ghostcore.cli import saving
from ghostcore.cli.saving import EXIT_NOT_SAVED, out_option, save_result
from ghostcore.report import Console
from ghostcore.results import outputs
from ghostcore.results.json import JsonOutput
from ghostcore.results.record import Record
from tests.support.results import make_result


class Full:
    """An output for which there is no room."""

    name = "full"
    file_name = "full.html"

    def write(self, record: Record, directory: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_option_names_the_files_of_all_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    def help_text() -> str:
        command = click.command()(out_option()(lambda out: None))
        return CliRunner().invoke(command, ["--help"]).output

    monkeypatch.setattr(saving, "OUTPUTS", (JsonOutput(),))
    assert "--out DIR  Save the result there: result.json." in help_text()
    monkeypatch.setattr(saving, "OUTPUTS", (JsonOutput(), Full()))
    assert "--out DIR  Save the result there: result.json, full.html." in help_text()


def test_the_environment_gives_the_directory_where_it_may(tmp_path: Path) -> None:
    seen: list[Path | None] = []

    def keep(out: Path | None) -> None:
        seen.append(out)

    for option in (out_option(envvar="SOME_OUT"), out_option()):
        command = click.command()(option(keep))
        done = CliRunner().invoke(command, [], env={"SOME_OUT": str(tmp_path)})
        assert done.exit_code == 0, done.output
    assert seen == [tmp_path, None]


@pytest.mark.parametrize(("exit_code", "expected"), [(0, EXIT_NOT_SAVED), (99, 99)])
def test_what_could_be_written_is_named_and_what_could_not_as_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    exit_code: int,
    expected: int,
) -> None:
    monkeypatch.setattr(outputs, "OUTPUTS", (Full(), JsonOutput()))
    stream = io.StringIO()
    result = make_result([], exit_code=exit_code)
    assert save_result(result, tmp_path, Console(stream)) == expected
    assert stream.getvalue() == f"saved to {tmp_path / 'result.json'}\n"
    assert capsys.readouterr().err == (
        "The result could not be saved: [Errno 28] No space left on device: "
        f"'{tmp_path / 'full.html'}'\n"
    )


def test_a_result_that_is_saved_keeps_its_exit_code(tmp_path: Path) -> None:
    assert save_result(make_result([], exit_code=99), tmp_path, Console(io.StringIO())) == 99
    assert (tmp_path / "result.json").exists()
