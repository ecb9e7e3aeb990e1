"""What was measured against what was accepted."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

__all__ = [
    "ACCEPTED",
    "FOREIGN_TOLERANCE",
    "TOLERANCE",
    "Accepted",
    "Judged",
    "accept",
    "environment",
    "judge",
    "tolerance",
]

ACCEPTED = Path(__file__).parent / "accepted.json"

TOLERANCE = 0.02
"""Share by which a count may exceed the accepted one. Of seven to ten measurements of each
workload, most of them with both cores taken by others, the highest lay at most 0.7 % above the
lowest (paced connects: 0.9 %). A count above it is taken again with other layouts of the
interpreter's caches, and the lowest of them judged."""

FOREIGN_TOLERANCE = 0.25
"""The same where something of the environment differs: between two minor versions of Python, or one
of them built with and without profile-guided optimisation, 10 to 20 % are usual."""

_PACKAGES = ("Cython", "picows", "uvloop")


@dataclass(frozen=True)
class Accepted:
    """The counts of ``accepted.json``, and what they were measured with."""

    environment: Mapping[str, str]
    counts: Mapping[str, int]

    @classmethod
    def load(cls, path: Path = ACCEPTED) -> Accepted:
        """:raises ValueError: there is no such file, or something else is in it."""
        try:
            stored = json.loads(path.read_text())
            return cls(dict(stored["environment"]), dict(stored["counts"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} has no accepted counts ({error!r}): --accept writes it"
            ) from None

    def save(self, path: Path = ACCEPTED) -> None:
        counts = dict(sorted(self.counts.items()))
        stored = {"environment": dict(self.environment), "counts": counts}
        path.write_text(json.dumps(stored, indent=2) + "\n")


@dataclass(frozen=True)
class Judged:
    """One count beside the accepted one.

    :ivar change: relative; None if nothing was accepted.
    """

    name: str
    count: int
    accepted: int | None
    change: float | None
    verdict: Literal["ok", "more", "less", "new"]


def environment() -> dict[str, str]:
    """All that decides how many instructions the same source makes."""
    configured = shlex.split(sysconfig.get_config_var("CONFIG_ARGS") or "")
    built = [platform.python_compiler()]
    built += ["optimised"] if "--enable-optimizations" in configured else []
    built += ["lto"] if any(word.startswith("--with-lto") for word in configured) else []
    built += ["shared"] if sysconfig.get_config_var("Py_ENABLE_SHARED") else []
    found = {
        "machine": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {_minor(platform.python_version())}",
        "python built": ", ".join(built),
        "compiler": compiler(),
    }
    # What is behind the second number are fixes, mostly.
    return found | {name: _minor(version(name)) for name in _PACKAGES}


def _minor(number: str) -> str:
    return ".".join(number.split(".")[:2])


def compiler() -> str:
    """Name and major version of the compiler of extension modules, e.g. "gcc 12"."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    said = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
    first = said.splitlines()[0]
    number = re.search(r"\b(\d+)\.\d+", first)
    name = "clang" if "clang" in first.lower() else "gcc" if "Free Software" in said else command
    return f"{name} {number[1] if number else first}"


def differences(accepted: Accepted, here: Mapping[str, str]) -> list[str]:
    """What of the environment is not as it was, e.g. "compiler: gcc 13 here, gcc 12 accepted"."""
    there = accepted.environment
    return [
        f"{key}: {here.get(key, 'unknown')} here, {there.get(key, 'unknown')} accepted"
        for key in sorted({*here, *there})
        if here.get(key) != there.get(key)
    ]


def tolerance(accepted: Accepted) -> float:
    """The share by which a count may exceed the accepted one here."""
    return FOREIGN_TOLERANCE if differences(accepted, environment()) else TOLERANCE


def judge(counts: Mapping[str, int], accepted: Accepted, allowed: float) -> list[Judged]:
    """Each measured count beside the accepted one."""
    judged = []
    for name, count in counts.items():
        known = accepted.counts.get(name)
        if known is None:
            judged.append(Judged(name, count, None, None, "new"))
            continue
        change = count / known - 1
        verdict: Literal["ok", "more", "less"] = "ok"
        if abs(count - known) > allowed * known:
            verdict = "more" if change > 0 else "less"
        judged.append(Judged(name, count, known, change, verdict))
    return judged


def accept(counts: Mapping[str, int], names: set[str], path: Path = ACCEPTED) -> None:
    """Store what was measured here.

    :param names: of all workloads that there are; counts of others are dropped.
    :raises ValueError: only some were measured, and the stored others come from elsewhere.
    """
    here = environment()
    kept: dict[str, int] = {}
    if counts.keys() != names:
        stored = Accepted.load(path)
        strange = differences(stored, here)
        if strange:
            raise ValueError(f"measure all to accept here, without --only: {'; '.join(strange)}")
        kept = {name: count for name, count in stored.counts.items() if name in names}
    Accepted(here, kept | dict(counts)).save(path)
