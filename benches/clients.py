"""The load generators, as commands: ghostcore scenarios (this module, run as a program) over either
link, k6, and the limit in C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import ghostcore
from benches.limit import built
from ghostcore import VU, ConstantVUs, RampingVUs, scenario

__all__ = ["COMMANDS", "LINKS", "TEXT", "ghostcore_command", "k6_command", "limit_command"]

Link = Literal["epoll", "picows"]
LINKS: tuple[Link, ...] = get_args(Link)

TEXT = "x" * 50
IDLE_S = 86_400.0
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
async def echo_c(vu: VU) -> None:
    """The same without a turn of the coroutine for each round trip: the loop is the engine's."""
    async with vu.connect(vu.env["URL"], link=link_of(vu)) as ws:
        await ws.echo_loop(TEXT)


@scenario()
async def idle(vu: VU) -> None:
    """Opens a WebSocket and sits on it."""
    async with vu.connect(vu.env["URL"], link=link_of(vu)):
        await vu.sleep(IDLE_S)


@scenario()
async def idle_socketio(vu: VU) -> None:
    """Opens a Socket.IO session and sits on it; the server's pings are answered meanwhile."""
    async with vu.socketio(vu.env["URL"], link=link_of(vu)):
        await vu.sleep(IDLE_S)


SCENARIOS = {"echo": echo, "echo_c": echo_c, "idle": idle, "idle_socketio": idle_socketio}


def ghostcore_command(
    kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0, *, link: str
) -> list[str]:
    """The command of a ghostcore scenario: `kind` is echo, echo_c, idle or idle_socketio."""
    return [sys.executable, "-m", "benches.clients", kind, url, "--users", str(users),
            "--duration", str(duration_s), "--ramp", str(ramp_s), "--link", link]  # fmt: skip


def loop_command(
    kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0, *, link: str
) -> list[str]:
    """The same with the engine's own loop; `kind` is echo, it can do nothing else."""
    if kind != "echo":
        raise ValueError(f"the engine's loop cannot do {kind!r}, only 'echo'")
    return ghostcore_command("echo_c", url, users, duration_s, ramp_s, link=link)


def k6_command(kind: str, url: str, users: int, duration_s: float, ramp_s: float = 0) -> list[str]:
    """The same of k6: `kind` is echo or idle."""
    settings = {"URL": url, "USERS": users, "DURATION": f"{duration_s:g}s", "RAMP": f"{ramp_s:g}s"}
    command = [str(Path(sys.executable).with_name("k6")), "run", "--quiet", "--no-usage-report"]
    for name, value in settings.items():
        command += ["-e", f"{name}={value}"]
    return [*command, str(_K6_SCRIPTS / f"{kind}.js")]


def limit_command(kind: str, url: str, users: int, duration_s: float) -> list[str]:
    """The same of the C program; `kind` is echo, it can do nothing else."""
    if kind != "echo":
        raise ValueError(f"the C client cannot do {kind!r}, only 'echo'")
    server = urlsplit(url)
    words = (built("limit"), server.hostname, server.port, users, duration_s)
    return [str(word) for word in words]


COMMANDS: dict[str, Callable[..., list[str]]] = {
    "C": limit_command,
    **{link: partial(ghostcore_command, link=link) for link in LINKS},
    **{f"{link}_c": partial(loop_command, link=link) for link in LINKS},
    "k6": k6_command,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=tuple(SCENARIOS))
    parser.add_argument("url")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--duration", type=float, required=True, help="seconds after the ramp")
    parser.add_argument(
        "--ramp", type=float, default=0, help="seconds to start all users; 0: at once"
    )
    parser.add_argument("--link", choices=LINKS, required=True)
    options = parser.parse_args(arguments)
    load: ConstantVUs | RampingVUs
    if options.ramp:
        stages = [(options.ramp, options.users), (options.duration, options.users)]
        load = RampingVUs(stages, start_vus=0, graceful_stop=0)
    else:
        load = ConstantVUs(options.users, options.duration, graceful_stop=0)
    chosen = SCENARIOS[options.kind]
    env = {"URL": options.url, "LINK": options.link}
    result = ghostcore.run(chosen, load=load, env=env, seed=1)
    print(result.verdict, *result.reasons, sep="\n")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
