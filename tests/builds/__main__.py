"""``python -m tests.builds NAME [ARGUMENTS OF PYTHON]``: build, check the guards, run the tests.

With arguments, these are run instead of the tests, e.g. ``sanitized -m tests.fuzz.frames``.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.builds.guards import PROBE

ROOT = Path(__file__).parent.parent.parent
COPIED = ("setup.py", "pyproject.toml", "README.md", "ghostcore", "python", "docs", "tests")
OURS = (".so", ".pyc")
"""What a copy makes itself."""

TESTS = (
    "tests/unit",
    "tests/property",
    "tests/fuzz",
    "tests/integration/test_compression.py",
    "tests/integration/test_floods.py",
    "tests/integration/test_rfc6455.py",
)
LEFT_OUT = tuple(
    f"--ignore={path}"
    for path in (
        "tests/unit/cli",
        "tests/unit/load",
        "tests/unit/report",
        "tests/property/test_arrivals_properties.py",
        "tests/property/test_closed_properties.py",
        "tests/property/test_open_properties.py",
        "tests/property/test_quantiles_properties.py",
    )
)
"""Of Python alone, and slow in a build like these."""

PYTEST = ("-m", "pytest", "-q", "-n", "3", "--dist", "loadfile", "-o", "timeout=300")


@dataclass(frozen=True)
class Build:
    """A way to build the C layer.

    :ivar switch: of setup.py.
    :ivar malloc: PYTHONMALLOC: Python's own allocator must not hide what the build looks for.
    """

    name: str
    switch: str
    malloc: str

    @property
    def root(self) -> Path:
        return ROOT / "build" / self.name

    @property
    def reports(self) -> Path:
        """Where sanitizers write: of processes that tests start, the tests would not see it."""
        return self.root / "build" / "reports"

    def environment(self, log_path: str) -> dict[str, str]:
        """Of everything that runs in the copy.

        :param log_path: begin of the names of sanitizers' reports.
        """
        own = {"PYTHONPATH": ".:python", "PYTHONMALLOC": self.malloc}
        if self.switch == "GHOSTCORE_SANITIZE":
            own |= {
                "LD_PRELOAD": sanitizer_library(),
                # Leaks at the end are Python's; ours are counted by the tests, some of which watch
                # resident memory too, so that what is freed cannot be kept back for long.
                "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:"
                f"quarantine_size_mb=8:log_path={log_path}",
                "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={log_path}",
            }
        return os.environ | own


BUILDS = {
    build.name: build
    for build in (
        Build("debug", "GHOSTCORE_DEBUG", "debug"),
        Build("sanitized", "GHOSTCORE_SANITIZE", "malloc"),
    )
}


def compiler() -> str:
    """The command that setuptools compiles with."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]


def sanitizer_library() -> str:
    """The run-time library of the address sanitizer, which must be there before Python is."""
    command = [compiler(), "-print-file-name=libasan.so"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(found).is_absolute():
        sys.exit(
            f"{command[0]} has no libasan.so: the sanitized build needs gcc and its sanitizers "
            "(Debian, Ubuntu: apt-get install gcc; Fedora: dnf install libasan libubsan)"
        )
    return found


def files_of(root: Path) -> Iterator[Path]:
    """What a copy takes from the tree, relative to `root`."""
    for name in COPIED:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and path.suffix not in OURS:
                yield path.relative_to(root)


def copy_tree(source: Path, target: Path) -> None:
    """Make `target` the same as the tree, but for what is compiled; write only what differs."""
    wanted = {path: source / path for path in files_of(source)}
    wanted[Path(*PROBE.split(".")).with_suffix(".pyx")] = source / "tests/builds/probe.pyx"
    for path in [*files_of(target)]:
        if path not in wanted:
            (target / path).unlink()
            for module in (target / path).parent.glob(f"{path.stem}.*.so"):
                module.unlink()
    for path, origin in wanted.items():
        copy = target / path
        if not copy.exists() or not filecmp.cmp(origin, copy, shallow=False):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, copy)  # with the time of now: newer than what was compiled of it


def forget_other(build: Build) -> None:
    """Remove a copy that was made with other switches, tools or settings: setuptools compiles anew
    for a changed source only."""
    made_by = "\n".join(
        (sys.version, version("cython"), compiler(), (ROOT / "setup.py").read_text())
    )
    known = build.root / "build" / "made-by"
    if not known.exists() or known.read_text() != made_by:
        shutil.rmtree(build.root, ignore_errors=True)
        known.parent.mkdir(parents=True)
        known.write_text(made_by)


def make(build: Build) -> None:
    """Copy the tree, compile it, and see that the build guards what it should."""
    forget_other(build)
    copy_tree(ROOT, build.root)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--parallel", "2"]
    done = subprocess.run(
        command,
        check=False,
        cwd=build.root,
        env={**os.environ, build.switch: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"the {build.name} build failed:\n{done.stdout}")
    check = [sys.executable, "-m", "tests.builds.guards", build.name]
    environment = build.environment("stderr")
    if subprocess.run(check, check=False, cwd=build.root, env=environment).returncode != 0:
        sys.exit(1)


def run(build: Build, arguments: Sequence[str]) -> int:
    """Run Python in the copy; returns its exit code, or 1 if a sanitizer reported anything."""
    shutil.rmtree(build.reports, ignore_errors=True)
    build.reports.mkdir(parents=True)
    command = [sys.executable, *arguments]
    environment = build.environment(f"{build.reports}/report")
    code = subprocess.run(command, check=False, cwd=build.root, env=environment).returncode
    for report in sorted(build.reports.iterdir()):
        print(f"\n{report.name}:\n{report.read_text(errors='replace')}", file=sys.stderr)
        code = code or 1
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.builds", description=__doc__)
    parser.add_argument("build", choices=BUILDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of Python, instead of tests")
    options = parser.parse_args()
    build = BUILDS[options.build]
    make(build)
    return run(build, options.arguments or [*PYTEST, *TESTS, *LEFT_OUT])


if __name__ == "__main__":
    sys.exit(main())
