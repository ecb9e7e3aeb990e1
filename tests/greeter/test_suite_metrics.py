"""Each metric of the suite is listed once, with its meaning, and in no other place."""

from __future__ import annotations

import ast
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import ghost_greeter
import ghostcore
from ghost_greeter.metrics.subject import Subject

ROOT = Path(ghost_greeter.__file__).parent
KINDS = ("Counter", "Gauge", "Rate", "Trend")
DECLARED = tuple(getattr(ghostcore, kind) for kind in KINDS)


def modules() -> list[ModuleType]:
    names = [path.stem for path in sorted((ROOT / "metrics").glob("*.py"))]
    return [
        import_module(f"ghost_greeter.metrics.{name}")
        for name in names
        if name not in ("__init__", "subject")
    ]


def subjects() -> list[Subject]:
    return [each for one in modules() for each in vars(one).values() if isinstance(each, Subject)]


def test_every_metric_is_in_one_table() -> None:
    listed = Counter(name for subject in subjects() for name in subject.meanings)
    assert len(listed) > 60
    assert [name for name, times in listed.items() if times > 1] == []
    for module in modules():
        found = {one.name for one in vars(module).values() if isinstance(one, DECLARED)}
        tables = [one for one in vars(module).values() if isinstance(one, Subject)]
        assert found == {name for table in tables for name in table.meanings}, module.__name__


def test_each_has_a_meaning_in_one_line() -> None:
    for subject in subjects():
        assert [one.name for one in subject.metrics] == list(subject.meanings)
        for name, meaning in subject.meanings.items():
            assert meaning, name
            assert "\n" not in meaning, name


def test_what_is_listed_twice_is_refused() -> None:
    table = Subject()
    first = table.add(ghostcore.Counter("twice"), "once")
    table.add(ghostcore.Trend("other", unit="ms"), "another")
    assert table.counters == (first,)
    with pytest.raises(ValueError, match="twice is listed twice"):
        table.add(ghostcore.Counter("twice"), "again")


def test_no_other_module_declares_one() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ROOT.rglob("*.py")
        if path.parent.name != "metrics"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in KINDS
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    assert wrong == []


def test_every_one_is_recorded_somewhere() -> None:
    code = "\n".join(
        path.read_text("utf-8") for path in ROOT.rglob("*.py") if path.parent.name != "metrics"
    )
    for module in modules():
        for name, one in vars(module).items():
            if isinstance(one, DECLARED):
                used = rf"\b{name}\b(?!\W+= )"
                assert len(re.findall(used, code)) > 0, f"{module.__name__}.{name}"
