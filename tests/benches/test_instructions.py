"""The count of instructions must not rot: workloads do what they say, and the guard can fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from benches.instructions import __main__ as command
from benches.instructions import callgrind, guard, workloads
from benches.instructions.workloads import WORKLOADS
from ghostcore.execution import worker
from ghostcore.monitor import generator
from ghostcore.testing import ServerProcess

HERE = guard.environment()


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_do_what_is_counted(name: str) -> None:
    workload = WORKLOADS[name]
    assert workload.few < workload.many
    with ExitStack() as stack:
        url = stack.enter_context(ServerProcess(workload.server)).url if workload.server else ""
        workloads.run(workload, 3, url)


def test_a_workload_that_fails_is_no_count() -> None:
    with pytest.raises(RuntimeError, match="connection_refused"):
        workloads.run(WORKLOADS["connect_epoll"], 1, "ws://127.0.0.1:1")


def test_nothing_of_the_clock_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((worker, "WINDOW_NS"), (generator, "LoopWatch")):
        monkeypatch.setattr(module, name, getattr(module, name))  # to be restored
    monkeypatch.setattr(worker.Worker, "_report", worker.Worker._report)
    threads: list[int] = []
    workloads.leave_out_the_clock(lambda: threads.append(threading.active_count()))
    workloads.run(WORKLOADS["sleep"], 1100, "")  # more than a second
    assert threads == [threading.active_count()]  # one account, and nobody watches


def test_the_accepted_counts_are_those_of_the_workloads() -> None:
    accepted = guard.Accepted.load()
    assert accepted.counts.keys() == WORKLOADS.keys()
    assert all(count > 0 for count in accepted.counts.values())
    assert accepted.environment.keys() == HERE.keys()


def report_of(counts: dict[str, int]) -> tuple[int, str]:
    console = Console(width=160)
    with console.capture() as captured:
        code = command.report(counts, console)
    return code, captured.get()


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of accepted counts: 10,000 instructions for a sleep, 400 for a record."""
    path = tmp_path / "accepted.json"
    guard.Accepted(HERE, {"sleep": 10_000, "record": 400}).save(path)
    monkeypatch.setattr(guard.Accepted, "load", lambda: load(path))
    return path


load = guard.Accepted.load


@pytest.mark.parametrize(
    ("count", "code", "said"),
    [
        (10_200, 0, "+2.0%"),
        (10_201, 1, "More than accepted by over 2%"),
        (9_800, 0, "-2.0%"),
        (9_799, 0, "Less than accepted: store it"),
    ],
)
@pytest.mark.usefixtures("accepted")
def test_a_count_may_vary_by_the_tolerance(count: int, code: int, said: str) -> None:
    found_code, shown = report_of({"sleep": count, "record": 400})
    assert (found_code, said in shown) == (code, True), shown
    assert ("accepted:" in shown) == (count < 9_800)


@pytest.mark.usefixtures("accepted")
def test_a_count_that_was_never_accepted_fails() -> None:
    code, shown = report_of({"echo_epoll": 1})
    assert code == 1
    assert "never accepted" in shown


@pytest.mark.parametrize(("count", "code"), [(12_500, 0), (12_501, 1)])
def test_counts_from_elsewhere_are_compared_with_more_room_and_it_is_said(
    accepted: Path, count: int, code: int
) -> None:
    guard.Accepted({**HERE, "compiler": "gcc 3"}, {"sleep": 10_000}).save(accepted)
    found_code, shown = report_of({"sleep": count})
    assert found_code == code
    assert "25% are tolerated instead of 2%" in shown
    assert f"compiler: {HERE['compiler']} here, gcc 3 accepted" in shown


