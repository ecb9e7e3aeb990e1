"""The program ``ghostcore``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ghostcore import __version__
from ghostcore.cli.common import (
    Problems,
    RunArguments,
    from_environment,
    invoke,
    load_options,
    run_and_report,
    run_options,
    saving_options,
)
from ghostcore.cli.scripts import Script, ScriptError, choose, load_script
from ghostcore.errors import UsageError
from ghostcore.load import LoadModel, SharedIterations
from ghostcore.results.record import EXIT_SCRIPT

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Load tests for WebSocket and Socket.IO servers."""


@cli.command("run", short_help="Run the scenarios of a script.")
@click.argument("script")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@load_options
@run_options
@from_environment("--no-setup", is_flag=True, help="Leave out the script's setup().")
@from_environment("--no-teardown", is_flag=True, help="Leave out the script's teardown().")
@from_environment("--setup-timeout", default="60s", metavar="TIME", show_default=True)
@from_environment("--teardown-timeout", default="60s", metavar="TIME", show_default=True)
def run_command(
    script: str,
    names: tuple[str, ...],
    arguments: RunArguments,
    no_setup: bool,
    no_teardown: bool,
    setup_timeout: str,
    teardown_timeout: str,
) -> int:
    """Run the scenario NAME of SCRIPT, or several at the same time. A script with one scenario
    needs no NAME. Coroutine functions setup(env) and teardown(data) of the script are run once
    before and after the load.

    -u and -d replace the load of the scenario by that many users for that time, -s by a ramp
    (with -u: from that many users), -i by that many iterations, which the users share (-d then
    limits their time). -u alone is that many iterations of as many users.

    What an option does not say is taken from the environment (GHOSTCORE_VUS for --vus), else from
    the script. -d, -i and -s put aside GHOSTCORE_DURATION, _ITERATIONS and _STAGES, all three.

    \b
    Exit codes:
        0  every threshold passed
       99  a threshold failed, or nothing was opened or completed
      104  invalid options, script or plan: nothing was connected
      105  interrupted (Ctrl-C); a second one ends the run at once
      107  errors in the script, its setup or teardown
      108  aborted by the script
      111  inconclusive
    """
    problems = Problems()
    # What is wrong with the load is told; the rest of the plan is looked at with another one.
    load: LoadModel | None = SharedIterations()
    env: dict[str, str] = {}
    loaded, scenarios = Script([]), []
    with problems.collected():
        load = arguments.load()
    with problems.collected():
        env = arguments.env()
    try:
        with problems.collected():
            loaded = load_script(script)
            scenarios = choose(loaded.scenarios, names, script)
    except ScriptError as error:
        if not isinstance(error.__cause__, UsageError):
            click.echo(str(error), err=True)
            return EXIT_SCRIPT
        problems.found.append(str(error))
    return run_and_report(
        *scenarios,
        arguments=arguments,
        problems=problems.found,
        load=load,
        env=env,
        setup=None if no_setup else loaded.setup,
        teardown=None if no_teardown else loaded.teardown,
        setup_timeout=setup_timeout,
        teardown_timeout=teardown_timeout,
    )


@cli.command("bench", short_help="Round trips at a constant rate, without a script.")
@click.argument("url")
@click.option("-c", "--connections", default=10, show_default=True, metavar="N", help="Held open.")
@click.option(
    "-r",
    "--rate",
    default=100.0,
    show_default=True,
    metavar="N",
    help="Messages a second over all connections; 0: as fast as answers come.",
)
@click.option(
    "-d", "--duration", default="10s", show_default=True, metavar="TIME", help="E.g. 30s or 2m."
)
@click.option("--size", default=32, show_default=True, metavar="BYTES", help="Of each message.")
@click.option(
    "--timeout", default="10s", show_default=True, metavar="TIME", help="For each answer."
)
@click.option(
    "--socketio",
    "event",
    metavar="EVENT",
    help="A Socket.IO server: the time until it acknowledges that event.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="EXPR",
    help='On the latency, e.g. "p(99)<50". Repeat for more.',
)
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@saving_options
def bench_command(arguments: RunArguments, **options: Any) -> int:
    """Load URL, a server that returns what it gets, with messages at a constant rate.

    Each message is due at a moment that does not depend on the answers before it. response_time
    counts from that moment, service_time from when it was sent: a server that stands still shows
    in the first. A run in which less than 99 % of the messages were answered fails.

    With -r 0 each connection sends its next message when the last one is answered; there is only
    service_time then.

    Exit codes are those of ghostcore run.
    """
    from ghostcore.cli.bench import Bench, make_bench

    problems, scenarios = Problems(), []
    with problems.collected():
        scenarios = [make_bench(Bench(**options))]
    return run_and_report(
        *scenarios,
        arguments=arguments,
        problems=problems.found,
        load=None,  # each connection runs its own, for as long as it has messages to send
        env={"URL": options["url"]},
    )


@cli.command("doctor", short_help="What this machine can hold, and what a server answers.")
@click.argument("url", required=False)
@click.option(
    "-u", "--users", type=click.IntRange(1), metavar="N", help="What would stop so many users?"
)
@click.option("--no-measure", is_flag=True, help="Leave out the ceilings, which take some 3 s.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
def doctor_command(url: str | None, users: int | None, no_measure: bool, insecure: bool) -> int:
    """Tell the limits of this machine, with the command that raises each that is low; measure how
    many connections and messages a second it can do; and with URL, how that server answers one
    connection.

    \b
    Exit codes:
        0  nothing stands in the way
        1  a limit lets fewer users through than -u asks for
       99  the server at URL could not be connected to
      104  invalid options or URL
    """
    from ghostcore.cli.doctor import examine

    return examine(url, users, measure=not no_measure, insecure=insecure, echo=click.echo)


@cli.command("serve-echo", short_help="A WebSocket server that returns every message.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="0 takes any free port.",
)
def serve_echo_command(host: str, port: int) -> int:
    """Serve until Ctrl-C. The first line of output is "listening on ws://HOST:PORT"."""
    from ghostcore.testing import EchoServer, run_server

    return run_server(lambda: EchoServer(host, port))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code.

    :param arguments: without the program's name; those of the process unless given.
    """
    return invoke(cli, arguments, name="ghostcore")
