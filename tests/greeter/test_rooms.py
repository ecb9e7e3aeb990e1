"""Who may import whom in the suite, one row a room; imports for types only count as well.

A room is a folder of the package or a module at its top; the simulator has rooms within. What a
room may import is listed once, here, and nothing is listed that it does not import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ghost_greeter

PACKAGE = "ghost_greeter"
ROOT = Path(ghost_greeter.__file__).parent

ALLOWED: dict[str, set[str]] = {
    # Leaves.
    "events": set(),
    "payloads": {"events"},
    "settings": set(),
    "shared": set(),
    "metrics": {"events"},
    # A simulated server: what it is set to, its state machine, its HTTP side, and what serves it.
    "simulator.setup": {"events"},
    "simulator.machine": {"events", "simulator.setup"},
    "simulator.http": {"simulator.machine", "simulator.setup"},
    "simulator": {"events", "simulator.http", "simulator.machine", "simulator.setup"},
    # A run: both ends of a call, the server beside the load, who answers, who comes.
    "switchboard": {"events", "metrics", "shared"},
    "server": {"metrics", "shared"},
    "agents": {"events", "metrics", "payloads", "simulator.setup", "switchboard"},
    "scenarios": {"events", "metrics", "payloads", "server", "settings", "switchboard"},
    # What is typed, and what it starts.
    "cli": {
        "agents",
        "metrics",
        "scenarios",
        "server",
        "settings",
        "simulator",
        "switchboard",
    },
    "__main__": {"cli"},
}

PARTED = {"simulator"}
"""Rooms with rooms within."""


def module_of(path: Path, root: Path) -> str:
    """The name of a module, without the package; "" for the package itself."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path) -> dict[str, set[str]]:
    """Each module of a package, and the modules of the package that it imports."""
    files = {module_of(path, root): path for path in sorted(root.rglob("*.py"))}
    return {
        module: {known(name, files) for name in named(path.read_text("utf-8"))} - {module, None}  # type: ignore[misc]
        for module, path in files.items()
    }


def named(source: str) -> Iterable[str]:
    """Full names of what a module imports, wherever in it; ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here: their room is to be seen"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def known(name: str, files: Iterable[str]) -> str | None:
    """The module that an imported name belongs to; None for another package's."""
    package, _, rest = name.partition(".")
    if package != PACKAGE:
        return None
    while rest not in files:
        rest = rest.rpartition(".")[0]
    return rest


def room_of(module: str, modules: Iterable[str]) -> str:
    """The room of a module: its first part, or two of them where a room has rooms within."""
    first, _, rest = module.partition(".")
    second = f"{first}.{rest.partition('.')[0]}"
    is_within = first in PARTED and any(one.startswith(f"{second}.") for one in modules)
    return second if is_within else first


def arrows(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Each room, and the others that its modules import."""
    found: dict[str, set[str]] = {}
    for module, targets in graph.items():
        if module:
            room = room_of(module, graph)
            found.setdefault(room, set()).update(room_of(one, graph) for one in targets)
    return {room: targets - {room} for room, targets in found.items()}


def faults(found: Mapping[str, set[str]], allowed: Mapping[str, set[str]]) -> list[str]:
    """Imports that are not permitted, permissions that nobody uses, rooms without a row."""
    rows, rooms = set(allowed), set(found)
    wrong = [f"no row for the room {room}" for room in sorted(rooms - rows)]
    wrong += [f"no room for the row {room}" for room in sorted(rows - rooms)]
    for room in sorted(rows & rooms):
        wrong += [f"{room} imports {one}" for one in sorted(found[room] - allowed[room])]
        wrong += [f"{room} may import {one}: unused" for one in sorted(allowed[room] - found[room])]
    return wrong


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle, from a module back to itself; [] if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_every_room_imports_what_it_may_and_may_what_it_imports() -> None:
    graph = imports(ROOT)
    assert len(graph) > 60
    wrong = faults(arrows(graph), ALLOWED)
    assert not wrong, "\n".join(wrong)


def test_there_is_no_circle_of_rooms_nor_of_modules() -> None:
    graph = imports(ROOT)
    assert circle(arrows(graph)) == []
    assert circle(graph) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package of two rooms, one of which has rooms within, with a circle for types only."""
    for name, text in {
        "__init__.py": "",
        "a.py": "import os\nfrom ghost_greeter.simulator import core\n",
        "simulator/__init__.py": "from ghost_greeter.simulator.core.one import X\n",
        "simulator/core/__init__.py": "",
        "simulator/core/one.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from ghost_greeter.a import A\n"
        ),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_rooms_within_rooms(house: Path) -> None:
    assert arrows(imports(house)) == {
        "a": {"simulator.core"},
        "simulator": {"simulator.core"},
        "simulator.core": {"a"},
    }


def test_a_circle_for_types_only_is_one(house: Path) -> None:
    graph = imports(house)
    assert set(circle(arrows(graph))) == {"a", "simulator.core"}
    (house / "simulator/core/__init__.py").write_text(
        "from ghost_greeter.simulator.core import one"
    )
    assert set(circle(imports(house))) == {"a", "simulator.core", "simulator.core.one"}


def test_what_is_wrong_with_a_table(house: Path) -> None:
    found = arrows(imports(house))
    assert faults(found, {room: set(targets) for room, targets in found.items()}) == []
    table = {"a": {"simulator", "simulator.core"}, "simulator": set(), "b": set[str]()}
    assert faults(found, table) == [
        "no row for the room simulator.core",
        "no room for the row b",
        "a may import simulator: unused",
        "simulator imports simulator.core",
    ]
