"""docs/house.md: the map must be that of the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ghostcore"
TEXT = (ROOT / "docs" / "house.md").read_text()
FILES = sorted(set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*/?[a-z_]*\.(?:pyx|pxd|pxi|py))`", TEXT)))


def test_every_room_is_on_the_map() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    mapped = set(re.findall(r"^\| `([a-z]+)/`", TEXT, re.MULTILINE))
    assert mapped == rooms


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_map_is_there(name: str) -> None:
    folders = [PACKAGE, ROOT, ROOT / "python" / "ghost_greeter", *PACKAGE.glob("*/")]
    assert any((folder / name).is_file() for folder in folders), name


def test_the_map_names_files() -> None:
    assert len(FILES) > 30
