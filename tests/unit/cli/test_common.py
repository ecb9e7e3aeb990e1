"""Options to load models and settings; running and reporting; exit codes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ghostcore import (
    VU,
    ConstantVUs,
    InvalidPlan,
    RampingVUs,
    SharedIterations,
    UsageError,
    scenario,
)
from ghostcore.cli import (
    RunArguments,
    invoke,
    load_from_options,
    load_options,
    run_and_report,
    run_options,
    saving_options,
    settings_from_options,
)
from ghostcore.cli.common import EXIT_NOT_SAVED
from ghostcore.cli.program import cli
from ghostcore.load import LoadModel
from ghostcore.report import Console


@scenario(load=ConstantVUs(1, 0.1), name="nap")
async def nap(vu: VU) -> None:
    await vu.sleep(0.02)


@pytest.mark.parametrize(
    ("vus", "duration", "iterations", "stages", "load"),
    [
        (None, None, None, (), None),
        (50, "2m", None, (), ConstantVUs(50, "2m")),
        (None, "30s", None, (), ConstantVUs(1, "30s")),
        (None, None, None, ("30s:100",), RampingVUs([("30s", 100)], start_vus=1)),
        (5, None, None, ("30s:9", "1m30s:0"), RampingVUs([("30s", 9), ("1m30s", 0)], start_vus=5)),
        (0, None, None, ("30s:100",), RampingVUs([("30s", 100)], start_vus=0)),
        # As k6: iterations are shared, a duration limits them, users alone make one each.
        (None, None, 10, (), SharedIterations(10, 1)),
        (5, None, 10, (), SharedIterations(10, 5)),
        (5, "30s", 10, (), SharedIterations(10, 5, "30s")),
        (5, None, None, (), SharedIterations(5, 5)),
        (None, None, None, ("30s:9,1m:0",), RampingVUs([("30s", 9), ("1m", 0)], start_vus=1)),
    ],
)
def test_options_that_replace_the_load(
    vus: int | None,
    duration: str | None,
    iterations: int | None,
    stages: tuple[str, ...],
    load: LoadModel | None,
) -> None:
    assert load_from_options(vus, duration, iterations, stages) == load


@pytest.mark.parametrize(
    ("vus", "duration", "iterations", "stages", "problem"),
    [
        (5, None, 3, (), "iterations must be at least vus (5), but is 3"),
        (None, None, 0, (), "iterations must be at least 1"),
        (None, None, 10, ("30s:100",), "-s and -i contradict"),
        (None, "", 10, (), "max_duration must be seconds"),
        (None, "2m", None, ("30s:100",), "contradict"),
        (None, "30", None, (), 'write "30s"'),
        (0, "2m", None, (), "vus must be at least 1"),
        (0, None, None, (), "vus must be at least 1"),
        (None, None, None, ("30s",), "expected DURATION:USERS"),
        (None, None, None, ("30s:-1",), "expected DURATION:USERS"),
        (None, None, None, ("30s:²",), "expected DURATION:USERS"),
        (None, None, None, ("x:1",), "stage 'x:1': its duration must be"),
    ],
)
def test_options_that_cannot_be(
    vus: int | None,
    duration: str | None,
    iterations: int | None,
    stages: tuple[str, ...],
    problem: str,
) -> None:
    with pytest.raises(InvalidPlan) as caught:
        load_from_options(vus, duration, iterations, stages)
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


@pytest.mark.parametrize(
    ("arguments", "environment", "load"),
    [
        ([], {"VUS": "3", "DURATION": "2m"}, ConstantVUs(3, "2m")),
        (["-u", "5"], {"VUS": "3", "DURATION": "2m"}, ConstantVUs(5, "2m")),
        (["-d", "9s"], {"VUS": "3", "DURATION": "2m"}, ConstantVUs(3, "9s")),
        # Another kind of load on the command line puts aside that of the environment.
        (["-i", "9"], {"VUS": "3", "DURATION": "2m"}, SharedIterations(9, 3)),
        (["-d", "9s"], {"STAGES": "1s:2", "ITERATIONS": "7"}, ConstantVUs(1, "9s")),
        (["-s", "1s:2"], {"DURATION": "2m"}, RampingVUs([("1s", 2)])),
        ([], {"STAGES": "1s:2,3s:4"}, RampingVUs([("1s", 2), ("3s", 4)])),
        ([], {"VUS": ""}, None),
        ([], {"STAGES": "1s:2", "DURATION": "2m"}, "-s and -d contradict each other"),
    ],
)
def test_the_command_line_comes_before_the_environment(
    arguments: list[str], environment: dict[str, str], load: LoadModel | str | None
) -> None:
    found: list[object] = []

    @click.command()
    @load_options
    def command(arguments: RunArguments) -> None:
        try:
            found.append(arguments.load())
        except InvalidPlan as error:
            found.append(str(error))

    settings = {f"GHOSTCORE_{name}": value for name, value in environment.items()}
    done = CliRunner().invoke(command, arguments, env=settings)
    assert done.exit_code == 0, done.output
    if isinstance(load, str):
        assert load in str(found[0])
    else:
        assert found == [load]


def test_every_option_that_is_no_setting_can_come_from_the_environment() -> None:
    variables = {
        option.name: option.envvar
        for option in cli.commands["run"].params
        if isinstance(option, click.Option)
    }
    assert variables.pop("settings") is None
    assert variables == {name: f"GHOSTCORE_{str(name).upper()}" for name in variables}
    assert {"vus", "stages", "seed", "warmup", "out", "setup_timeout"} <= set(variables)


def test_users_alone_are_said_to_make_one_iteration_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    load_from_options(vus=5)
    assert "-u 5 alone is 5 iterations in all" in capsys.readouterr().err
    load_from_options(vus=5, iterations=10)
    load_from_options(vus=5, duration="1m")
    assert capsys.readouterr().err == ""


def test_all_problems_of_options_are_told_at_once() -> None:
    with pytest.raises(InvalidPlan) as caught:
        load_from_options(None, "1m", 3, ("x", "y"))
    assert len(caught.value.problems) == 4


def test_settings() -> None:
    pairs = ["URL=ws://h/?a=b", "EMPTY=", "A=1", "A=2"]
    assert settings_from_options(pairs) == {"URL": "ws://h/?a=b", "EMPTY": "", "A": "2"}
    with pytest.raises(InvalidPlan) as caught:
        settings_from_options(["A=1", "B", "=3"])
    assert caught.value.problems == ("-e 'B': expected KEY=VALUE", "-e '=3': expected KEY=VALUE")


def test_a_run_is_printed_and_saved(tmp_path: Path) -> None:
    stream = io.StringIO()
    out = tmp_path / "out"
    assert (
        run_and_report(nap, arguments=RunArguments(seed=5, out=out), console=Console(stream)) == 0
    )
    assert stream.getvalue().startswith("running nap: 1 user for 100ms\nseed 5\n")
    assert f"\nsaved to {out / 'result.json'}\n" in stream.getvalue()
    assert json.loads((out / "result.json").read_text())["seed"] == 5


def test_the_load_is_replaced() -> None:
    stream = io.StringIO()
    assert run_and_report(nap, load=ConstantVUs(2, 0.2), console=Console(stream)) == 0
    assert stream.getvalue().startswith("running nap: 2 users for 200ms\n")


def test_every_problem_of_a_plan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    wrong = ConstantVUs(0, -1)
    assert run_and_report(nap, load=wrong, seed=-1, console=Console(stream)) == 104
    assert stream.getvalue() == ""
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "This run cannot start:"
    assert [line[:4] for line in lines[1:]] == ["  - "] * 3


def test_a_place_that_cannot_be_written_is_told_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    stream = io.StringIO()
    assert (
        run_and_report(
            nap, arguments=RunArguments(out=tmp_path / "file" / "out"), console=Console(stream)
        )
        == 104
    )
    assert stream.getvalue() == ""
    assert "results cannot be saved" in capsys.readouterr().err


def test_a_result_that_could_not_be_saved_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result.json").mkdir()
    stream = io.StringIO()
    assert (
        run_and_report(nap, arguments=RunArguments(out=tmp_path), console=Console(stream))
        == EXIT_NOT_SAVED
    )
    assert "verdict: pass" in stream.getvalue()
    assert "could not be saved" in capsys.readouterr().err


def test_a_command_line_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, object] = {}

    @click.command()
    @click.option("--session", default="none")
    @load_options
    @run_options
    def command(session: str, **options: object) -> int:
        seen.update(options)
        if session == "wrong":
            raise UsageError("no such session")
        if session == "stop":
            raise KeyboardInterrupt
        return 99

    assert invoke(command, ["-u", "3", "-s", "1s:2", "-s", "2s:3", "-e", "A=b"], name="own") == 99
    given = RunArguments(vus=3, stages=("1s:2", "2s:3"), settings=("A=b",))
    assert seen == {"arguments": given}
    assert given.load() == RampingVUs([("1s", 2), ("2s", 3)], start_vus=3)
    assert given.env() == {"A": "b"}
    assert invoke(command, ["--session", "wrong"], name="own") == 104
    assert "  - no such session" in capsys.readouterr().err
    assert invoke(command, ["--nothing"], name="own") == 104
    assert "--nothing" in capsys.readouterr().err
    assert invoke(command, ["--session", "stop"], name="own") == 105
    assert invoke(command, ["--help"], name="own") == 0


@pytest.mark.parametrize("outer", [load_options, run_options, saving_options])
def test_every_option_is_a_field_of_the_one_value(outer: Callable[[Any], Any]) -> None:
    @click.command()
    @outer
    def command(arguments: RunArguments) -> None: ...

    names = {option.name for option in command.params}
    assert names <= {field.name for field in fields(RunArguments)}
    values = command.make_context("own", []).params
    assert RunArguments(**values) == RunArguments(), "what is not given has the field's default"


def test_arguments_are_taken_where_options_say_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @scenario(load=ConstantVUs(1, 0.1), name="reader")
    async def reader(vu: VU) -> None:
        assert vu.env["A"] == "b"
        await vu.sleep(0.02)

    stream = io.StringIO()
    given = RunArguments(vus=2, duration="200ms", settings=("A=b",), out=tmp_path, quiet=True)
    assert run_and_report(reader, arguments=given, seed=7, console=Console(stream)) == 0
    assert stream.getvalue().startswith("running reader: 2 users for 200ms\nseed 7\n")
    wrong = RunArguments(vus=0, duration="1s", settings=("A",), seed=-1)
    assert run_and_report(reader, arguments=wrong, console=Console(stream)) == 104
    told = capsys.readouterr().err
    for part in ("vus must be at least 1", "-e 'A': expected KEY=VALUE", "seed"):
        assert part in told
