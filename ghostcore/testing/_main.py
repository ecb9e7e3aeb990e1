"""The ``main`` of a server in its own process: arguments, uvloop, signals, the first line."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import uvloop

__all__ = ["Servable", "raise_descriptor_limit", "run_server", "server_arguments"]


class Servable(Protocol):
    """What :func:`run_server` can run."""

    @property
    def url(self) -> str: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def server_arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that every server process understands."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument(
        "--watch-stdin",
        action="store_true",
        help="stop at the end of standard input: a server started by a program ends with it",
    )
    return parser


def raise_descriptor_limit() -> int:
    """Raise the limit of open files to what this process may have; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def run_server(make: Callable[[], Servable], *, watch_stdin: bool = False) -> int:
    """Serve until SIGTERM, SIGINT or the end of standard input; returns the exit code.

    The first line of output is ``listening on URL``. Open connections are closed with an empty
    close frame.

    :param make: makes the server; called inside the event loop.
    :param watch_stdin: also stop at the end of standard input.
    """
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_serve(make, watch_stdin))
        except OSError as error:
            print(f"cannot listen: {error}", file=sys.stderr)
            return 1


async def _serve(make: Callable[[], Servable], watch_stdin: bool) -> int:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = make()
    await server.start()
    try:
        if watch_stdin:
            _stop_at_end_of_stdin(loop, stopped)
        print(f"listening on {server.url}", flush=True)
        # Connections make no reference cycles that outlive them, and a full collection over
        # 10,000 of them stalls the loop for tens of ms: look rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        await stopped.wait()
    finally:
        await server.stop()
    return 0


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stopped.set()

    loop.add_reader(descriptor, readable)
