"""``python -m tests.builds.interpreters``: the unit tests on every other Python of this machine.

Each has a virtual environment of its own, made by the Makefile. A version that is not here is no
failure, but it is told.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

OLDEST = 11
NEWEST = 14
"""Minor versions of Python 3. One that is newer is tested too where it is found, but not missed."""

ROOT = Path(__file__).parent.parent.parent

ASK = """
import sys, sysconfig
from pathlib import Path
import ensurepip, venv
if not Path(sysconfig.get_path("include"), "Python.h").exists():
    sys.exit("it has no headers")
print(*sys.version_info[:3])
"""


def candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    """What may be an interpreter: of pyenv's versions, and python3.N on the path."""
    home = environment.get("HOME", "/")
    versions = Path(environment.get("PYENV_ROOT") or f"{home}/.pyenv") / "versions"
    yield from sorted(versions.glob("*/bin/python"))
    for folder in environment.get("PATH", "").split(os.pathsep):
        for path in sorted(Path(folder).glob("python3.*")) if folder else []:
            if re.fullmatch(r"python3\.\d+", path.name):
                yield path


def version_of(path: Path) -> tuple[int, int, int] | None:
    """The version of an interpreter; None unless it runs and the engine can be built for it."""
    try:
        done = subprocess.run(
            [path, "-c", ASK], check=False, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"(\d+) (\d+) (\d+)\n", done.stdout)
    if done.returncode != 0 or found is None:
        return None
    major, minor, micro = (int(part) for part in found.groups())
    return major, minor, micro


def others(paths: Iterable[Path], own_minor: int) -> dict[int, tuple[tuple[int, int, int], Path]]:
    """The newest interpreter of each minor version of Python 3 but this program's own."""
    found: dict[int, tuple[tuple[int, int, int], Path]] = {}
    for path in paths:
        version = version_of(path)
        if version is None or version[0] != 3 or version[1] < OLDEST or version[1] == own_minor:
            continue
        minor = version[1]
        if minor not in found or version > found[minor][0]:
            found[minor] = version, path
    return found


def not_found(found: Iterable[int], own_minor: int) -> list[str]:
    """The versions that are missed."""
    here = {*found, own_minor}
    return [f"3.{minor}" for minor in range(OLDEST, NEWEST + 1) if minor not in here]


def main() -> int:
    """Test on each of them.

    :returns: 0, or 1 if the tests of any have failed.
    """
    own_minor = sys.version_info.minor
    found = others(candidates(os.environ), own_minor)
    failed = []
    for minor, (version, path) in sorted(found.items()):
        name = ".".join(map(str, version))
        print(f"\n== unit tests on Python {name}, {path}", flush=True)
        command = ["make", "test-unit", f"PYTHON={path}", f"VENV=.venv-3.{minor}"]
        if subprocess.run(command, check=False, cwd=ROOT).returncode != 0:
            failed.append(name)
    print()
    print("unit tests ran on:", ", ".join(f"3.{minor}" for minor in sorted(found)) or "no other")
    print("Pythons not found:", ", ".join(not_found(found, own_minor)) or "none")
    if failed:
        print("unit tests failed on:", ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