def test_accepting_some_keeps_the_others_and_drops_what_is_no_more(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    guard.Accepted(HERE, {"sleep": 10, "record": 20, "gone": 30}).save(path)
    guard.accept({"sleep": 11}, {"sleep", "record"}, path)
    assert load(path) == guard.Accepted(HERE, {"sleep": 11, "record": 20})


def test_counts_of_two_environments_are_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    guard.Accepted({**HERE, "python": "CPython 3.9"}, {"sleep": 10, "record": 20}).save(path)
    with pytest.raises(ValueError, match=r"without --only: python: .*CPython 3\.9 accepted"):
        guard.accept({"sleep": 11}, {"sleep", "record"}, path)
    guard.accept({"sleep": 11, "record": 21}, {"sleep", "record"}, path)
    assert load(path) == guard.Accepted(HERE, {"sleep": 11, "record": 21})


@pytest.mark.parametrize("text", ["", "[]", '{"counts": {}}', json.dumps({"environment": 3})])
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accepted.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="--accept writes it"):
        load(path)
    path.unlink()
    with pytest.raises(ValueError, match="--accept writes it"):
        load(path)


def test_without_valgrind_it_fails_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert command.main(["--only", "sleep"]) == 2
    assert "valgrind is missing: install it (Debian" in capsys.readouterr().err


def test_without_its_headers_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def compiled(command: list[str], **_: object) -> None:
        text = "control.c:2:10: fatal error: valgrind/callgrind.h: No such file or directory"
        raise subprocess.CalledProcessError(1, command, stderr=text)

    monkeypatch.setattr(callgrind, "OUT", tmp_path / "out")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/valgrind")
    monkeypatch.setattr(subprocess, "run", compiled)
    with pytest.raises(callgrind.MissingTool, match="headers of valgrind are missing: install it"):
        callgrind.count_unit("sleep")


@pytest.mark.parametrize(
    ("counts", "enough", "lowest", "looks"),
    [
        ((100, 90), 100, 100, 1),
        ((103, 101, 99, 98), 100, 99, 3),
        ((103, 102, 104, 101, 105, 0), 100, 101, 5),
        ((3, 2, 4, 6, 5, 0), 0, 2, 5),
    ],
)
def test_a_count_too_high_is_taken_again_with_other_layouts(
    monkeypatch: pytest.MonkeyPatch, counts: tuple[int, ...], enough: int, lowest: int, looks: int
) -> None:
    seen: list[int] = []

    def count_unit(name: str, layout: int = 0) -> int:
        seen.append(layout)
        return counts[layout]

    monkeypatch.setattr(callgrind, "count_unit", count_unit)
    assert callgrind.count_lowest("sleep", enough=enough) == lowest
    assert seen == list(range(looks))


def test_a_profile_without_its_end_is_told(tmp_path: Path) -> None:
    profile = tmp_path / "sleep.few"
    profile.write_text("events: Ir\nsummary: 8\n\nfn=(1) main\n1 8\n\ntotals: 1234\n")
    assert callgrind.total_of(profile) == 1234
    profile.write_text("events: Ir\nfn=(1) main\n1 8\n")
    with pytest.raises(RuntimeError, match="has no total"):
        callgrind.total_of(profile)


def test_functions_are_the_difference_of_two_profiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As callgrind_annotate prints them: with a binary, or inlined and without one."""

    def annotated(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        many = command[-1].endswith("many")
        lines = [
            "--------------------------------------------------------------------------------",
            "Profile data file 'sleep.few' (creator: callgrind-3.19.0)",
            f"{'2,001,000' if many else '1,000'}  PROGRAM TOTALS",
            f"{'2,000,000' if many else '1,000'}  timers.c:fire [/x/_timers.cpython-311-x86.so]",
            f"{'1,000' if many else '0'}  ./Include/object.h:fire",
            "5  ???:0x0000000004936718 [???]",
        ]
        return subprocess.CompletedProcess(command, 0, "\n".join(lines), "")

    monkeypatch.setattr(subprocess, "run", annotated)
    found = callgrind.count_functions("sleep", inclusive=False)
    assert found == {("fire", "_timers"): 2000.0, ("0x0000000004936718", "???"): 0.0}
