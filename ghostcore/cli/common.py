"""Pieces of command lines that run scenarios: options, load, running and printing, exit codes.

An option that is not given is taken from the environment: ``GHOSTCORE_VUS`` for ``--vus``. What
neither says is the script's to say, as in k6.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

import click
from click.core import ParameterSource

from ghostcore._units import parse_duration
from ghostcore.cli.saving import EXIT_NOT_SAVED, out_option, save_result
from ghostcore.errors import InvalidPlan, UsageError
from ghostcore.execution.plan import RunOptions, make_plan
from ghostcore.execution.runner import run
from ghostcore.load import ConstantVUs, LoadModel, RampingVUs, SharedIterations
from ghostcore.load.model import count_problems
from ghostcore.report import Console
from ghostcore.results.record import EXIT_INTERRUPTED, EXIT_INVALID
from ghostcore.users.scenario import Scenario

__all__ = [
    "EXIT_NOT_SAVED",
    "Problems",
    "RunArguments",
    "from_environment",
    "invoke",
    "load_from_options",
    "load_options",
    "print_problems",
    "run_and_report",
    "run_options",
    "saving_options",
    "settings_from_options",
]

Function = TypeVar("Function", bound=Callable[..., Any])

SHAPES = ("duration", "iterations", "stages")
"""Options that each say what kind of load it is to be."""


def from_environment(*names: str, **details: Any) -> Callable[[Any], Any]:
    """A click option that the environment can give as well: ``GHOSTCORE_`` and its long name."""
    long = next(name for name in names if name.startswith("--"))
    variable = "GHOSTCORE_" + long[2:].replace("-", "_").upper()
    return click.option(*names, envvar=variable, **details)


class Problems:
    """Everything that is wrong with a command line, to be told in one list."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """What the block finds wrong is kept, and the block left."""
        try:
            yield
        except UsageError as error:
            self.found += problems_of(error)


@dataclass(frozen=True, slots=True)
class RunArguments:
    """What the options of a command line say about a run; where one says nothing, its default.

    :ivar vus: ``-u``: virtual users; None: as the scenario says.
    :ivar duration: ``-d``: for how long, as text with a unit; None: as the scenario says.
    :ivar iterations: ``-i``: iterations that the users share; None: as the scenario says.
    :ivar stages: ``-s``: stages of a ramp, as ``TIME:USERS``, each text one or several by commas.
    :ivar settings: ``-e``: settings for the script, as ``KEY=VALUE``.
    :ivar seed: ``--seed``: of everything random; None: one is drawn.
    :ivar warmup: ``--warmup``: time at the beginning that no metric counts, as text with a unit.
    :ivar allow_empty: ``--allow-empty``: thresholds without data pass.
    :ivar allow_script_errors: ``--allow-script-errors``: errors of the script do not fail the run.
    :ivar out: ``--out``: a directory for the result; None: it is not saved.
    :ivar allow_oversized: ``--allow-oversized``: try a plan that this machine cannot carry.
    :ivar calibrate: ``--calibrate``: measure the noise floor of the machine before the run.
    :ivar quiet: ``--quiet``: print no progress, only the summary.
    """

    vus: int | None = None
    duration: str | None = None
    iterations: int | None = None
    stages: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    seed: int | None = None
    warmup: str = "0"
    allow_empty: bool = False
    allow_script_errors: bool = False
    out: Path | None = None
    allow_oversized: bool = False
    calibrate: bool = False
    quiet: bool = False

    def load(self) -> LoadModel | None:
        """The load that the options ask for, see :func:`load_from_options`.

        :raises InvalidPlan: options that contradict each other or cannot be read.
        """
        return load_from_options(self.vus, self.duration, self.iterations, self.stages)

    def env(self) -> dict[str, str]:
        """The settings for the script as a mapping, see :func:`settings_from_options`.

        :raises InvalidPlan: with every text that is no setting.
        """
        return settings_from_options(self.settings)

    def run_options(self) -> RunOptions:
        """What of them are options of ``ghostcore.run`` as they stand: all but load and settings,
        and what is done with the result."""
        return {
            "seed": self.seed,
            "warmup": self.warmup,
            "allow_empty": self.allow_empty,
            "allow_script_errors": self.allow_script_errors,
            "allow_oversized": self.allow_oversized,
            "calibrate": self.calibrate,
        }


def load_options(command: Function) -> Function:
    """Decorator: the options that replace a load, -u, -d, -i and -s.

    The command is handed them in its parameter ``arguments``, a :class:`RunArguments`.
    """
    options = (
        from_environment("-u", "--vus", type=int, metavar="N", help="Virtual users."),
        from_environment("-d", "--duration", metavar="TIME", help="For how long: 2m, 1m30s."),
        from_environment("-i", "--iterations", type=int, metavar="N", help="Iterations to share."),
        click.option(
            "-s",
            "--stage",
            "stages",
            multiple=True,
            envvar="GHOSTCORE_STAGES",
            metavar="TIME:USERS",
            help="Ramp to that many users within that time, e.g. 30s:100. Repeat for more stages, "
            "or part them by commas.",
        ),
    )
    return _decorated(_gathering(command, ("vus", "duration", "iterations", "stages")), options)


def run_options(command: Function) -> Function:
    """Decorator: the options of a command that runs scenarios, -e, --seed, --warmup, --allow-empty
    and --allow-script-errors, and those of :func:`saving_options`.

    The command is handed them in its parameter ``arguments``, a :class:`RunArguments`.
    """
    options = (
        click.option(
            "-e",
            "--env",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting for the script: vu.env[KEY].",
        ),
        from_environment("--seed", type=int, metavar="N", help="Of everything random."),
        from_environment(
            "--warmup",
            default="0",
            metavar="TIME",
            help="At the beginning, not counted in metrics and thresholds, e.g. 30s.",
        ),
        from_environment("--allow-empty", is_flag=True, help="Thresholds without data pass."),
        from_environment(
            "--allow-script-errors", is_flag=True, help="Errors of the script do not fail the run."
        ),
    )
    names = ("settings", "seed", "warmup", "allow_empty", "allow_script_errors")
    return _decorated(_gathering(saving_options(command), names), options)


def saving_options(command: Function) -> Function:
    """Decorator: the options of a command that runs anything, --out, --allow-oversized, --calibrate
    and --quiet.

    The command is handed them in its parameter ``arguments``, a :class:`RunArguments`.
    """
    options = (
        out_option(envvar="GHOSTCORE_OUT"),
        from_environment(
            "--allow-oversized",
            is_flag=True,
            help="Try a plan that needs more files, memory or ports than this machine has.",
        ),
        from_environment(
            "--calibrate",
            is_flag=True,
            help="Measure the noise floor of this machine before the run, for some 3 s.",
        ),
        from_environment("--quiet", is_flag=True, help="No progress, only the summary."),
    )
    names = ("out", "allow_oversized", "calibrate", "quiet")
    return _decorated(_gathering(command, names), options)


def _gathering(command: Function, names: Sequence[str]) -> Function:
    """The command, handed the options of these names as fields of its ``arguments``. What an outer
    decorator has gathered before is kept in there."""

    @functools.wraps(command)
    def gathered(*positional: Any, arguments: RunArguments = RunArguments(), **given: Any) -> Any:
        fields = {name: given.pop(name) for name in names}
        return command(*positional, arguments=replace(arguments, **fields), **given)

    return gathered  # type: ignore[return-value]


def _decorated(command: Function, options: Sequence[Callable[[Any], Any]]) -> Function:
    for option in reversed(options):
        command = option(command)
    return command


def load_from_options(
    vus: int | None = None,
    duration: str | None = None,
    iterations: int | None = None,
    stages: Sequence[str] = (),
) -> LoadModel | None:
    """The load model that options ask for; None if they ask for none.

    A duration makes constant users (one unless `vus` says more), stages make a ramp that starts
    with `vus` users (1 unless given). Iterations are shared among the users; a duration then limits
    them. `vus` alone, as in k6, is that many iterations, shared among as many users.

    Within a click command, a duration, iterations or stages on the command line put aside those of
    the environment, since they make another load of it.

    :raises InvalidPlan: options that contradict each other or cannot be read; with all problems.
    """
    duration, iterations, stages = _of_one_source(duration, iterations, stages)
    stages = [stage for text in stages for stage in text.split(",")]
    problems: list[str] = []
    if stages and duration is not None:
        problems.append("-s and -d contradict each other: each stage has its own duration")
    if stages and iterations is not None:
        problems.append("-s and -i contradict each other: a ramp runs for its time")
    parsed = [_stage(stage, problems) for stage in stages]
    if problems:
        raise InvalidPlan(problems)
    load: LoadModel | None = None
    if stages:
        load = RampingVUs(parsed, start_vus=1 if vus is None else vus)
    elif iterations is not None:
        users = 1 if vus is None else vus
        limit = SharedIterations.max_duration if duration is None else duration
        load = SharedIterations(iterations, users, limit)
    elif duration is not None:
        load = ConstantVUs(1 if vus is None else vus, duration)
    elif vus is not None:
        problems = list(count_problems("vus", vus, 1))
        if problems:
            raise InvalidPlan(problems)
        load = SharedIterations(vus, vus)
    problems = [] if load is None else load.validate()
    if problems:
        raise InvalidPlan(problems)
    if vus is not None and duration is None and iterations is None and not stages:
        click.echo(
            f"-u {vus} alone is {vus} iterations in all, as in k6, in place of the script's own "
            "load (add -d TIME for constant users)",
            err=True,
        )
    return load


def _of_one_source(
    duration: str | None, iterations: int | None, stages: Sequence[str]
) -> tuple[str | None, int | None, Sequence[str]]:
    """Without what the environment says, if the command line says what kind of load it is."""
    context = click.get_current_context(silent=True)
    if context is None:
        return duration, iterations, stages
    sources = {name: context.get_parameter_source(name) for name in SHAPES}
    if ParameterSource.COMMANDLINE not in sources.values():
        return duration, iterations, stages
    given = {name for name, source in sources.items() if source is ParameterSource.COMMANDLINE}
    return (
        duration if "duration" in given else None,
        iterations if "iterations" in given else None,
        stages if "stages" in given else (),
    )


def _stage(text: str, problems: list[str]) -> tuple[str, int]:
    duration, colon, users = text.rpartition(":")
    try:
        if not colon or not users.strip().isascii() or not users.strip().isdigit():
            raise UsageError("expected DURATION:USERS, such as 30s:100")
        parse_duration(duration, "its duration")
    except UsageError as error:
        problems.append(f"stage {text!r}: {error}")
        return "0", 0
    return duration, int(users)


def settings_from_options(pairs: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping; the last one of a key wins.

    :raises InvalidPlan: with every text that is none.
    """
    problems = [
        f"-e {pair!r}: expected KEY=VALUE"
        for pair in pairs
        if not pair.partition("=")[0].strip() or "=" not in pair
    ]
    if problems:
        raise InvalidPlan(problems)
    return {key.strip(): value for key, _, value in (pair.partition("=") for pair in pairs)}


