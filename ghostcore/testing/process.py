"""A server in a process of its own, so that it does not share a core with what tests it."""

from __future__ import annotations

import asyncio
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Self

from ghostcore.errors import GhostError, UsageError

__all__ = ["ServerDied", "ServerProcess"]

_ANNOUNCEMENT = "listening on "
_STDERR_SHOWN = 8192


class ServerDied(GhostError):
    """The server process ended by itself, or never came up.

    :ivar returncode: its exit code, negative for a signal; None if it hung and was killed.
    :ivar stderr: the end of what it wrote to standard error.
    """

    def __init__(self, detail: str, *, returncode: int | None, stderr: str) -> None:
        super().__init__(f"{detail}\n{stderr}".rstrip())
        self.returncode = returncode
        self.stderr = stderr


class ServerProcess:
    """Runs ``python -m MODULE --port 0 --watch-stdin ARGUMENTS`` while the context is open.

    The module's first line of output must be ``listening on URL``; it must end on SIGTERM and at
    the end of its standard input (:func:`ghostcore.testing.run_server` does both), so that it never
    outlives this process. ``with`` and ``async with`` both work; the latter never blocks the loop.

    ::

        with ServerProcess(EchoServer) as server:
            ...  # server.url

    :param module: name of the module, or a class that it defines.
    :param arguments: more arguments of its command line.
    :param env: variables added to the environment: what lists of processes shall not show.
    :param start_timeout_s: how long it may take to listen.
    :param stop_timeout_s: how long it may take to end after SIGTERM before it is killed.
    """

    def __init__(
        self,
        module: str | type,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.module = module if isinstance(module, str) else module.__module__
        self.arguments = arguments
        self._env = dict(env or {})
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The URL that the server announced."""
        if not self._url:
            raise UsageError("the server process has no URL yet: start() it, or enter `with`")
        return self._url

    @property
    def port(self) -> int:
        """The port in :attr:`url`."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise UsageError("the server process is not running: start() it, or enter `with`")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it listens. Raises :class:`ServerDied`."""
        if self._process is not None:
            raise UsageError(f"{self.module} is running already as process {self.pid}")
        command = [sys.executable, "-m", self.module, "--port", "0", "--watch-stdin"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # The child must find what this process found, wherever its path came from.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),  # noqa: PTH109
                **self._env,
            },
        )
        try:
            line = self._first_line()
            if not line.startswith(_ANNOUNCEMENT):
                self._died(f"{self.module} said {line!r}, not {_ANNOUNCEMENT + 'URL'!r}")
            self._url = line.removeprefix(_ANNOUNCEMENT)
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """End the process: SIGTERM, then after ``stop_timeout_s`` SIGKILL.

        Raises :class:`ServerDied` if it had ended by itself, or ends with another code than 0.
        """
        if self._process is None:
            return
        found = self._process.poll()
        killed = self._end()
        returncode, stderr = self._returncode, self._last_stderr
        if found is not None:
            raise ServerDied(
                f"{self.module} ended by itself with code {found}", returncode=found, stderr=stderr
            )
        if killed:
            raise ServerDied(
                f"{self.module} did not end within {self._stop_timeout_s} s of SIGTERM",
                returncode=None,
                stderr=stderr,
            )
        if returncode != 0:
            raise ServerDied(
                f"{self.module} ended with code {returncode}", returncode=returncode, stderr=stderr
            )

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would, and forget it: stop() has no complaint.

        Its URL is still known, and refuses.
        """
        if self._process is not None:
            self._process.kill()
            self._end()

    def stderr(self) -> str:
        """The end of what the process has written to standard error so far."""
        if self._stderr is None:
            return self._last_stderr
        size = os.fstat(self._stderr.fileno()).st_size
        start = max(0, size - _STDERR_SHOWN)
        return os.pread(self._stderr.fileno(), _STDERR_SHOWN, start).decode(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except ServerDied as died:
            if error is None:
                raise
            error.add_note(str(died))

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    _last_stderr = ""
    _returncode: int | None = None

    def _first_line(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        stream = self._process.stdout.fileno()
        deadline_s = time.monotonic() + self._start_timeout_s
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while b"\n" not in line:
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    self._died(f"{self.module} did not listen within {self._start_timeout_s} s")
                part = os.read(stream, 4096)
                if not part:
                    self._died(f"{self.module} ended before it listened")
                line += part
        return line.partition(b"\n")[0].decode(errors="replace").strip()

    def _died(self, detail: str) -> None:
        assert self._process is not None
        try:  # it may have closed its output a moment before it ends
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            detail += " and was killed"
        raise ServerDied(detail, returncode=self._process.poll(), stderr=self.stderr())

    def _end(self) -> bool:
        """Make sure that the process has ended; was SIGKILL needed?"""
        process, killed = self._process, False
        assert process is not None
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                killed = True
                process.kill()
                process.wait(self._stop_timeout_s)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        self._last_stderr, self._returncode = self.stderr(), process.returncode
        if self._stderr is not None:
            self._stderr.close()
        self._stderr = self._process = None
        return killed
