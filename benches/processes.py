"""The two sides of a bench: one server process and one client process, each on its own core."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benches.measure import Reading, read, wait_until
from ghostcore.testing import ServerProcess

__all__ = ["Client", "Server", "ServerState", "Stall", "cores", "pinned"]

ROOT = Path(__file__).parent.parent
STOP_TIMEOUT_S = 5.0


def cores() -> tuple[int, int]:
    """The core of the server and the core of the client: two different ones if there are."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started in this block run on that core only, from their first instruction on
    (a Go program takes the number of its cores from this)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ServerState(NamedTuple):
    """What a server has counted.

    :ivar connections: sessions that are open. :ivar accepted: those that ever were.
    :ivar messages: messages returned.
    """

    connections: int
    accepted: int
    messages: int


class Stall(NamedTuple):
    """When a process stood still, on CLOCK_MONOTONIC.

    :ivar unsure_ns: by how much each of the two may be wrong.
    """

    start_ns: int
    end_ns: int
    unsure_ns: int


class Server:
    """A server of the benches on the first core, ended with the block.

    :param module: ``benches.limit.server`` or ``benches.servers``.
    :param arguments: of its command line.
    :param tls: it speaks wss://, with a certificate made for the occasion.
    :ivar ca: file of the authority that signed it; None without `tls`.
    """

    def __init__(self, module: str, *arguments: str, tls: bool = False) -> None:
        self._module = module
        self._arguments = list(arguments)
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self.ca: Path | None = None

    def __enter__(self) -> Server:
        with contextlib.ExitStack() as stack:
            if self._tls:
                self._certify(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            self._process = ServerProcess(self._module, *self._arguments, start_timeout_s=60)
            with pinned(cores()[0]):
                stack.enter_context(self._process)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _certify(self, folder: Path) -> None:
        import trustme  # only where it is needed: it comes with the test extra

        authority, certificate = trustme.CA(), folder / "server.pem"
        self.ca = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        self._context = ssl.create_default_context(cafile=self.ca)
        self._arguments += ["--certificate", str(certificate)]

    @property
    def url(self) -> str:
        return self._process.url

    def read(self) -> Reading:
        return read(self._process.pid)

    def stop(self) -> None:
        """End it before the block does."""
        self._process.stop()

    def stand_still(self, seconds: float) -> Stall:
        """Stop the process (SIGSTOP), wait for so long, let it go on.

        It stands still between a signal and the moment at which the kernel says so: the middle
        counts.
        :raises TimeoutError: it did not stop, or not go on.
        """
        stopping = self._signal(signal.SIGSTOP, stopped=True)
        try:
            time.sleep(seconds)
        finally:
            going = self._signal(signal.SIGCONT, stopped=False)
        widest_ns = max(after - before for before, after in (stopping, going))
        return Stall(sum(stopping) // 2, sum(going) // 2, widest_ns // 2)

    def _signal(self, number: signal.Signals, *, stopped: bool) -> tuple[int, int]:
        stat = Path(f"/proc/{self._process.pid}/stat")

        def done() -> bool:
            return (stat.read_text().rpartition(")")[2].split()[0] == "T") == stopped

        before_ns = time.monotonic_ns()
        os.kill(self._process.pid, number)
        wait_until(done, STOP_TIMEOUT_S, f"the server after {number.name}", look_s=0.0)
        return before_ns, time.monotonic_ns()

    def fetch(self, path: str) -> bytes:
        """What it says to GET."""
        url = f"{self.url.replace('ws', 'http', 1)}{path}"
        with urllib.request.urlopen(url, timeout=30, context=self._context) as answer:
            body: bytes = answer.read()
        return body

    def counts(self) -> dict[str, Any]:
        """Everything that it has counted."""
        counts: dict[str, Any] = json.loads(self.fetch("/state"))
        return counts

    def state(self) -> ServerState:
        """The counts that every server has."""
        counts = self.counts()
        return ServerState(*(int(counts[name]) for name in ServerState._fields))

    def wait_for(self, client: Client, connections: int, timeout_s: float) -> None:
        """Wait until so many are connected, as long as the client lives."""

        def connected() -> bool:
            client.check()
            return self.state().connections >= connections

        wait_until(connected, timeout_s, f"{client.name}: {connections} connections")


class Client:
    """A load generator in a process of its own on the last core, ended with the block.

    :param name: what reports call it.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = list(command)

    def __enter__(self) -> Client:
        self._stdout, self._stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        with pinned(cores()[1]):
            self._process = subprocess.Popen(
                self._command, stdout=self._stdout, stderr=self._stderr, cwd=ROOT
            )
        return self

    def __exit__(self, *_: object) -> None:
        # What was to be measured has been; thousands of closing handshakes are of no use.
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        self._stderr.close()

    def read(self) -> Reading:
        return read(self._process.pid)

    def freeze(self) -> None:
        """It does nothing any more: what becomes of its server now is no error of the server's."""
        self._process.send_signal(signal.SIGSTOP)

    def said(self) -> str:
        """What it has written to standard output so far."""
        size = os.fstat(self._stdout.fileno()).st_size
        return os.pread(self._stdout.fileno(), size, 0).decode()

    def check(self) -> None:
        """Raise if the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise self._ended(code)

    def output(self, timeout_s: float) -> str:
        """Wait for the end of the process; what it wrote to standard output.

        :raises RuntimeError: it ended with another code than 0, or not in time.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self.name} did not end within {timeout_s:g} s") from None
        if code != 0:
            raise self._ended(code)
        self._stdout.seek(0)
        return self._stdout.read().decode()

    def _ended(self, code: int) -> RuntimeError:
        self._stderr.seek(0)
        said = self._stderr.read()[-2000:].decode(errors="replace")
        return RuntimeError(f"{self.name} ended by itself with code {code}: {said}")
