"""The command line of the suite, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ghost_greeter.simulator import EmbeddedSimulator

PROGRAM = (sys.executable, "-m", "ghost_greeter")


def typed(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in ("SERVER_URL", "ORG_ID")}
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**env, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def test_without_a_server_the_simulator_is_started_and_said_so(tmp_path: Path) -> None:
    done = typed("run", "widget", "-u", "5", "-d", "2s", "--session", "0.5-1", "--seed", "1",
                 "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("widget loads the embedded simulator at http://127.0.0.1:")
    assert "5 users for 2s" in first
    assert "shortened: 0.5 to 1 s" in second
    assert "offered" in done.stdout
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["verdict"] == "pass"
    assert saved["seed"] == 1
    assert saved["metrics"]["agent_unavailable_count"]["count"] == 0


def test_a_named_server_is_said_first() -> None:
    with EmbeddedSimulator() as simulator:
        done = typed("run", "connections", "-u", "2", "-d", "1s", "--session", "0.2",
                     SERVER_URL=simulator.url)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"connections loads {simulator.url}, on this machine: 2 users")


def test_a_closed_port_fails() -> None:
    done = typed("run", "connections", "-u", "2", "-d", "1s", "--server-url", "ws://127.0.0.1:1")
    assert done.returncode == 99
    assert "connection_refused" in done.stdout


def test_what_cannot_be_is_refused_before_anything_starts() -> None:
    for arguments in (
        ("run", "connections", "--server-url", "nonsense"),
        ("run", "connections", "--session", "9-1"),
        ("run", "connections", "-u", "5", "-d", "soon"),
        ("run", "nothing"),
        ("simulate", "--agents", "-1"),
    ):
        done = typed(*arguments)
        assert done.returncode in (104, 2), (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stderr


def test_ctrl_c_prints_and_saves_what_there_is(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "run", "connections", "-u", "5", "-d", "5m", "--session", "0.2-0.4",
         "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("seed"):
                break
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=40)
    finally:
        end(process)
    assert process.returncode == 105, output
    assert "interrupted: SIGINT" in output
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["exit_code"] == 105
    assert saved["metrics"]["ws_connection_successes"]["count"] > 0


def test_the_simulator_alone() -> None:
    process = subprocess.Popen(
        [*PROGRAM, "simulate", "--port", "0", "--agents", "2"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("listening on ")
        done = typed("run", "widget", "-u", "3", "-d", "1s", "--session", "0.3", SERVER_URL=url)
        assert done.returncode == 0, done.stdout + done.stderr
        process.terminate()
        assert process.wait(timeout=10) == 0
    finally:
        end(process)
