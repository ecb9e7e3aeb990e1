"""Editors show of a compiled module what its stub says: it must say what the module does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType

import pytest

import ghostcore
from ghostcore import load, metrics, testing
from tests.stubs import differences, module_of, stubs, without_text, write

DOORS = [ghostcore, load, metrics, testing]
_SHOWN = (property, cached_property, staticmethod, classmethod)


@pytest.mark.parametrize("stub", stubs(), ids=module_of)
def test_a_stub_has_the_docstrings_of_its_module(stub: Path) -> None:
    assert not differences(stub), "python -m tests.stubs --write"


@pytest.mark.parametrize("stub", stubs(), ids=module_of)
def test_what_a_compiled_module_shows_has_a_docstring(stub: Path) -> None:
    assert not without_text(stub)


def test_docstrings_are_written_where_they_are_missing_and_where_they_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = next(stub for stub in stubs() if module_of(stub) == "ghostcore.protocol.codec")
    copy = tmp_path / "ghostcore" / "protocol" / "codec.pyi"
    copy.parent.mkdir(parents=True)
    copy.write_text(
        "class Message:\n"
        "    def json(self) -> object: ...\n"
        "    @property\n"
        "    def kind(self) -> str:\n"
        '        """Something else,\n        in two lines."""\n'
        "    @property\n"
        "    def data(self) -> bytes: ...\n"
        "class Channel: ...\n"
    )
    monkeypatch.setattr("tests.stubs.ROOT", tmp_path)
    assert differences(copy) == [
        "Message",
        "Message.json",
        "Message.kind",
        "Message.data",
        "Channel",
    ]
    write(copy)
    assert differences(copy) == []
    written = copy.read_text()
    assert "Something else" not in written
    for line in (
        '"""The payload parsed as JSON.',
        '"""The payload as bytes',
        '"""What a codec may do',
    ):
        assert line in stub.read_text()
        assert line in written


def names_without_docstring(door: ModuleType) -> Iterator[str]:
    for name in door.__all__:
        value = getattr(door, name)
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        if not inspect.getdoc(value):
            yield name
        if not inspect.isclass(value):
            continue
        for each in dir(value):
            if each.startswith("_"):
                continue
            owners = [base for base in value.__mro__ if each in vars(base)]
            if owners[0].__module__.split(".")[0] != "ghostcore":
                continue
            member = vars(owners[0])[each]
            shown = inspect.isroutine(member) or isinstance(member, _SHOWN)
            if shown and not any(vars(owner)[each].__doc__ for owner in owners):
                yield f"{name}.{each}"


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_public_name_has_a_docstring(door: ModuleType) -> None:
    assert list(names_without_docstring(door)) == []