def run_and_report(
    *scenarios: Scenario,
    arguments: RunArguments = RunArguments(),
    console: Console | None = None,
    problems: Sequence[str] = (),
    **options: Unpack[RunOptions],
) -> int:
    """Run scenarios, print how it goes and what came of it, save the result.

    Problems of the plan are printed to standard error.

    :param arguments: what the command line says; load, settings and all others are taken from
        there, unless `options` give them.
    :param console: where to print; standard output unless given.
    :param problems: what was found wrong before: told together with what is wrong with the plan.
    :param options: as for ``ghostcore.run``.
    :returns: the exit code: that of the result, or 104 for a plan that cannot start.
    """
    console = console or Console(progress=not arguments.quiet)
    out = arguments.out
    options = {**arguments.run_options(), **options}
    wrong = Problems()
    if "load" not in options:
        options["load"] = SharedIterations()  # stands in if what is asked for cannot be
        with wrong.collected():
            options["load"] = arguments.load()
    if "env" not in options:
        options["env"] = {}
        with wrong.collected():
            options["env"] = arguments.env()
    wrong.found += [*problems, *_unwritable(out)]
    if wrong.found:
        with wrong.collected():
            if scenarios:
                make_plan(scenarios, **options)
        return print_problems(wrong.found)
    if options.get("calibrate"):
        click.echo("measuring the noise floor of this machine first, for some 3 s")
    try:
        result = run(*scenarios, listener=console, **options)
    except UsageError as error:
        return print_problems(problems_of(error))
    finally:
        console.close()
    return result.exit_code if out is None else save_result(result, out, console)


def _unwritable(out: str | Path | None) -> Iterator[str]:
    """Why results cannot be saved there: better known before a run of an hour than after it."""
    if out is None:
        return
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"results cannot be saved in {str(out)!r}: {error.strerror or error}"


def problems_of(error: UsageError) -> Sequence[str]:
    """Each problem of an InvalidPlan; the message of another error."""
    return error.problems if isinstance(error, InvalidPlan) else [str(error)]


def print_problems(problems: Sequence[str]) -> int:
    """Print what keeps a run from starting, to standard error; returns the exit code, 104."""
    click.echo("This run cannot start:", err=True)
    for problem in problems:
        click.echo(f"  - {problem}", err=True)
    return EXIT_INVALID


def invoke(command: click.Command, arguments: Sequence[str] | None = None, *, name: str) -> int:
    """Run a click command that returns an exit code.

    :param arguments: those of the program unless given.
    :param name: the program's name, for messages.
    :returns: the command's exit code; 104 for wrong arguments, 105 for Ctrl-C outside of a run.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = command.main(given, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return EXIT_INVALID
    except UsageError as error:
        return print_problems(problems_of(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0
