"""The words of the protocol are in one place, and all that are there are used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ghost_greeter
from ghost_greeter import events
from ghost_greeter.events import Code, Key, Reason

ROOT = Path(ghost_greeter.__file__).parent

EVENTS = {name: value for name, value in vars(events).items() if name.isupper()}
KEYS = {name: value for name, value in vars(Key).items() if name.isupper()}

# Names with a colon can be found anywhere in a text; the others are words of everyday.
IN_TEXT = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in EVENTS.values() if ":" in name))
PLAIN = {name for name in EVENTS.values() if ":" not in name}
CAMEL_KEYS = {key for key in KEYS.values() if key.lower() != key}


def texts(source: str) -> Iterator[tuple[int, str, bool]]:
    """Each literal text of a module but docstrings: its line, itself, is it the key of a dict?"""
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    exported = {
        id(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.walk(node.value)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings | exported
        ):
            yield node.lineno, node.value, id(node) in keys


def literals(source: str, *, http: bool = False) -> list[str]:
    """What of the protocol a module says by itself.

    :param http: it answers HTTP, whose bodies have keys of the same spelling: events only.
    """
    found = []
    for line, text, is_key in texts(source):
        event = IN_TEXT.search(text) or (not http and not is_key and text in PLAIN)
        if event or (not http and text in CAMEL_KEYS):
            found.append(f"{line}: {text!r}")
    return found


def modules() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if path.name != "events.py"]


def test_events_and_keys_are_named_by_constants_everywhere() -> None:
    assert len(modules()) > 50
    wrong = [
        f"{path.relative_to(ROOT)}:{found}"
        for path in modules()
        for found in literals(path.read_text("utf-8"), http=path.parent.name == "http")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        'session.emit("visitor:join", {})',
        'f"no {x} visitor:join"',
        'handlers = {"call:end": end}',
        'wait_for("disconnect")',
        'error = reply["visitorId"]',
    ],
)
def test_a_literal_is_found(source: str) -> None:
    assert literals(source)


@pytest.mark.parametrize("source", ['"""visitor:join"""', 'body = {"error": 1}', "events.ERROR"])
def test_what_is_no_literal_of_the_protocol(source: str) -> None:
    assert not literals(source)


def test_every_word_is_used() -> None:
    code = "\n".join(path.read_text("utf-8") for path in modules())
    unused = [name for name in EVENTS if not re.search(rf"\bevents\.{name}\b", code)]
    for group in (Key, Reason, Code):
        named = [f"{group.__name__}.{name}" for name in vars(group) if name.isupper()]
        unused += [name for name in named if not re.search(rf"\b{name}\b", code)]
    assert not unused


def test_no_word_has_two_names() -> None:
    assert len(set(EVENTS.values())) == len(EVENTS)
    assert len(set(KEYS.values())) == len(KEYS)
    assert set(events.__all__) == {*EVENTS, "Code", "Key", "Reason"}
