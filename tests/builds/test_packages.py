"""What the wheel and the sdist hold: all that an editor, a type checker or a cimport asks for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("*.py", "*.pyi", "*.pxd", "*.pxi", "*.json", "py.typed")
"""Files of a package that are shipped as they are."""

FRESH = "from setuptools import build_meta; print(build_meta.build_sdist('out'))"


def shipped() -> set[str]:
    """Each file of these kinds, by its path in an installed package."""
    return {
        path.relative_to(base).as_posix()
        for base, package in ((ROOT, "ghostcore"), (ROOT / "python", "ghost_greeter"))
        for kind in KINDS
        for path in (base / package).rglob(kind)
    }


def documents() -> set[str]:
    return {"README.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))}


def built(tree: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], check=False, cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what packages are built of, without what earlier builds left behind. The C that
    Cython made is kept: its age says whether it is that of the sources."""
    tree = tmp_path_factory.mktemp("packages") / "tree"
    unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info", "_probe*")
    for folder in ("ghostcore", "python", "docs", "build/cython"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, tree / folder, ignore=unwanted)
    for name in ("setup.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> set[str]:
    """The names in the wheel. It is made without compiling: what this looks for is not compiled."""
    built(tree, "setup.py", "-q", "build_py", "bdist_wheel", "--skip-build", "--dist-dir", "out")
    (path,) = (tree / "out").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist(tree: Path) -> set[str]:
    """The names in the sdist, without its folder."""
    built(tree, "-c", FRESH)
    (path,) = (tree / "out").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_every_room_has_its_stubs_and_declarations() -> None:
    """What is looked for is found in the tree: a search that finds nothing would miss nothing."""
    names = shipped()
    for kind in ("pxd", "pyi"):
        compiled = {path.with_suffix("") for path in (ROOT / "ghostcore").rglob("*.pyx")}
        found = {path.with_suffix("") for path in (ROOT / "ghostcore").rglob(f"*.{kind}")}
        assert {path for path in compiled - found if path.name != "_probe"} == set()
    assert {"ghostcore/py.typed", "ghost_greeter/py.typed"} <= names
    assert any(name.endswith(".pxi") for name in names)
    assert any(name.endswith(".schema.json") for name in names)


def test_the_wheel_holds_all_of_both_packages(wheel: set[str]) -> None:
    assert shipped() - wheel == set()


def test_the_wheel_holds_the_documents_and_the_license(wheel: set[str]) -> None:
    names = {name.rpartition("/")[2] for name in wheel if "/share/doc/ghostcore/" in name}
    assert names == {name.rpartition("/")[2] for name in documents()}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.startswith("ghostcore-")} == {
        "ghostcore",
        "ghost_greeter",
    }


def test_the_sdist_holds_what_the_wheel_is_built_of(sdist: set[str]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ghostcore").rglob("*.pyx")
        if path.stem != "_probe"
    }
    python = {f"python/{name}" if name.startswith("ghost_greeter") else name for name in shipped()}
    wanted = python | sources | documents() | {"LICENSE", "setup.py", "pyproject.toml"}
    assert wanted - sdist == set()
