"""The scripted clients, run as a program under callgrind: ``workloads.py NAME URL CONTROL``.

One user acts at a time and waits for the server before it goes on, so that every wake-up of the
event loop hands out one event and the count does not depend on who is faster. What recurs by the
clock (the watch of the loop, the accounts of each second) is left out: valgrind is some fifty times
slower than the machine, and so as much more of it would come for each unit.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ghostcore
from ghostcore import VU, PerVUIterations, RampingVUs, Trend, scenario
from ghostcore.execution import worker
from ghostcore.load import LoadModel
from ghostcore.metrics import CounterView
from ghostcore.monitor import generator

__all__ = ["WORKLOADS", "Workload", "leave_out_the_clock", "run"]

TEXT = "x" * 50
NEVER_NS = 10**15
PACE_PER_S = 40
"""Paced connects come one by one even on a busy machine: one takes some 10 ms under callgrind."""

SPAN = Trend("span", unit="ms")


@lru_cache(maxsize=1)
def _turn(loop: asyncio.AbstractEventLoop) -> asyncio.Lock:
    """What the users of a run wait for, each for its turn."""
    return asyncio.Lock()


def _options(vu: VU) -> Any:
    """Options of a session. The default link is not named: to name it costs a little more."""
    return {"link": vu.env["LINK"]} if vu.env["LINK"] else {}


@scenario()
async def echo(vu: VU) -> None:
    async with vu.connect(vu.env["URL"], **_options(vu)) as ws:
        for _ in range(int(vu.env["COUNT"])):
            await ws.send(TEXT)
            await ws.recv()


@scenario()
async def events(vu: VU) -> None:
    async with vu.socketio(vu.env["URL"]) as io:
        for _ in range(int(vu.env["COUNT"])):
            await io.request("echo", TEXT, reply="echo")


@scenario()
async def connect(vu: VU) -> None:
    """A user connects and closes when the one before has closed."""
    async with _turn(asyncio.get_running_loop()), vu.connect(vu.env["URL"], **_options(vu)):
        pass


@scenario()
async def connect_socketio(vu: VU) -> None:
    async with _turn(asyncio.get_running_loop()), vu.socketio(vu.env["URL"]):
        pass


@scenario()
async def hold(vu: VU) -> None:
    async with vu.connect(vu.env["URL"], **_options(vu)):
        await vu.sleep(86_400.0)


@scenario()
async def sleep(vu: VU) -> None:
    for _ in range(int(vu.env["COUNT"])):
        await vu.sleep(0.001)


@scenario()
async def record(vu: VU) -> None:
    for number in range(int(vu.env["COUNT"])):
        vu.record(SPAN, number % 1000)


def _one_user(count: int) -> LoadModel:
    return PerVUIterations(1, 1, max_duration="1h")


def _users(count: int) -> LoadModel:
    return PerVUIterations(count, 1, max_duration="1h")


def _ramp(count: int) -> LoadModel:
    stages = [(count / PACE_PER_S, count), (0.5, count)]
    return RampingVUs(stages, start_vus=0, graceful_stop=0)


@dataclass(frozen=True)
class Workload:
    """What is run and counted.

    :ivar unit: what the count is for one of.
    :ivar server: module of the server, in a process of its own; "" for none.
    :ivar few: units of the shorter run. :ivar many: of the longer one.
    :ivar load: the load model for a number of units.
    :ivar link: as the option of sessions; "" for the default.
    """

    unit: str
    server: str
    few: int
    many: int
    scenario: Any
    load: Callable[[int], LoadModel] = _one_user
    link: str = ""


_ECHO = "benches.limit.server"
_SOCKETIO = "ghostcore.testing.socketio_server"
_TRIP, _EVENT = "round trip of 50 bytes", "event and its answer"
_USER, _HELD = "user: starts, connects, closes, ends", "user of a ramp: connects, is interrupted"

WORKLOADS = {
    "echo_epoll": Workload(_TRIP, _ECHO, 400, 2000, echo),
    "echo_picows": Workload(_TRIP, _ECHO, 400, 2000, echo, link="picows"),
    "socketio_event": Workload(_EVENT, _SOCKETIO, 400, 1600, events),
    "connect_epoll": Workload(_USER, _ECHO, 50, 250, connect, _users),
    "connect_picows": Workload(_USER, _ECHO, 50, 250, connect, _users, "picows"),
    "connect_socketio": Workload(_USER, _SOCKETIO, 50, 250, connect_socketio, _users),
    "connect_paced": Workload(_HELD, _ECHO, 40, 160, hold, _ramp),
    "sleep": Workload("vu.sleep()", "", 200, 1200, sleep),
    "record": Workload("vu.record() of a Trend", "", 2000, 12_000, record),
}


def run(workload: Workload, count: int, url: str) -> None:
    """One run of so many units.

    :raises RuntimeError: something failed, and so it is not what is to be counted.
    """
    expected = 1 if workload.load is _one_user else count
    env = {"URL": url, "LINK": workload.link, "COUNT": str(count)}
    result = ghostcore.run(workload.scenario, load=workload.load(count), env=env, seed=1)
    ends = "iterations_interrupted" if workload.load is _ramp else "iterations"
    ended = result.metrics[ends]
    assert isinstance(ended, CounterView)
    if result.errors or ended.count != expected:
        raise RuntimeError(f"{ended.count} of {expected} {ends}: {result.reasons} {result.errors}")


class _Unwatched:
    """In the place of the watch, whose heartbeat and thread look at the loop all the time."""

    def __init__(self, *_: object) -> None:
        pass

    def take_lag(self) -> tuple[int, int]:
        return 0, 0

    def take_stalls(self) -> list[Any]:
        return []

    def waited_ns(self) -> int:
        return -1

    def close(self) -> None:
        pass


def leave_out_the_clock(before_report: Callable[[], None]) -> None:
    """Let nothing that comes once a second, or a hundred times, come within a run.

    :param before_report: called when the load has ended, before the one account that is left: how
        long that takes depends on the times that were measured, which are never the same.
    """
    report = worker.Worker._report

    def last_report(*arguments: Any, **options: Any) -> None:
        before_report()
        report(*arguments, **options)

    replaced: tuple[tuple[object, str, object], ...] = (
        (worker, "WINDOW_NS", NEVER_NS),
        (generator, "LoopWatch", _Unwatched),
        (worker.Worker, "_report", last_report),
    )
    for owner, name, value in replaced:
        getattr(owner, name)  # or it has moved, and this would replace nothing
        setattr(owner, name, value)


def shift_caches(number: int) -> None:
    """Let the types that come later have other versions, and so other places in the interpreter's
    cache of attributes, which is indexed by version and address of the name."""
    for _ in range(number):
        getattr(type("Shift", (), {}), "__doc__", None)


def main(arguments: list[str]) -> None:
    name, url, control_path, layout = arguments
    shift_caches(int(layout))
    workload = WORKLOADS[name]
    control = ctypes.CDLL(control_path)
    if not control.under_valgrind():
        raise SystemExit("not under valgrind: it is benches.instructions that runs this")
    run(workload, workload.few, url)  # what is made or specialised once is so from here on
    leave_out_the_clock(control.dump_counts)
    control.start_counting()
    for count in (workload.few, workload.many):
        control.begin_at_zero()
        run(workload, count, url)


if __name__ == "__main__":
    main(sys.argv[1:])
