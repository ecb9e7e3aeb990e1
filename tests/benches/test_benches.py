"""The benches must not rot: their parts start, count and report. No figure is judged here."""

from __future__ import annotations

import json
import mmap
import os
import resource
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from benches import __main__ as command
from benches import clients, connect, echo, loops, memory
from benches.measure import Refused, check_descriptors, machine, read, wait_until
from benches.processes import Client, Server, ServerState, cores, pinned
from tests.support.tables import text_of


def test_a_reading_follows_the_process() -> None:
    before = read(os.getpid())
    ballast = mmap.mmap(-1, 8 << 20)  # pages of its own, not some that the process has already
    ballast.write(b"x" * len(ballast))
    sum(number for number in range(2_000_000))
    after = read(os.getpid())
    assert after.at_s > before.at_s
    assert after.cpu_s > before.cpu_s
    assert after.rss_bytes - before.rss_bytes > len(ballast) // 2
    assert 0 < after.share_since(before) <= len(os.sched_getaffinity(0))
    ballast.close()


def test_a_reading_of_another_process_is_its_own() -> None:
    busy = "import sys\nfor _ in range(3_000_000): pass\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        first, here = read(other.pid), read(os.getpid())
        ticks = os.sysconf("SC_CLK_TCK")
        fields = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()
        assert abs(first.cpu_s - (int(fields[11]) + int(fields[12])) / ticks) <= 3 / ticks
        assert first.cpu_s != here.cpu_s
        other.stdin.close()


def test_pinning_ends_with_the_block() -> None:
    before = os.sched_getaffinity(0)
    server_core, client_core = cores()
    with pinned(client_core):
        assert os.sched_getaffinity(0) == {client_core}
    assert os.sched_getaffinity(0) == before
    assert (server_core != client_core) == (len(before) > 1)


def test_waiting_for_what_does_not_come_says_what() -> None:
    with pytest.raises(TimeoutError, match="the moon: not within"):
        wait_until(lambda: False, 0.01, "the moon")


def test_more_sockets_than_files_are_refused_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hard = 19_500
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    check_descriptors(hard - 128)
    with pytest.raises(Refused, match=r"may open [\d,]+ files \(ulimit -Hn\)"):
        check_descriptors(hard)


@pytest.mark.parametrize("kind", ["echo", "flight", "idle", "idle_wss"])
def test_k6_commands_name_a_script_that_exists(kind: str) -> None:
    words = clients.k6_command(kind, "ws://127.0.0.1:1/", 10, 1.5, 2)
    assert Path(words[-1]).is_file()
    assert {"URL=ws://127.0.0.1:1/", "USERS=10", "DURATION=1.5s", "RAMP=2s"} <= set(words)


@pytest.mark.parametrize("link", clients.LINKS)
@pytest.mark.parametrize("kind", ["idle", "idle_socketio"])
def test_idle_users_connect_and_stay(kind: str, link: str) -> None:
    figures = memory.measure_once(link, kind, users=20, connects_per_s=200, wait_s=0.1)
    assert figures.users == 20
    assert figures.rss_bytes > 0


def test_idle_users_of_wss_check_the_certificate() -> None:
    figures = memory.measure_once("picows", "idle_wss", users=5, connects_per_s=50, wait_s=0.1)
    assert figures.users == 5


def test_a_user_of_wss_refuses_a_certificate_of_another_authority() -> None:
    with (
        Server("benches.servers", tls=True) as server,
        Server("benches.servers", tls=True) as other,
    ):
        assert server.url.startswith("wss://")
        command = clients.ghostcore_command(
            "idle_wss", server.url, 1, 0.3, link="picows", CA=str(other.ca)
        )
        with Client("picows", command) as client, pytest.raises(RuntimeError, match="code 99"):
            client.output(60)
        assert server.state().accepted == 0


def test_a_lost_user_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "state", lambda _: ServerState(4, 5, 0))
    figures = memory.measure_idle("epoll", "idle", few=2, many=4, pace=100, wait_s=0)
    assert "2 idle users were to stay" in figures["refused"]
    assert "refused: epoll idle: 2 idle users" in text_of(*memory.tables([figures]))


