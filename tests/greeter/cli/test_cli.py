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

SETTINGS = ("SERVER_URL", "ORG_ID", "AGENT_ID", "CALL_RATE", "TEST_DURATION")
PROGRAM = (sys.executable, "-m", "ghost_greeter")


def typed(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in SETTINGS}
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


def test_calls_with_agents_of_their_own(tmp_path: Path) -> None:
    done = typed("run", "calls", "--session", "0.1-0.2", "--agent-answer", "10ms..50ms",
                 "--agent-mix", "accept", "--seed", "1", "--out", str(tmp_path),
                 CALL_RATE="5", TEST_DURATION="3s")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("calls loads the embedded simulator at http://127.0.0.1:")
    assert "5/s for 3s (15 starts" in lines[0]
    assert "within 35 s counts as lost" in lines[2]
    # The larger of 16 / 25 and 10 %, and 5/s x (0.05 s + 0.2 s) x 1.5.
    assert lines[3] == "2 agents of this run accept, reject and ignore calls as 1 : 0 : 0"
    metrics = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert metrics["calls_requested"]["count"] == metrics["calls_accepted"]["count"] == 15
    assert metrics["agent_logins"]["count"] == 2


def test_users_instead_of_a_rate_and_a_number_of_agents(tmp_path: Path) -> None:
    done = typed("run", "calls", "-u", "3", "-d", "1s", "--session", "0.1", "--agents", "4",
                 "--agent-answer", "10ms", "--agent-mix", "9,1,0", "--quiet",
                 "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 users for 1s" in done.stdout
    assert "4 agents of this run accept, reject and ignore calls as 9 : 1 : 0" in done.stdout


def test_no_agents_if_none_are_wanted(tmp_path: Path) -> None:
    done = typed("run", "widget", "-u", "2", "-d", "1s", "--session", "0.2", "--agents", "0",
                 "--quiet", "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no agents of this run" in done.stdout
    metrics = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert metrics["agent_assigned_count"]["count"] == 0
    assert metrics["agent_unavailable_count"]["count"] > 0


def test_agents_alone_serve_the_visitors_of_another_process(tmp_path: Path) -> None:
    with EmbeddedSimulator() as simulator:
        agents = subprocess.Popen(
            [*PROGRAM, "agents", "--url", simulator.url, "-n", "3", "--agent-mix", "accept",
             "--agent-answer", "10ms..20ms", "--out", str(tmp_path / "agents")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert agents.stdout is not None
            for line in agents.stdout:
                if line.startswith("seed"):
                    break
            done = typed("run", "calls", "-u", "3", "-d", "1s", "--session", "0.1", "--quiet",
                         "--out", str(tmp_path / "calls"), SERVER_URL=simulator.url)  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            agents.send_signal(signal.SIGINT)
            output, _ = agents.communicate(timeout=20)
        finally:
            end(agents)
    assert agents.returncode == 105, output
    calls = json.loads((tmp_path / "calls/result.json").read_text())["metrics"]
    pool = json.loads((tmp_path / "agents/result.json").read_text())["metrics"]
    assert calls["calls_accepted"]["count"] == pool["agent_calls_accepted"]["count"] > 0
    assert calls["webrtc_signal_round_trip_time"]["count"] > 0
    assert pool["agents_online"]["value"] == 3


def test_agents_alone_for_a_time(tmp_path: Path) -> None:
    with EmbeddedSimulator() as simulator:
        done = typed("agents", "-n", "2", "-d", "1s", SERVER_URL=simulator.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"agents for {simulator.url}, on this machine: 2; ")


def test_agents_that_cannot_log_in_are_told_before_any_load(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-1 ada\n")
    with EmbeddedSimulator("--agent-tokens", str(tokens)) as simulator:
        wrong = tmp_path / "wrong"
        wrong.write_text("secret-2 ada\n")
        run = ("run", "calls", "--agents", "1", "--agent-token-file")
        done = typed(*run, str(wrong), SERVER_URL=simulator.url)
        alone = typed("agents", "--agent-token-file", str(wrong), SERVER_URL=simulator.url)
        missing = typed(*run, str(tmp_path / "none"), SERVER_URL=simulator.url)
        good = typed(*run, str(tokens), "-u", "1", "-d", "1s", "--session", "0.1", "--quiet",
                     SERVER_URL=simulator.url)  # fmt: skip
    for one in (done, alone):
        assert one.returncode == 104
        assert one.stderr.splitlines() == [
            "This run cannot start:",
            "  - agent ada, one of 1, cannot log in: Invalid or expired token (AUTH_INVALID_TOKEN)",
        ]
        assert "offered" not in one.stdout
    assert missing.returncode == 104
    assert "the agents' tokens cannot be read" in missing.stderr
    assert good.returncode == 0, good.stdout + good.stderr
    for one in (done, alone, missing, good):
        assert "secret" not in one.stdout + one.stderr


def test_what_cannot_be_is_refused_before_anything_starts() -> None:
    for arguments in (
        ("run", "connections", "--server-url", "nonsense"),
        ("run", "connections", "--session", "9-1"),
        ("run", "connections", "-u", "5", "-d", "soon"),
        ("run", "nothing"),
        ("run", "calls", "--call-rate", "0"),
        ("run", "calls", "--test-duration", "soon"),
        ("run", "calls", "--agents", "-1"),
        ("run", "calls", "--agent-mix", "1,2"),
        ("run", "calls", "--agent-token-file", "/none"),
        ("run", "calls", "--server-url", "ws://127.0.0.1:1", "--agent-mix", "1,2,3"),
        ("run", "calls", "--agent-hold", "0s"),
        ("agents", "-n", "1"),
        ("agents", "-n", "0", "--url", "ws://127.0.0.1:1"),
        ("agents", "-d", "soon", "--url", "ws://127.0.0.1:1"),
        ("simulate", "--agents", "-1"),
    ):
        done = typed(*arguments)
        assert done.returncode == 104, (arguments, done.stdout, done.stderr)
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
