"""The door of ghostcore.testing: type checkers see its names, and nothing loads before its use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import ghostcore.testing as door


def test_type_checkers_are_shown_the_names_where_they_are() -> None:
    shown = {
        alias.asname: (node.module or "").removeprefix("ghostcore.testing.")
        for node in ast.walk(ast.parse(Path(door.__file__).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert shown == door._HOMES


def test_every_name_can_be_had() -> None:
    assert set(door.__all__) <= set(dir(door))
    for name in door.__all__:
        assert hasattr(door, name), name


def test_nothing_is_loaded_before_its_first_use() -> None:
    code = (
        "import sys, ghostcore.testing as door\n"
        "loaded = lambda: sorted(name for name in sys.modules if name.startswith('ghostcore.t'))\n"
        "print(loaded())\n"
        "door.Flow\n"
        "print('ghostcore.testing.faults' in loaded(), 'ghostcore.testing._server' in loaded())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.splitlines() == ["['ghostcore.testing']", "True False"]
