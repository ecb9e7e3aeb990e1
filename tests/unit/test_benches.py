"""The benches must not rot: their parts start, count and report. No figure is judged here."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from typing import Any

import pytest

from benches import __main__ as command
from benches import clients, echo, memory
from benches.measure import cores, machine, pinned, read, wait_until


def test_a_reading_follows_the_process() -> None:
    before = read(os.getpid())
    ballast = mmap.mmap(-1, 8 << 20)  # pages of its own, not some that the process has already
    ballast.write(b"x" * len(ballast))
    sum(number for number in range(2_000_000))
    after = read(os.getpid())
    assert after.at_s > before.at_s
    assert after.cpu_s > before.cpu_s
    assert after.rss_bytes - before.rss_bytes > len(ballast) // 2
    ballast.close()


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


@pytest.mark.parametrize("kind", ["echo", "idle"])
def test_k6_commands_name_a_script_that_exists(kind: str) -> None:
    words = clients.k6_command(kind, "ws://127.0.0.1:1/", 10, 1.5, 2)
    assert Path(words[-1]).is_file()
    assert {"URL=ws://127.0.0.1:1/", "USERS=10", "DURATION=1.5s", "RAMP=2s"} <= set(words)


def test_echo_is_counted_at_the_server() -> None:
    figures = echo.measure_once("ghostcore", users=3, seconds=0.3)
    assert figures.round_trips_per_s > 0


@pytest.mark.parametrize("kind", ["idle", "idle_socketio"])
def test_idle_users_connect_and_stay(kind: str) -> None:
    figures = memory.measure_once("ghostcore", kind, users=20, connects_per_s=200, wait_s=0.1)
    assert figures.users == 20
    assert figures.rss_bytes > 0


def test_a_client_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> list[str]:
        return clients.ghostcore_command("no such scenario", "ws://127.0.0.1:1/", 1, 1)

    monkeypatch.setitem(echo.CLIENTS, "ghostcore", wrong)
    with pytest.raises(RuntimeError, match=r"(?s)code 2: .*invalid choice"):
        echo.measure_once("ghostcore", users=1, seconds=0.1)


def test_the_report_is_written_and_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_of(client: str, speed: float) -> echo.EchoFigures:
        return echo.EchoFigures(client, 20, speed, 0.9, 0.8, 1e6 / speed)

    speeds = {"ghostcore": iter((90.0, 110.0, 500.0)), "k6": iter((10.0, 20.0, 50.0))}

    def measured(client: str, *_: Any) -> echo.EchoFigures:
        return run_of(client, next(speeds[client]))

    monkeypatch.setattr(echo, "measure_once", measured)
    out = tmp_path / "deep" / "bench.json"
    assert command.main(["--only", "echo", "--quick", "--repeats", "3", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["machine"] == machine()
    assert report["echo"]["medians"]["ghostcore"]["round_trips_per_s"] == 110
    assert report["echo"]["ratio_to_k6"] == 9  # the median of the ratios 9, 5.5 and 10
    assert report["echo"]["cpu_ratio_to_k6"] == pytest.approx(9)
    assert "9.00 x k6" in capsys.readouterr().out


def test_memory_is_the_slope_between_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(client: str, kind: str, users: int, *_: Any) -> memory.IdleFigures:
        return memory.IdleFigures(client, kind, users, (30 << 20) + users * 7168, 0, 300.0)

    monkeypatch.setattr(memory, "measure_once", measured)
    report = memory.measure_idle("ghostcore", "idle", few=1000, many=10_000)
    assert report["kib_per_user"] == 7
