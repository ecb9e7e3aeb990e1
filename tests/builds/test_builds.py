"""The other builds: their copies follow the tree, and a build that guards nothing is told so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import __main__ as command
from tests.builds.__main__ import BUILDS, ROOT, Build, copy_tree, files_of
from tests.builds.guards import MISTAKES, missing_guards


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one module and its compiled form."""
    root = tmp_path / "tree"
    for path in ("setup.py", "ghostcore/_one.pyx", "tests/builds/probe.pyx", "python/two.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "ghostcore/_one.cpython-311.so").write_text("compiled for the tree")
    return root


def test_a_copy_has_all_but_what_it_compiles_itself(tree: Path, tmp_path: Path) -> None:
    copy_tree(tree, tmp_path / "copy")
    assert {str(path) for path in files_of(tmp_path / "copy")} == {
        "setup.py",
        "ghostcore/_one.pyx",
        "ghostcore/_probe.pyx",
        "tests/builds/probe.pyx",
        "python/two.py",
    }
    assert not (tmp_path / "copy/ghostcore/_one.cpython-311.so").exists()


def test_what_changes_while_it_is_compiled_is_compiled_again(tree: Path, tmp_path: Path) -> None:
    """Its time in the tree is before that of what was made of the text that it had before."""
    source, copy = tree / "ghostcore/_one.pyx", tmp_path / "copy"
    copy_tree(tree, copy)
    made = copy / "_one.c"
    made.touch()
    source.write_text("changed")
    before = made.stat().st_mtime - 10
    os.utime(source, (before, before))
    copy_tree(tree, copy)
    assert (copy / "ghostcore/_one.pyx").stat().st_mtime_ns >= made.stat().st_mtime_ns


def test_a_copy_follows_the_tree(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_tree(tree, copy)
    kept, gone = copy / "ghostcore/_one.311.so", copy / "ghostcore/_gone.311.so"
    for path in (kept, gone, copy / "ghostcore/_gone.pyx"):
        path.write_text("of the copy")
    before_ns = (copy / "setup.py").stat().st_mtime_ns
    (tree / "python/two.py").write_text("changed")
    (tree / "python/three.py").write_text("new")
    copy_tree(tree, copy)
    assert (copy / "python/two.py").read_text() == "changed"
    assert (copy / "python/three.py").read_text() == "new"
    assert kept.exists()
    assert not gone.exists()
    assert not (copy / "ghostcore/_gone.pyx").exists()
    assert (copy / "setup.py").stat().st_mtime_ns == before_ns


def test_other_switches_or_tools_make_a_copy_anew(
    monkeypatch: pytest.MonkeyPatch, tree: Path
) -> None:
    monkeypatch.setattr(command, "ROOT", tree)
    build = BUILDS["debug"]
    command.forget_other(build)
    made = build.root / "ghostcore/_one.311.so"
    made.parent.mkdir()
    made.write_text("compiled")
    command.forget_other(build)
    assert made.exists()
    (tree / "setup.py").write_text("other switches")
    command.forget_other(build)
    assert not made.exists()


def test_what_is_tested_and_left_out_is_there() -> None:
    left_out = [option.removeprefix("--ignore=") for option in command.LEFT_OUT]
    assert left_out
    for path in (*command.TESTS, *left_out):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(("build", "guarded"), [("", False), ("debug", True)])
def test_a_build_that_guards_nothing_is_told_so(tmp_path: Path, build: str, guarded: bool) -> None:
    """The probe as the only module of a package, compiled by the project's own setup.py."""
    package = tmp_path / "ghostcore"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(ROOT / "setup.py", tmp_path)
    shutil.copy(ROOT / "tests/builds/probe.pyx", package / "_probe.pyx")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for name in ("DEBUG", "SANITIZE", "COVERAGE"):
        environment[f"GHOSTCORE_{name}"] = "1" if name == build.upper() else ""
    compiled = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(compiled, check=True, cwd=tmp_path, env=environment, capture_output=True)
    for asked in BUILDS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.builds.guards", asked],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        if guarded and asked == build:
            assert (done.returncode, done.stderr) == (0, "")
            continue
        assert done.returncode == 1
        assert f"the {asked} build does not guard" in done.stderr
        for mistake in MISTAKES[asked]:
            assert mistake in done.stderr
        assert "_probe.cpython" in done.stderr  # the module has no marks either


def test_every_module_is_looked_into() -> None:
    missing = "\n".join(missing_guards("sanitized", ROOT))
    for source in (ROOT / "ghostcore").glob("*.pyx"):
        assert f"{source.stem}.cpython" in missing


def test_what_a_module_switches_off_for_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "ghostcore").mkdir()
    (tmp_path / "ghostcore/_one.pyx").write_text("\n# cython: boundscheck=False\n")
    (tmp_path / "ghostcore/_two.pxi").write_text("@cython.nonecheck(False)\n")
    missing = missing_guards("debug", tmp_path)
    assert "_one.pyx:2 chooses for itself: # cython: boundscheck=False" in missing
    assert "_two.pxi:1 chooses for itself: @cython.nonecheck(False)" in missing


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("raise SystemExit(5)", 5),
        ("open('build/reports/report.1', 'w').write('of another process')", 1),
    ],
)
def test_what_a_sanitizer_wrote_is_shown_and_fails(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: str,
    expected: int,
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    build = Build("some", "GHOSTCORE_DEBUG", "debug")
    assert command.run(build, ["-c", code]) == expected
    assert ("of another process" in capsys.readouterr().err) == (expected == 1)
    assert command.run(build, ["-c", "pass"]) == 0  # a report of the run before is none of this one
