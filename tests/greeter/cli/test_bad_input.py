"""What cannot be is told in one message before the load, with exit code 104; what fails, fails."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import ghost_greeter.server.probe
from ghost_greeter.cli import main
from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.server.probe import probe
from ghost_greeter.simulator import EmbeddedSimulator, Simulator
from ghostcore import InvalidPlan
from ghostcore.testing import EchoServer, MisbehavingServer, ServerThread

QUICK = ("-u", "2", "-d", "1s", "--session", "0.2", "--quiet")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER_URL", "ORG_ID", "AGENT_ID", "METRICS_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def http_server(status: int) -> Iterator[str]:
    """A plain web server that knows one answer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "https://elsewhere.test/")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def refused(capfd: Any, *arguments: str) -> str:
    """Run a command that must be refused; returns the one message."""
    assert main(arguments) == 104
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert "offered" not in out, "nothing was loaded"
    lines: list[str] = [line for line in err.splitlines() if line.startswith("  - ")]
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.parametrize("name", sorted(SCENARIOS))
@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--server-url", "", "--server-url is empty"),
        ("--server-url", "ws://a b", "white space"),
        ("--server-url", "ftp://127.0.0.1", "expected ws://"),
        ("--server-url", "127.0.0.1:3001", "expected ws://"),
        ("--server-url", "ws://127.0.0.1:99999", "expected ws://"),
        ("--server-url", "ws://127.0.0.1:0", "port 0"),
        ("--org-id", "", "--org-id is empty"),
        ("--org-id", "two words", "without spaces"),
    ],
)
def test_settings_that_cannot_be(name: str, flag: str, value: str, said: str, capfd: Any) -> None:
    assert said in refused(capfd, "run", name, flag, value)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_plain_web_server(name: str, capfd: Any) -> None:
    with http_server(404) as url:
        said = refused(capfd, "run", name, *QUICK, "--server-url", url)
    assert f"{url} is no Socket.IO server: it does not upgrade to WebSocket" in said
    assert "404" in said


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_plain_websocket_server(name: str, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ghost_greeter.server.probe, "TIMEOUT_S", 0.5)
    with ServerThread(EchoServer()) as thread:
        said = refused(capfd, "run", name, *QUICK, "--server-url", thread.url)
    assert "it is a WebSocket server, but sends no Engine.IO open packet" in said


@pytest.mark.parametrize("status", [200, 301, 400, 401, 426])
def test_answers_that_are_no_upgrade(status: int) -> None:
    with http_server(status) as url, pytest.raises(InvalidPlan, match=str(status)):
        probe(url)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_no_mistake_of_the_plan(status: int) -> None:
    with http_server(status) as url:
        assert str(status) in probe(url)


@pytest.mark.parametrize(
    "bad",
    ["connect_error", "not_http", "wrong_accept", "silent_before_open", "open_not_json",
     "message_before_open", "connect_without_sid", "garbage", "deep_json"],
)  # fmt: skip
def test_servers_that_do_not_speak_it(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ghost_greeter.server.probe, "TIMEOUT_S", 0.5)
    server = ServerThread(MisbehavingServer(bad))
    with server as thread, pytest.raises(InvalidPlan, match="is no Socket") as caught:
        probe(thread.url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "bad",
    ["silent_after_accept", "reset_after_request", "closed_after_request", "close_going_away"],
)
def test_servers_that_may_just_have_trouble(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ghost_greeter.server.probe, "TIMEOUT_S", 0.5)
    with ServerThread(MisbehavingServer(bad)) as thread:
        assert "took no connection before the load" in probe(thread.url)


def test_a_name_that_does_not_resolve(capfd: Any) -> None:
    url = "ws://no-such-host.invalid:3001"
    assert "its name does not resolve" in refused(
        capfd, "run", "widget", *QUICK, "--server-url", url
    )


def test_tls_is_asked_of_a_server_without(capfd: Any) -> None:
    with ServerThread(MisbehavingServer("tls_plaintext")) as thread:
        said = refused(capfd, "run", "widget", *QUICK, "--server-url", thread.url)
    assert "does not speak TLS" in said


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_server_that_is_down_fails_the_run(name: str, capfd: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code = main(["run", name, *QUICK, "--server-url", f"ws://127.0.0.1:{port}",
                 "--out", str(tmp_path)])  # fmt: skip
    out, err = capfd.readouterr()
    assert code == 99, out + err
    assert "the server is down, or the URL is wrong (wss:// for TLS, ws:// without)" in err
    assert "connection_refused" in out
    saved = json.loads((tmp_path / "result.json").read_text())
    assert [one["kind"] for one in saved["errors"]] == ["connection_refused"]


def test_the_probe_is_one_connection_and_leaves_nothing_behind() -> None:
    with ServerThread(Simulator()) as thread:
        assert probe(thread.url) == ""
        server = thread.server.sockets
        assert thread.call(lambda: len(server.connections)) == 0


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_token_file_that_is_missing(name: str, capfd: Any, tmp_path: Path) -> None:
    missing = tmp_path / "no tokens here"
    said = refused(capfd, "run", name, *QUICK, "--agents", "1", "--agent-token-file", str(missing))
    assert f"the agents' tokens cannot be read from {missing}" in said


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_agents_that_cannot_log_in(name: str, capfd: Any, tmp_path: Path) -> None:
    (tmp_path / "right").write_text("right *\n")
    (tmp_path / "wrong").write_text("wrong *\n")
    with EmbeddedSimulator("--agent-tokens", str(tmp_path / "right")) as simulator:
        said = refused(
            capfd, "run", name, *QUICK, "--server-url", simulator.url, "--agents", "1",
            "--agent-token-file", str(tmp_path / "wrong"),
        )  # fmt: skip
    assert "cannot log in: Invalid or expired token (AUTH_INVALID_TOKEN)" in said
