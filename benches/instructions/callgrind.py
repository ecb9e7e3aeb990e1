"""Runs a workload under callgrind and reads what it counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from benches.instructions.workloads import WORKLOADS
from ghostcore.testing import ServerProcess

__all__ = [
    "LAYOUTS",
    "OUT",
    "MissingTool",
    "control_library",
    "count_functions",
    "count_lowest",
    "count_unit",
]

ROOT = Path(__file__).parent.parent.parent
OUT = ROOT / "build" / "instructions"
TIMEOUT_S = 300
LAYOUTS = 5
"""How many layouts of the interpreter's caches are tried before a count is called too high."""

_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")

_INSTALL = (
    "install it (Debian, Ubuntu: apt-get install valgrind; Fedora: dnf install valgrind "
    "valgrind-devel), or run make test-full as root"
)
_FUNCTION = re.compile(r"\s*([\d,]+)\s+\S.*:([^:\[]+?)(?: \[(.*)\])?$")


class MissingTool(Exception):
    """A program that is needed is not there; the text says how to get it."""


def control_library() -> Path:
    """The library of ``control.c``, compiled.

    :raises MissingTool: valgrind or a compiler is not there.
    """
    if shutil.which("valgrind") is None:
        raise MissingTool(f"valgrind is missing: {_INSTALL}")
    OUT.mkdir(parents=True, exist_ok=True)
    library = OUT / "control.so"
    source = Path(__file__).parent / "control.c"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise MissingTool("a C compiler, cc, is missing: install gcc or clang") from None
    except subprocess.CalledProcessError as error:
        if "valgrind/callgrind.h" in error.stderr:
            raise MissingTool(f"the headers of valgrind are missing: {_INSTALL}") from None
        raise RuntimeError(f"{' '.join(command)} failed: {error.stderr}") from None
    return library


def total_of(profile: Path) -> int:
    """Instructions in a profile of callgrind's."""
    for line in profile.read_text().splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise RuntimeError(f"{profile} has no total: callgrind was stopped while it wrote")


def _environment() -> dict[str, str]:
    """That of the counted program: the same whoever starts it, make or a shell."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # Without io_uring, which valgrind does not know, and with the same hashes each time. The
    # allocator is the one that users have: PYTHONMALLOC is not kept.
    return {**kept, "UV_USE_IO_URING": "0", "PYTHONHASHSEED": "0"}


def count_lowest(name: str, *, enough: int = 0, layouts: int = LAYOUTS) -> int:
    """The lowest count of one unit over some layouts: its price where nothing collides.

    The interpreter's cache of attributes is indexed by addresses, which hang on the environment and
    on the tree's path. Two attributes that share a place there cost a few per cent (3 % of an echo
    was seen), and no change of the source is to blame; but they do so in few layouts only.

    :param enough: a count up to this ends the search; 0 tries all layouts.
    """
    lowest = count_unit(name)
    for layout in range(1, layouts):
        if lowest <= enough:
            break
        lowest = min(lowest, count_unit(name, layout))
    return lowest


def count_unit(name: str, layout: int = 0) -> int:
    """Instructions of one unit of a workload; leaves ``NAME.few`` and ``NAME.many`` in OUT.

    :param layout: 0 up; each spreads attributes over the interpreter's cache in another way.
    :raises MissingTool: valgrind or a compiler is not there.
    :raises RuntimeError: the workload failed; with what it said.
    """
    workload, library = WORKLOADS[name], control_library()
    for old in OUT.glob(f"{name}.*"):
        old.unlink()
    with ExitStack() as stack:
        url = stack.enter_context(ServerProcess(workload.server)).url if workload.server else ""
        command = [
            *("valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no"),
            f"--callgrind-out-file={OUT / name}.out",
            *(sys.executable, "-m", "benches.instructions.workloads"),
            *(name, url, str(library), str(layout)),
        ]
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with code {done.returncode}: {done.stderr[-3000:]}")
    counts = []
    for number, label in enumerate(("few", "many"), 1):
        profile = (OUT / f"{name}.out.{number}").replace(OUT / f"{name}.{label}")
        counts.append(total_of(profile))
    (OUT / f"{name}.out").unlink()  # what followed the last of the runs
    return round((counts[1] - counts[0]) / (workload.many - workload.few))


def count_functions(name: str, *, inclusive: bool) -> dict[tuple[str, str], float]:
    """Instructions of a unit by (function, binary), from the profiles that were left.

    :param inclusive: with what the function called. A function that calls itself through others
        counts more than once then, the interpreter above all.
    """
    workload = WORKLOADS[name]
    few, many = (
        _functions(OUT / f"{name}.{label}", inclusive=inclusive) for label in ("few", "many")
    )
    units = workload.many - workload.few
    return {key: (many.get(key, 0) - few.get(key, 0)) / units for key in many.keys() | few.keys()}


def _functions(profile: Path, *, inclusive: bool) -> dict[tuple[str, str], int]:
    command = [
        *("callgrind_annotate", "--threshold=100", "--show-percs=no", "--auto=no"),
        *(f"--inclusive={'yes' if inclusive else 'no'}", str(profile)),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    binaries: dict[str, str] = {}
    lines = [found for line in done.stdout.splitlines() if (found := _FUNCTION.match(line))]
    for _, function, binary in (line.groups() for line in lines):
        if binary:
            binaries[function] = Path(binary).name.partition(".")[0]
    # What was inlined from a header stands in a line of its own, without a binary.
    for instructions, function, _ in (line.groups() for line in lines):
        key = (function, binaries.get(function, ""))
        counts[key] += int(instructions.replace(",", ""))
    return counts
