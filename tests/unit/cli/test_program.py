"""The program in a process of its own: exit codes, streams, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ghostcore
from ghostcore.testing import ServerProcess

SCRIPT = """
from ghostcore import ConstantVUs, Trend, scenario

ECHO = Trend("echo_time")

async def say(vu):
    async with vu.connect(vu.env["URL"]) as session:
        with vu.timer(ECHO):
            await session.send("hello")
            await session.recv()
    await vu.sleep(0.05)

@scenario(load=ConstantVUs(2, "300ms"), thresholds={ECHO: "max<60000"})
async def good(vu):
    await say(vu)

@scenario(load=ConstantVUs(2, "300ms"), thresholds={"ws_sessions": "count<1"})
async def failing(vu):
    await say(vu)

@scenario(load=ConstantVUs(1, "200ms"))
async def wrong(vu):
    await vu.sleep(0.02)
    raise KeyError("no such thing")

@scenario(load=ConstantVUs(1, "200ms"), thresholds={"no_such_metric": "count>1", ECHO: "p(101)<1"})
async def planless(vu):
    pass

@scenario(load=ConstantVUs(1, "60s"))
async def endless(vu):
    await vu.sleep(0.05)

@scenario(load=ConstantVUs(1, "60s"))
async def aborting(vu):
    vu.abort("seen enough")
"""

ROOT = Path(ghostcore.__file__).parent.parent


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ghostcore", *map(str, arguments)]


def environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "FORCE_COLOR" and not name.startswith("GHOSTCORE_")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def ghost(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ServerProcess("ghostcore.testing.echo") as server:
        yield server.url


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "load.py"
    path.write_text(SCRIPT)
    return path


def test_thresholds_that_hold(script: Path, url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = ghost("run", script, "good", "-e", f"URL={url}", "--seed", 11, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("running good: 2 users for 300ms\nseed 11\n")
    assert "\x1b" not in done.stdout
    assert json.loads((out / "result.json").read_text())["verdict"] == "pass"


def test_nothing_is_saved_unasked(script: Path, url: str, tmp_path: Path) -> None:
    assert ghost("run", script, "good", "-e", f"URL={url}").returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == ["load.py"]


def test_a_threshold_that_fails(script: Path, url: str) -> None:
    done = ghost("run", script, "failing", "-u", 1, "-d", "200ms", "-e", f"URL={url}")
    assert done.returncode == 99
    assert done.stdout.startswith("running failing: 1 user for 200ms\n")
    assert "verdict: fail  (exit code 99" in done.stdout


def test_errors_of_the_script(script: Path) -> None:
    done = ghost("run", script, "wrong")
    assert done.returncode == 107
    line = SCRIPT.splitlines().index('    raise KeyError("no such thing")') + 1
    assert f"load.py:{line}: KeyError: 'no such thing'" in done.stdout
    assert ghost("run", script, "wrong", "--allow-script-errors").returncode == 99


def test_a_script_that_cannot_be_imported(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import ghostcore\nghostcore.nothing\n")
    done = ghost("run", path)
    assert (done.returncode, done.stdout) == (107, "")
    assert done.stderr.startswith(f"{path}:2: the script cannot be imported: AttributeError: ")
    assert done.stderr.count("\n") == 1


def test_a_plan_that_cannot_be(script: Path) -> None:
    done = ghost("run", script, "planless")
    assert (done.returncode, done.stdout) == (104, "")
    assert done.stderr.count("  - planless: threshold") == 2


def test_all_that_is_wrong_is_told_in_one_list(script: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    done = ghost(
        *("run", script, "planless", "-u", 0, "-e", "URL", "--seed", -5, "--warmup", "soon"),
        *("--out", tmp_path / "a file" / "out"),
    )
    assert (done.returncode, done.stdout) == (104, "")
    head, *problems = done.stderr.splitlines()
    assert head == "This run cannot start:"
    for expected, problem in zip(
        (
            "  - vus must be at least 1",
            "  - -e 'URL': expected KEY=VALUE",
            "  - results cannot be saved in",
            "  - seed must be an int",
            "  - planless: threshold 'count>1' on 'no_such_metric'",
            "  - planless: threshold 'p(101)<1'",
            "  - warmup must be seconds",
        ),
        problems,
        strict=True,
    ):
        assert problem.startswith(expected)


BAD_INPUT = """
from ghostcore import ConstantArrivalRate, RampingVUs, feeder, scenario

