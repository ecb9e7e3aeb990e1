"""The load generators, as commands: ghostcore scenarios (this module, run as a program) over either
link, k6, and the limit in C."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import ghostcore
from benches.limit import built
from ghostcore import VU, ConstantVUs, RampingVUs, Scenario, WebSocketSession, scenario

__all__ = [
    "COMMANDS",
    "IN_FLIGHT",
    "LINKS",
    "LOOPS",
    "TEXT",
    "ghostcore_command",
    "k6_command",
    "limit_command",
    "loop_command",
]

Link = Literal["epoll", "picows"]
LINKS: tuple[Link, ...] = get_args(Link)

LOOPS = tuple(f"{link}_c" for link in LINKS)
"""Of the engine's own loops, in the reports."""

TEXT = "x" * 50
IDLE_S = 86_400.0
IN_FLIGHT = 5
OPENERS = 50
"""Users that open sockets as fast as they can: so many handshakes are under way at a time."""

_K6_SCRIPTS = Path(__file__).parent / "rivals" / "k6"


def link_of(vu: VU) -> Link:
    return cast(Link, vu.env["LINK"])


@scenario()
async def echo(vu: VU) -> None:
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        while True:
            await ws.send(TEXT)
            await ws.recv()


@scenario()
async def flight(vu: VU) -> None:
    """Sends five messages, waits for all five."""
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        while True:
            for _ in range(IN_FLIGHT):
                await ws.send(TEXT)
            for _ in range(IN_FLIGHT):
                await ws.recv()


@scenario()
async def echo_c(vu: VU) -> None:
    """The same without a turn of the coroutine for each round trip: the loop is the engine's."""
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        await ws.echo_loop(TEXT)


@scenario()
async def flight_c(vu: VU) -> None:
    """Five in flight, as the engine does it: each answer sends the next."""
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        await ws.echo_loop(TEXT, in_flight=IN_FLIGHT)


@scenario()
async def paced(vu: VU) -> None:
    """Round trips at a fixed rate. The users' turns are spread evenly over their interval."""
    users, rate_per_s = int(vu.env["USERS"]), float(vu.env["RATE"])
    interval_s = users / rate_per_s
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        await vu.sleep(until_turn_s(time.monotonic_ns(), vu.id - 1, users, interval_s))
        async for _ in vu.every(interval_s):
            await ws.send(TEXT)
            await ws.recv()


@scenario()
async def paced_c(vu: VU) -> None:
    """The same, sent by the engine; the coroutine has a turn for each answer."""
    users, rate_per_s = int(vu.env["USERS"]), float(vu.env["RATE"])
    interval_s = users / rate_per_s
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        await vu.sleep(until_turn_s(time.monotonic_ns(), vu.id - 1, users, interval_s))
        ws.every(interval_s, TEXT)
        while True:
            await ws.recv()


def until_turn_s(now_ns: int, index: int, users: int, interval_s: float) -> float:
    """Seconds to the next turn of a user, on a grid that all share whenever they connected."""
    interval_ns = round(interval_s * 1e9)
    return (interval_ns * index // users - now_ns) % interval_ns / 1e9


@scenario()
async def idle(vu: VU) -> None:
    """Opens a WebSocket and sits on it."""
    async with vu.connect(vu.env["URL"], link=link_of(vu)):
        await vu.sleep(IDLE_S)


@scenario()
async def idle_wss(vu: VU) -> None:
    """The same over TLS; the server's certificate is checked."""
    async with vu.connect(vu.env["URL"], link=link_of(vu), ssl=vu.env["CA"]):
        await vu.sleep(IDLE_S)


@scenario()
async def idle_socketio(vu: VU) -> None:
    """Opens a Socket.IO session and sits on it; the server's pings are answered meanwhile."""
    async with vu.socketio(vu.env["URL"], link=link_of(vu)):
        await vu.sleep(IDLE_S)


@scenario()
async def connects(vu: VU) -> None:
    """One of OPENERS that open all sockets, each one after the other, and sit on them."""
    url, link, source = vu.env["URL"], link_of(vu), vu.env.get("SOURCE")
    held = list[WebSocketSession]()
    for _ in range(vu.id - 1, int(vu.env["USERS"]), OPENERS):
        held.append(await vu.connect(url, link=link, local_address=source))
    await vu.sleep(IDLE_S)


SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (echo, flight, paced, echo_c, flight_c, paced_c,
                idle, idle_wss, idle_socketio, connects)
}  # fmt: skip