def test_memory_is_the_slope_between_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(client: str, kind: str, users: int, *_: Any) -> memory.IdleFigures:
        return memory.IdleFigures(client, kind, users, (30 << 20) + users * 7168, 0, 300.0)

    monkeypatch.setattr(memory, "measure_once", measured)
    report = [memory.measure_idle("epoll", kind, few=1000, many=10_000)
              for kind in ("idle", "idle_socketio")]  # fmt: skip
    report.append(memory.measure_idle("epoll", "idle_wss", few=500, many=4000))
    assert report[0]["kib_per_user"] == 7
    shown = text_of(*memory.tables(report)).splitlines()
    assert [line.count(" NO ") for line in shown if "7.00" in line] == [1, 1, 0]
    assert any("epoll wss" in line and "<= 40" in line and "yes" in line for line in shown)


def test_groups_are_named_one_by_one_or_in_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    options = command.parser().parse_args(["--only", "echo,idle", "--only", "wss"])
    assert options.only == ["echo", "idle", "wss"]
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--only", "echo,moon"])
    assert "no bench 'moon'; there are echo, " in capsys.readouterr().err


def test_a_group_without_figures_does_not_keep_the_others_from_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(_: Namespace) -> None:
        raise Refused("2 connections were lost")

    row = {"client": "epoll", "kind": "idle", "users": [1, 2], "refused": "1 was lost"}
    monkeypatch.setitem(command.GROUPS, "echo", command.Group(lost, echo.tables))
    monkeypatch.setitem(command.GROUPS, "idle", command.Group(lambda _: [row], memory.tables))
    out = tmp_path / "deep" / "bench.json"
    assert command.main(["--only", "echo,idle", "--out", str(out)]) == 1
    report = json.loads(out.read_text())
    assert report["machine"] == machine()
    assert report["echo"] == {"refused": "2 connections were lost"}
    assert report["idle"] == [row]
    assert "echo: no figures. 2 connections" in capsys.readouterr().out


def test_a_group_of_refusals_alone_has_no_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"client": "epoll", "kind": "idle", "users": [1, 2], "refused": "1 was lost"}
    figures = {"kib_per_user": 2.0, "kernel_kib_per_connection": 1.0, "connect_us": 9.0}
    measured = {"client": "picows", "kind": "idle", "users": [1, 2], **figures}
    rows: list[dict[str, Any]] = [refused]
    monkeypatch.setitem(command.GROUPS, "idle", command.Group(lambda _: rows, memory.tables))
    words = ["--only", "idle", "--out", str(tmp_path / "bench.json")]
    assert command.main(words) == 1
    assert "refused: 1 was lost" in capsys.readouterr().out
    rows.append(measured)
    assert command.main(words) == 0


def test_a_group_in_turns_has_figures_if_one_client_has() -> None:
    assert not command.has_figures({"medians": {"C": None, "k6": None}, "refused": {"C": ["no"]}})
    assert command.has_figures({"medians": {"C": None, "k6": {"client_us": 1.0}}, "refused": {}})
    assert not command.has_figures([])


@pytest.mark.parametrize(
    "error", [RuntimeError("k6 ended by itself"), TimeoutError("not within 1 s")]
)
def test_a_process_that_fails_is_a_line_and_not_the_end_of_its_table(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    said = f"{type(error).__name__}: {error}"
    monkeypatch.setattr(memory, "measure_once", fail)
    row = memory.measure_idle("epoll", "idle", few=2, many=4, pace=100, wait_s=0)
    assert row["refused"] == said
    monkeypatch.setattr(connect, "connect_all", fail)
    assert connect.measure_once(connect.Case("C"), 2, 0)["refused"] == said
    turns = loops.in_turns(("C",), 1, fail)  # type: ignore[arg-type]
    assert (turns.runs, turns.refused) == ({"C": [None]}, {"C": [said]})