@scenario(
    load=ConstantArrivalRate(-5, "10s", preallocated_vus=5, max_vus=2),
    thresholds={"no_such_metric": "count>1", "ws_connecting": "p(101)<1"},
    feeders=[feeder("no_such_file.csv")],
)
async def arrive(vu):
    pass

@scenario(load=RampingVUs([("1m", -3), ("-1s", 2), "30s:5"]))
async def ramp(vu):
    pass
"""


def test_bad_input_of_every_kind_is_told_in_one_list(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(BAD_INPUT)
    done = ghost("run", path, "arrive", "ramp")
    assert (done.returncode, done.stdout) == (104, "")
    problems = done.stderr.splitlines()[1:]
    for expected in (
        "arrive: rate must be more than 0, but is -5",
        "arrive: max_vus must be at least preallocated_vus (5), but is 2",
        "'no_such_metric', which is neither built in nor declared",
        "percentile 101 is not within 0 and 100",
        "feeder 'no_such_file.csv': ",
        "ramp: the target of stages[0] must be at least 0, but is -3",
        "ramp: the duration of stages[1] must not be negative",
        "ramp: stages[2] must be one of pairs",
    ):
        assert sum(expected in problem for problem in problems) == 1, expected
    assert len(problems) == 8


def test_a_wrong_declaration_in_a_script_is_no_error_of_its_code(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("import ghostcore\nghostcore.Trend('not a name')\n")
    done = ghost("run", path, "-u", 0)
    assert (done.returncode, done.stdout) == (104, "")
    assert "  - vus must be at least 1" in done.stderr
    assert f"  - {path}:2: the script cannot be imported: UsageError: metric name" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "no/such/file.py"),
        ("run", "SCRIPT"),
        ("run", "SCRIPT", "unknown"),
        ("run", "SCRIPT", "good", "-u", "3", "-i", "2"),
        ("run", "SCRIPT", "good", "-u", "two"),
        ("run", "SCRIPT", "good", "-d", "1s", "-s", "1s:1"),
        ("run", "SCRIPT", "good", "-e", "URL"),
        ("run", "SCRIPT", "good", "failing", "-u", "1", "-d", "1s"),
        ("no-such-command",),
    ],
)
def test_arguments_that_cannot_be(script: Path, arguments: tuple[str, ...]) -> None:
    done = ghost(*(script if one == "SCRIPT" else one for one in arguments))
    assert (done.returncode, done.stdout) == (104, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


LIFECYCLE = """
from ghostcore import PerVUIterations, feeder, scenario

USERS = feeder(["ada", "grace"])

async def setup(env):
    print("setting up", env["WHO"], flush=True)
    if env["WHO"] == "nobody":
        raise LookupError("no such account")
    return {"who": env["WHO"]}

async def teardown(data):
    print("tearing down", data, flush=True)

@scenario(load=PerVUIterations(1, 2), feeders=[USERS])
async def greet(vu):
    print("user", vu.row(USERS), vu.data and vu.data["who"], flush=True)