def ghostcore_command(
    kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0, *, link: str, **env: str
) -> list[str]:
    """The command of a ghostcore scenario.

    :param kind: one of SCENARIOS.
    :param env: what the scenario needs beside URL, LINK and USERS.
    """
    command = [sys.executable, "-m", "benches.clients", kind, url, "--users", str(users),
               "--duration", str(duration_s), "--ramp", str(ramp_s), "--link", link]  # fmt: skip
    for name, value in env.items():
        command += ["-e", f"{name}={value}"]
    return command


def loop_command(
    kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0, *, link: str, **env: str
) -> list[str]:
    """The same where the engine sends by itself; `kind` is echo, flight or paced."""
    if f"{kind}_c" not in SCENARIOS:
        raise ValueError(f"the engine's own loops cannot do {kind!r}")
    return ghostcore_command(f"{kind}_c", url, users, duration_s, ramp_s, link=link, **env)


def k6_command(
    kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0, **env: str
) -> list[str]:
    """The same of k6: `kind` is echo, flight, idle or idle_wss."""
    settings = {"URL": url, "USERS": users, "DURATION": f"{duration_s:g}s", "RAMP": f"{ramp_s:g}s"}
    command = [str(Path(sys.executable).with_name("k6")), "run", "--quiet", "--no-usage-report"]
    for name, value in {**settings, "IN_FLIGHT": IN_FLIGHT, **env}.items():
        command += ["-e", f"{name}={value}"]
    return [*command, str(_K6_SCRIPTS / f"{kind.removesuffix('_wss')}.js")]


def limit_command(
    kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0, *, RATE: str = "0"
) -> list[str]:
    """The same of the C program: `kind` is echo, flight, paced or idle, the last with a ramp."""
    in_flight = {"echo": 1, "flight": IN_FLIGHT, "paced": 1, "idle": 0}.get(kind)
    if in_flight is None or (ramp_s and in_flight):
        raise ValueError(f"the C client cannot do {kind!r} with a ramp of {ramp_s:g} s")
    server, rate = urlsplit(url), f"{users / ramp_s}" if ramp_s else RATE
    words = (built("limit"), server.hostname, server.port, users, duration_s, in_flight, rate)
    return [str(word) for word in words]


COMMANDS: dict[str, Callable[..., list[str]]] = {
    "C": limit_command,
    **{link: partial(ghostcore_command, link=link) for link in LINKS},
    **{f"{link}_c": partial(loop_command, link=link) for link in LINKS},
    "k6": k6_command,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=SCENARIOS)
    parser.add_argument("url")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--duration", type=float, required=True, help="seconds after the ramp")
    parser.add_argument(
        "--ramp", type=float, default=0, help="seconds to start all users; 0: at once"
    )
    parser.add_argument("--link", choices=LINKS, required=True)
    parser.add_argument("-e", dest="env", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args(arguments)
    load: ConstantVUs | RampingVUs
    if options.ramp:
        stages = [(options.ramp, options.users), (options.duration, options.users)]
        load = RampingVUs(stages, start_vus=0, graceful_stop=0)
    else:
        users = OPENERS if options.kind == "connects" else options.users
        load = ConstantVUs(users, options.duration, graceful_stop=0)
    env = {"URL": options.url, "LINK": options.link, "USERS": str(options.users)}
    env |= dict(pair.split("=", 1) for pair in options.env)
    result = ghostcore.run(SCENARIOS[options.kind], load=load, env=env, seed=1)
    print(result.verdict, *result.reasons, sep="\n")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
