"""Keys and tokens are nowhere to be found: not in output, files, or lists of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.simulator import EmbeddedSimulator

KEY = "k3y-sentinel-of-the-metrics-0123456789"
TOKEN = "t0ken-sentinel-of-an-agent-0123456789"
SECRETS = (KEY, TOKEN)

SHORT = {
    "calls": ("--agent-mix", "accept", "--agent-answer", "50ms"),
    "reconnect-storm": ("--arrive", "0", "--kill", "--recover-within", "20"),
}


def command_lines(root: int) -> list[str]:
    """Those of a process and of all that descend from it."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
                title = (entry / "cmdline").read_bytes().decode(errors="replace")
                name = (entry / "comm").read_text()
            except OSError:
                continue  # it has ended
            pid = int(entry.name)
            parents[pid] = int(status.rpartition(")")[2].split()[1])
            lines[pid] = f"{title} {name}"
    found, fresh = [], {root}
    while fresh:
        found += [lines[pid] for pid in fresh if pid in lines]
        fresh = {pid for pid, parent in parents.items() if parent in fresh}
    return found


class Spied:
    """A command while it runs: what was seen of it from outside."""

    def __init__(self, *arguments: str, environ: dict[str, str], out: Path | None = None) -> None:
        clean = {k: v for k, v in os.environ.items() if k not in ("SERVER_URL", "ORG_ID")}
        self.titles: set[str] = set()
        self._over = threading.Event()
        command = [sys.executable, "-m", "ghost_greeter", *arguments]
        if out is not None:
            command += ["--out", str(out)]
        with subprocess.Popen(
            command,
            env={**clean, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            spy = threading.Thread(target=self._look, args=(process.pid,))
            spy.start()
            try:
                self.stdout, self.stderr = process.communicate(timeout=100)
            finally:
                process.kill()
                self._over.set()
                spy.join()
        self.code = process.returncode
        self.files = "" if out is None else "\n".join(texts(out))

    def _look(self, pid: int) -> None:
        while not self._over.wait(0.05):
            self.titles.update(command_lines(pid))

    @property
    def seen(self) -> str:
        """All of it."""
        return "\n".join((self.stdout, self.stderr, self.files, *self.titles))


def texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        yield str(path)
        if path.is_file():
            yield path.read_bytes().decode(errors="replace")


def assert_kept(spied: Spied) -> None:
    assert any("ghost_greeter" in title for title in spied.titles), "the spy saw nothing"
    for secret in SECRETS:
        assert secret not in spied.seen


@contextmanager
def token_file(folder: Path, text: str) -> Iterator[Path]:
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(0o600)
    yield path


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_runs_against_the_embedded_simulator(name: str, tmp_path: Path) -> None:
    spied = Spied("run", name, "-u", "3", "-d", "1s", "--session", "0.3", *SHORT.get(name, ()),
                  environ={"METRICS_API_KEY": KEY}, out=tmp_path / "out")  # fmt: skip
    assert spied.code == 0, spied.stdout + spied.stderr
    assert "server counts as many" in spied.stdout, "the key was used"
    assert any("ghost_greeter.simulator" in title for title in spied.titles)
    assert "verdict" in spied.files
    assert_kept(spied)


@pytest.mark.parametrize("server_key", [KEY, "another-key"])
def test_a_named_server(server_key: str, tmp_path: Path) -> None:
    with EmbeddedSimulator(agents=1, metrics_key=server_key) as simulator:
        spied = Spied("run", "widget", "-u", "3", "-d", "1s", "--session", "0.3",
                      environ={"METRICS_API_KEY": KEY, "SERVER_URL": simulator.url},
                      out=tmp_path / "out")  # fmt: skip
    said = "as many" if server_key == KEY else "METRICS_API_KEY is another"
    assert said in " ".join(spied.stdout.split())
    assert_kept(spied)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (("run", "widget", "--server-url", f"ws://127.0.0.1:1/?key={KEY}"), {}),
        (("run", "widget", "--server-url", f"ws://user:{KEY}@127.0.0.1:1"), {}),
        (("run", "widget"), {"SERVER_URL": f"wss://{KEY}@127.0.0.1:1"}),
        (("run", "widget"), {"METRICS_API_KEY": f"{KEY} {TOKEN}"}),
        (("run", "widget"), {"METRICS_API_KEY": f"{KEY}\r\nx: y"}),
    ],
)
def test_what_is_refused_is_not_repeated(
    arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    spied = Spied(*arguments, environ=environ)
    assert spied.code == 104
    assert spied.stderr.startswith("This run cannot start:")
    for secret in SECRETS:  # its command line is what the user typed
        assert secret not in spied.stdout + spied.stderr


def test_tokens_of_the_simulator(tmp_path: Path) -> None:
    with (
        token_file(tmp_path, f"{TOKEN} agent-1\n") as path,
        EmbeddedSimulator("--agent-tokens", str(path), metrics_key=KEY) as simulator,
    ):
        titles = command_lines(simulator.pid)
        said = simulator.stderr() + str(simulator.status())
    assert any("ghost_greeter.simulator" in title for title in titles)
    for secret in SECRETS:
        assert secret not in "\n".join(titles) + said


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_tokens_of_agents_of_a_run(name: str, tmp_path: Path) -> None:
    short = [each for each in SHORT.get(name, ()) if each != "--kill"]  # the server is not its own
    with (
        token_file(tmp_path, f"{TOKEN} *\n") as path,
        EmbeddedSimulator("--agent-tokens", str(path), metrics_key=KEY) as simulator,
    ):
        environ = {"METRICS_API_KEY": KEY, "SERVER_URL": simulator.url}
        run = ("run", name, "-u", "3", "-d", "1s", "--session", "0.3", "--agents", "4", *short)
        spied = Spied(*run, "--agent-token-file", str(path), environ=environ, out=tmp_path / "out")
        assert spied.code == 0, spied.stdout + spied.stderr
        assert_kept(spied)
        wrong = tmp_path / "wrong"
        wrong.write_text(f"{TOKEN}x *\n")
        spied = Spied(*run, "--agent-token-file", str(wrong), environ=environ)
        assert spied.code == 104
        assert "cannot log in" in spied.stderr
        assert_kept(spied)


@pytest.mark.parametrize("arguments", [("simulate", "--agent-tokens"),
    ("run", "calls", "--agents", "1", "--agent-token-file"),
    ("agents", "--url", "ws://127.0.0.1:1", "--agent-token-file")])  # fmt: skip
def test_a_token_file_that_cannot_be_is_not_repeated(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    with token_file(tmp_path, f"# comment\n{TOKEN}\n") as path:
        spied = Spied(*arguments, str(path), environ={})
    assert spied.code == 104
    assert f"{path}:2" in spied.stderr
    assert_kept(spied)


def test_the_spy_sees_what_there_is() -> None:
    """A secret on a command line would have been found."""
    with subprocess.Popen([sys.executable, "-c", "input()", KEY], stdin=subprocess.PIPE) as child:
        until_s = time.monotonic() + 10
        while KEY not in "".join(command_lines(os.getpid())) and time.monotonic() < until_s:
            time.sleep(0.01)
        assert KEY in "".join(command_lines(os.getpid()))
        child.communicate(b"\n")