"""


def test_set_up_and_teardown(tmp_path: Path) -> None:
    script = tmp_path / "lifecycle.py"
    script.write_text(LIFECYCLE)
    done = ghost("run", script, "-e", "WHO=me", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = [line for line in done.stdout.splitlines() if line.startswith(("set", "tear", "user"))]
    assert said[:4] == [
        "setting up me",
        "user ada me",
        "user grace me",
        "tearing down {'who': 'me'}",
    ]
    assert json.loads((tmp_path / "result.json").read_text())["setup_ms"] >= 0
    failed = ghost("run", script, "-e", "WHO=nobody")
    assert failed.returncode == 107
    assert "setup failed: lifecycle.py:9: LookupError: no such account" in failed.stdout
    assert "tearing down None" in failed.stdout
    assert "user ada" not in failed.stdout
    without = ghost("run", script, "-e", "WHO=nobody", "--no-setup", "--no-teardown")
    assert without.returncode == 0
    assert "user ada None" in without.stdout
    assert "tearing down" not in without.stdout


def test_problems_of_all_parts_of_a_script_are_told_together(tmp_path: Path) -> None:
    script = tmp_path / "load.py"
    script.write_text(
        "from ghostcore import ConstantVUs, Threshold, feeder, scenario\n"
        "def setup(env): pass\n"
        "@scenario(load=ConstantVUs(-1, 1), feeders=[feeder('no/such.csv')],\n"
        "          thresholds={'nothing': 'p(101)<1', 'checks': Threshold('rate>1', delay='x')})\n"
        "async def one(vu): pass\n"
    )
    done = ghost("run", script, "--warmup", "30")
    assert (done.returncode, done.stdout) == (104, "")
    for expected in (
        "vus must be at least 1",
        "no/such.csv cannot be read",
        "percentile 101",
        "'nothing', which is neither built in nor declared",
        "its delay must be",
        "setup must be a coroutine function",
        "warmup must be seconds",
    ):
        assert expected in done.stderr, expected
    assert done.stderr.count("  - ") == 7


def test_an_abort(script: Path) -> None:
    done = ghost("run", script, "aborting", "--quiet")
    assert done.returncode == 108
    assert "seen enough" in done.stdout


def test_ctrl_c_prints_and_saves_what_there_is(script: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command("run", script, "endless", "--out", out)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("running endless")
        assert process.stdout.readline().startswith("seed")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 105
    assert "verdict: inconclusive  (exit code 105" in rest
    assert "interrupted: SIGINT" in rest
    result = json.loads((out / "result.json").read_text())
    assert result["exit_code"] == 105
    assert result["metrics"]["iterations"]["count"] > 0


def test_a_reader_that_goes_away_changes_no_exit_code(script: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command("run", script, "endless", "-u", 1, "-d", "100ms"),
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        env=environment(),
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_serving_echo(script: Path) -> None:
    with subprocess.Popen(
        command("serve-echo"), stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        listening, _, url = process.stdout.readline().strip().rpartition(" ")
        assert listening == "listening on"
        done = ghost("run", script, "good", "-e", f"URL={url}", "--quiet")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert done.returncode == 0


def test_version_and_help() -> None:
    assert ghost("--version").stdout == f"ghostcore {ghostcore.__version__}\n"
    assert "Exit codes:" in ghost("run", "--help").stdout


def test_bench_needs_no_script(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("-c", 3, "-r", 30, "-d", "1s", "--threshold", "max<60000", "--out", out)
    done = ghost("bench", url, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "running bench: 3 connections, 30 messages a second of 32 bytes for 1s\n"
    )
    result = json.loads((out / "result.json").read_text())
    assert result["verdict"] == "pass"
    assert result["metrics"]["messages_answered"]["count"] == 30
    assert result["metrics"]["response_time"]["generator_error"] > 0
    assert [one["expression"] for one in result["thresholds"]] == ["count>=30", "max<60000"]


def test_bench_of_what_cannot_be(url: str) -> None:
    done = ghost("bench", "nonsense", "-c", 0, "-r", -1, "-d", "soon")
    assert done.returncode == 104
    assert len(done.stderr.splitlines()) == 5
    done = ghost("bench", url, "-c", 2, "-d", "1s", "--threshold", "p(101)<1")
    assert done.returncode == 104
    assert ghost("bench", "ws://127.0.0.1:1", "-c", 2, "-d", "1s").returncode == 99


def test_doctor(url: str) -> None:
    done = ghost("doctor", url, "--no-measure")
    assert (done.returncode, done.stderr) == (0, "")
    assert "it speaks WebSocket" in done.stdout
    assert ghost("doctor", "--no-measure", "-u", 999_999_999).returncode == 1
    assert ghost("doctor", "ws://127.0.0.1:1", "--no-measure").returncode == 99
    assert ghost("doctor", "nonsense").returncode == 104


def test_a_plan_that_is_too_big_is_refused(script: Path, url: str) -> None:
    done = ghost("run", script, "good", "-u", 999_999, "-d", "1s", "-e", f"URL={url}")
    assert done.returncode == 104
    assert "users fit" in done.stderr
    assert done.stdout == ""
