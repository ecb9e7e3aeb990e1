"""The command line of ghostcore, and the pieces of it that other command lines are built from.

=============================  =====================================================================
:func:`main`                   the program ``ghostcore``
:func:`load_options`           decorator: -u, -d, -i and -s
:func:`run_options`            decorator: -e, --seed, --out, --allow-..., --quiet
:func:`saving_options`         decorator: those of them for a command without a script
:class:`RunArguments`          what all these say, in one value that the command is handed
:func:`load_from_options`      a load model from what -u, -d, -i and -s say
:func:`out_option`             decorator: --out alone
:func:`settings_from_options`  what -e says, as a mapping
:func:`run_and_report`         runs scenarios, prints, saves; gives the exit code
:func:`invoke`                 runs a click command with ghostcore's exit codes
=============================  =====================================================================
"""

from __future__ import annotations

from ghostcore.cli.common import (
    RunArguments,
    invoke,
    load_from_options,
    load_options,
    print_problems,
    run_and_report,
    run_options,
    saving_options,
    settings_from_options,
)
from ghostcore.cli.program import main
from ghostcore.cli.saving import out_option

__all__ = [
    "RunArguments",
    "invoke",
    "load_from_options",
    "load_options",
    "main",
    "out_option",
    "print_problems",
    "run_and_report",
    "run_options",
    "saving_options",
    "settings_from_options",
]
