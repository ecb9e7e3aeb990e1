"""Finding scenarios in scripts, and telling why a script cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ghostcore import InvalidPlan, Scenario
from ghostcore.cli.scripts import ScriptError, choose, load_script

HEAD = "from ghostcore import scenario, ConstantVUs, Trend\n"
ONE = "@scenario()\nasync def {0}(vu):\n    pass\n"


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(folder: Path, text: str, name: str = "load.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def names(scenarios: list[Scenario]) -> list[str]:
    return [one.name for one in scenarios]


def test_scenarios_in_the_order_of_their_definition(tmp_path: Path) -> None:
    text = HEAD + ONE.format("zebra") + ONE.format("ape") + "again = zebra\nother = 3\n"
    assert names(load_script(written(tmp_path, text)).scenarios) == ["zebra", "ape"]


def test_a_script_imports_from_its_own_folder(tmp_path: Path) -> None:
    written(tmp_path, HEAD + ONE.format("shared"), "neighbour_of_load.py")
    path = written(tmp_path, "from neighbour_of_load import shared\n")
    assert names(load_script(path).scenarios) == ["shared"]
    assert sys.path[0] == str(tmp_path)


def test_a_script_hides_no_module_of_its_name(tmp_path: Path) -> None:
    json_module = __import__("json")
    text = HEAD + "import sys\nme = sys.modules[__name__]\n" + ONE.format("one")
    load_script(written(tmp_path, text, "json.py"))
    assert sys.modules["json"] is json_module


def test_a_script_needs_no_suffix(tmp_path: Path) -> None:
    assert names(load_script(written(tmp_path, HEAD + ONE.format("one"), "load")).scenarios) == [
        "one"
    ]


def test_set_up_and_teardown_of_a_script(tmp_path: Path) -> None:
    text = HEAD + ONE.format("one")
    plain = load_script(written(tmp_path, text))
    assert (plain.setup, plain.teardown) == (None, None)
    text += "async def setup(env):\n    pass\ndef teardown():\n    pass\n"
    script = load_script(written(tmp_path, text))
    assert script.setup is not None and script.setup.__name__ == "setup"
    assert script.teardown is not None, "that it is no coroutine function is told with the plan"
    text = HEAD + ONE.format("setup") + "teardown = 'no function'\n"
    other = load_script(written(tmp_path, text))
    assert (names(other.scenarios), other.setup, other.teardown) == (["setup"], None, None)


def test_what_is_no_script(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path / "nothing.py", "does not exist"),
        (tmp_path, "is a directory"),
        (written(tmp_path, "x = 1\n"), "has no scenario"),
    ):
        with pytest.raises(InvalidPlan, match=what):
            load_script(path)


def failure(path: Path) -> str:
    with pytest.raises(ScriptError) as caught:
        load_script(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_an_error_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "\nundefined_name\n")
    assert failure(path) == (
        f"{path}:3: the script cannot be imported: NameError: name 'undefined_name' is not defined"
    )
    assert not [name for name in sys.modules if name.startswith("ghostcore_script_")]


def test_a_missing_module_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "\n\nimport no_such_module_anywhere\n")
    assert failure(path) == (
        f"{path}:3: the script cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    )


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "x = 1\ndef (:\n")
    assert failure(path) == f"{path}:2: the script cannot be imported: SyntaxError: invalid syntax"


def test_an_error_in_what_a_script_imports_is_told_with_both_lines(tmp_path: Path) -> None:
    neighbour = written(tmp_path, "\n1 / 0\n", "broken_neighbour.py")
    path = written(tmp_path, "import broken_neighbour\n")
    assert failure(path) == (
        f"{path}:1: the script cannot be imported: ZeroDivisionError: division by zero "
        f"(raised at {neighbour}:2)"
    )


def test_an_error_that_ghostcore_raises_is_told_with_the_line_of_the_script(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, HEAD + "Trend('not a name')\n")
    assert failure(path).startswith(f"{path}:2: the script cannot be imported: UsageError: metric")


def test_a_folder_whose_name_begins_like_ghostcores_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghostcore.cli.scripts.OWN", f"{tmp_path / 'ghostcore'}/")
    (tmp_path / "ghostcore-scripts").mkdir()
    path = written(tmp_path / "ghostcore-scripts", "\nundefined_name\n")
    assert failure(path).startswith(f"{path}:2: ")


def test_a_script_that_ends_the_program(tmp_path: Path) -> None:
    path = written(tmp_path, "import sys\nsys.exit(3)\n")
    assert failure(path).endswith("it ended the program while it was imported (exit code 3)")
    assert failure(path).startswith(f"{path}:2: ")


def test_choosing(tmp_path: Path) -> None:
    text = HEAD + "".join(ONE.format(name) for name in ("a", "b", "c"))
    scenarios = load_script(written(tmp_path, text)).scenarios
    assert names(choose(scenarios, ["b"], "load.py")) == ["b"]
    assert names(choose(scenarios, ["c", "a", "c"], "load.py")) == ["a", "c"]
    assert names(choose(scenarios[:1], [], "load.py")) == ["a"]
    with pytest.raises(InvalidPlan, match=r"several scenarios.* a, b, c"):
        choose(scenarios, [], "load.py")
    with pytest.raises(InvalidPlan) as caught:
        choose(scenarios, ["x", "a", "y"], "load.py")
    assert len(caught.value.problems) == 2
