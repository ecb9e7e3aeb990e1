"""Who may import whom: walks every import and cimport of the tree and fails on anything else.

A room is a folder of ghostcore, with all that is below it; each module in the root is a room of its
own. What a room may import is listed once, here, and a permission that nobody uses is an error too:
the table describes the house as it is. An import under TYPE_CHECKING counts like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"ghostcore": ROOT / "ghostcore", "ghost_greeter": ROOT / "python" / "ghost_greeter"}

# Without state and I/O, free for all.
LEAVES = {"errors", "_asyncio_private", "_random", "_tracebacks", "_units"}

# From the ground up. A row may name rooms that stand above it only.
ALLOWED: dict[str, set[str]] = {
    "metrics": set(),
    "protocol": set(),
    "load": set(),
    "loop": {"metrics"},
    "_engine": {"loop"},
    "sessions": {"_engine", "loop", "metrics", "protocol"},
    "links": {"_engine", "loop", "protocol", "sessions"},
    "opening": {"_engine", "links", "protocol", "sessions"},
    "users": {"_engine", "loop", "metrics", "opening", "sessions"},
    "monitor": {"_engine", "loop", "metrics"},
    "results": {"metrics", "monitor"},
    "testing": {"_engine", "loop", "protocol", "sessions"},
    "execution": {
        "_engine",
        "load",
        "loop",
        "metrics",
        "monitor",
        "opening",
        "results",
        "sessions",
        "testing",
        "users",
    },
    "report": {"execution", "metrics", "results"},
}

ANYTHING = {"cli", "pytest_plugin", "__init__", "__main__"}

DOOR = {"", "testing", "report", "cli"}

SUFFIXES = (".py", ".pyx", ".pxi", ".pxd", ".pyi")
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(.+)|c?import\s+([\w.]+))", re.MULTILINE)


def sources(package: str) -> Iterator[tuple[str, Path]]:
    """(module without the package, path) of every source file, in every room."""
    folder = PACKAGES[package]
    for path in sorted(folder.rglob("*")):
        if path.suffix in SUFFIXES:
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts), path


def imports_of(path: Path) -> set[str]:
    """Full names of what a file imports; ``from a import b`` counts as ``a.b``."""
    text = path.read_text()
    found: set[str] = set()
    if path.suffix in (".py", ".pyi"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found
    for source, _, plain in CIMPORT.findall(text):
        found.add(source or plain)
    return found


def own_module(name: str) -> str | None:
    """The ghostcore module that an imported name belongs to, without the package; None: foreign."""
    parts = name.split(".")
    if parts[0] != "ghostcore":
        return None
    folder, kept = PACKAGES["ghostcore"], []
    for part in parts[1:]:
        kept.append(part)
        if not (folder / part).is_dir() and not any(folder.glob(f"{part}.p*")):
            kept.pop()
            break
        folder = folder / part
    return ".".join(kept)


def uses_of_rooms() -> dict[tuple[str, str], list[str]]:
    """(room, room that it imports) -> what says so."""
    uses: dict[tuple[str, str], list[str]] = {}
    for module, path in sources("ghostcore"):
        room = module.split(".")[0]
        for name in imports_of(path):
            target = own_module(name)
            if target is None:
                continue
            other = target.split(".")[0] or "the door"
            if other != room:
                uses.setdefault((room, other), []).append(
                    f"{module} ({path.suffix}) imports {name}"
                )
    return uses


def test_every_room_imports_only_what_it_may() -> None:
    wrong = []
    for (room, other), told in uses_of_rooms().items():
        if room in ANYTHING:
            continue
        if other not in LEAVES | ALLOWED.get(room, set()):
            wrong += told
    assert not wrong, "\n".join(sorted(wrong))


def test_no_room_may_import_what_it_does_not_import() -> None:
    uses = uses_of_rooms()
    unused = [
        f"{room} may import {other}, and does not"
        for room, others in ALLOWED.items()
        for other in sorted(others)
        if (room, other) not in uses
    ]
    assert not unused, "\n".join(unused)


def test_the_table_has_no_circle() -> None:
    """Each row names rooms of earlier rows only, so that no way leads back."""
    known = set(LEAVES)
    for room, others in ALLOWED.items():
        assert others <= known, f"{room} may import {sorted(others - known)}, which stand above it"
        known.add(room)


def module_imports(package: str) -> dict[str, set[str]]:
    """Every module of a package, and the modules of the same package that it imports; without the
    ways that are still to be turned round."""
    modules = {module for module, _ in sources(package)}
    found: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in sources(package):
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != package:
                continue
            for end in range(len(parts), 1, -1):
                target = ".".join(parts[1:end])
                if target in modules:
                    found[module] |= {target} - {module}
                    break
    return found


def circles(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """The modules of circles, and those that lie on a way from one circle to another."""
    left = {module: set(others) for module, others in imports.items()}
    while ends := {
        module
        for module, others in left.items()
        if not others & set(left) or not any(module in others for others in left.values())
    }:
        left = {module: others for module, others in left.items() if module not in ends}
    return {module: others & set(left) for module, others in left.items()}


def test_a_circle_is_found_with_nothing_but_itself() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set(), "e": {"d"}}
    assert circles(imports) == {"b": {"c"}, "c": {"b"}}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_circle_of_modules(package: str) -> None:
    """A module that needs another one to be understood must not be needed by it in turn.

    Modules that import nothing that is left, and modules that nobody left imports, are taken away
    until none can be: only circles withstand. An import for the sake of a type counts.
    """
    found = circles(module_imports(package))
    assert not found, {module: sorted(others) for module, others in found.items()}


def test_every_room_has_a_row() -> None:
    rooms = {module.split(".")[0] for module, _ in sources("ghostcore")}
    assert rooms - ANYTHING == set(ALLOWED) | LEAVES


def test_the_suite_uses_the_public_door_only() -> None:
    wrong = []
    for module, path in sources("ghost_greeter"):
        for name in imports_of(path):
            target = own_module(name)
            if target is not None and target not in DOOR:
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_the_engine_never_names_the_product() -> None:
    words = re.compile(r"ghost[ _-]?greeter|visitor:|agent:(?:login|assigned)", re.IGNORECASE)
    named = [
        f"{path}:{number}"
        for _, path in sources("ghostcore")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert not named, "\n".join(named)


def test_every_compiled_module_has_its_surfaces() -> None:
    compiled = [path for _, path in sources("ghostcore") if path.suffix == ".pyx"]
    assert compiled
    for path in compiled:
        assert path.with_suffix(".pxd").exists(), f"{path.name} has no .pxd"
        assert path.with_suffix(".pyi").exists(), f"{path.name} has no .pyi"


@pytest.mark.parametrize(("suffix", "limit"), [(".py", 450), (".pyx", 550), (".pxi", 550)])
def test_files_stay_small(suffix: str, limit: int) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for _, path in sources(package)
        if path.suffix == suffix and (lines := len(path.read_text().splitlines())) > limit
    }
    assert not long, long


def test_the_door_is_what_all_says() -> None:
    import ghostcore

    assert len(ghostcore.__all__) == len(set(ghostcore.__all__))
    missing = [name for name in ghostcore.__all__ if not hasattr(ghostcore, name)]
    assert not missing
