"""Does a build guard what it should? ``python -m tests.builds.guards NAME``, in its copy.

A switch that has lost its effect would turn its tests into a repetition of the others. So each
mistake of ``probe.pyx`` is made, and each module of the package is looked into.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["PROBE", "missing_guards"]

PROBE = "ghostcore._probe"
"""Where a copy has ``probe.pyx``: among the modules that setup.py finds."""

MISTAKES = {
    "debug": {
        "item_behind_the_end()": "IndexError",
        "attribute_of_none()": "AttributeError",
        "sum_over_int64(1 << 62)": "OverflowError",
    },
    "sanitized": {
        "byte_behind_memory(8)": "heap-buffer-overflow",
        "memory_after_free()": "heap-use-after-free",
        "object_after_its_end()": "heap-use-after-free",
        "sum_over_int64(1 << 62)": "signed integer overflow",
        "int64_of(1e30)": "1e+30 is outside the range",
        "shift_by_too_much(77)": "shift exponent 77 is too large",
    },
}
"""What each mistake must end with."""

MARKS = {"debug": (b".debug_info",), "sanitized": (b"__asan_report_", b"__ubsan_handle_")}
"""What a module has in it that was compiled as the build says."""

SWITCHED_OFF = re.compile(r"\b(?:boundscheck|nonecheck|initializedcheck)\b")


def missing_guards(build: str, root: Path) -> list[str]:
    """What the build in `root` should catch and does not, one sentence each."""
    return [*_not_caught(build, root), *_unmarked(build, root), *_switched_off(root)]


def _not_caught(build: str, root: Path) -> list[str]:
    missing = []
    for mistake, expected in MISTAKES[build].items():
        # Each in a process of its own: where nothing catches it, it may well be the end of one.
        command = [sys.executable, "-c", f"from {PROBE} import *; {mistake}"]
        done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
        if done.returncode == 0:
            missing.append(f"{mistake} went on: no {expected}")
        elif expected not in done.stderr:
            said = done.stderr[-500:] or f"code {done.returncode}"
            missing.append(f"{mistake} ended, but not with {expected}: {said}")
    return missing


def _unmarked(build: str, root: Path) -> list[str]:
    package = root / "ghostcore"
    missing = []
    for source in sorted(package.rglob("*.pyx")):
        # Those of other Pythons may lie beside it.
        module = source.with_name(source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        if not module.exists():
            missing.append(f"{source.relative_to(root)} is not compiled: no {module.name}")
            continue
        code = module.read_bytes()
        missing += [
            f"{module.name} has no {mark.decode()}" for mark in MARKS[build] if mark not in code
        ]
        name = ".".join(source.relative_to(root).with_suffix("").parts)
        used = Path(importlib.import_module(name).__file__ or "")
        if used != module:
            missing.append(f"{used} is imported, not that of the build")
    return missing


def _switched_off(root: Path) -> list[str]:
    return [
        f"{path.name}:{number} chooses for itself: {line.strip()}"
        for path in sorted((root / "ghostcore").rglob("*.p[yx][xdi]"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SWITCHED_OFF.search(line)
    ]


def main() -> None:
    missing = missing_guards(sys.argv[1], Path.cwd())
    if missing:
        sys.exit(f"the {sys.argv[1]} build does not guard:\n  " + "\n  ".join(missing))


if __name__ == "__main__":
    main()
