"""Docstrings of compiled modules, copied into their stubs: an editor reads nothing else of them.

``python -m tests.stubs`` says where a stub differs from its module, ``python -m tests.stubs
--write`` makes it the same. The module, as built, is right: write a docstring in the .pyx.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
TEXT_WIDTH = 88

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Documented(NamedTuple):
    """One public class, function, method or property of a stub.

    :ivar name: the name within its module, e.g. ``Message.json``.
    :ivar node: its definition in the stub.
    :ivar doc: the docstring of the module as it was compiled; of an attribute that C holds, which
        can have none, the text of the ``:ivar`` of its class. None without either.
    """

    name: str
    node: Definition
    doc: str | None


def stubs() -> list[Path]:
    """The stub of every compiled module."""
    return sorted(
        path.with_suffix(".pyi")
        for path in (ROOT / "ghostcore").rglob("*.pyx")
        if path.with_suffix(".pyi").exists()
    )


def module_of(stub: Path) -> str:
    """The full name of the module that a stub describes."""
    return ".".join(stub.relative_to(ROOT).with_suffix("").parts)


def documented(stub: Path) -> Iterator[Documented]:
    """What a stub defines in public, with what the compiled module says about it.

    Protocols and others that exist for type checkers only are left out: they are nowhere else.
    """
    module = import_module(module_of(stub))
    yield from _documented(ast.parse(stub.read_text()).body, vars(module), "", {})


def _documented(
    body: list[ast.stmt], namespace: Mapping[str, Any], prefix: str, fields: dict[str, str]
) -> Iterator[Documented]:
    for node in body:
        if not isinstance(node, _DEFINITIONS) or node.name.startswith("_") or _is_second(node):
            continue
        found = namespace.get(node.name)
        if found is None:
            continue
        name = prefix + node.name
        yield Documented(name, node, found.__doc__ or fields.get(node.name))
        if isinstance(node, ast.ClassDef):
            own = fields_of(found.__doc__)
            yield from _documented(node.body, vars(found), f"{name}.", own)


def fields_of(doc: str | None) -> dict[str, str]:
    """What the ``:ivar`` lines of a docstring say, as docstrings by name."""
    found = re.findall(r":ivar (\w+):((?:.|\n(?!\s*(?::|\n|$)))*)", doc or "")
    return {
        name: textwrap.fill(text[:1].upper() + text[1:], TEXT_WIDTH)
        for name, told in found
        if (text := " ".join(told.split()))
    }


def _is_second(node: Definition) -> bool:
    """Whether a definition is the setter of a property, whose getter has the docstring."""
    return any(isinstance(each, ast.Attribute) for each in node.decorator_list)


def differences(stub: Path) -> list[str]:
    """The names whose docstring in the stub is not that of the module."""
    return [
        each.name
        for each in documented(stub)
        if ast.get_docstring(each.node) != (inspect.cleandoc(each.doc) if each.doc else None)
    ]


def without_text(stub: Path) -> list[str]:
    """The public names that have no docstring in the module, and attributes that no ``:ivar`` of
    their class tells of."""
    missing = [each.name for each in documented(stub) if not each.doc]
    for each in documented(stub):
        if isinstance(each.node, ast.ClassDef):
            told = fields_of(each.doc)
            missing += [
                f"{each.name}.{field.target.id}"
                for field in each.node.body
                if isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and not field.target.id.startswith("_")
                and field.target.id not in told
            ]
    return missing


def write(stub: Path) -> None:
    """Give a stub the docstrings of its module."""
    lines = stub.read_text().splitlines()
    for each in sorted(documented(stub), key=lambda each: -each.node.lineno):
        _write_docstring(lines, each)
    stub.write_text("\n".join(lines) + "\n")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(stub)], check=True)


def _write_docstring(lines: list[str], each: Documented) -> None:
    first = each.node.body[0]
    is_text = ast.get_docstring(each.node) is not None
    if not each.doc and not is_text:
        return
    indent = " " * (each.node.col_offset + 4)
    text = [f"{indent}{line}" if line else "" for line in _literal(each.doc)] if each.doc else []
    if isinstance(each.node, ast.ClassDef) and text and len(each.node.body) > is_text:
        text.append("")
    is_dots = isinstance(first, ast.Expr) and getattr(first.value, "value", None) is Ellipsis
    if is_text:
        assert first.end_lineno is not None
        start, end = first.lineno - 1, first.end_lineno
        end += end < len(lines) and not lines[end] and bool(text and not text[-1])
        if not text and len(each.node.body) == 1:
            text = [f"{indent}..."]
    elif is_dots:
        start, end = first.lineno - 1, first.lineno
        before = lines[start][: first.col_offset].rstrip()
        text = [*([before] if before else []), *text]
    else:
        start = end = first.lineno - 1 - len(getattr(first, "decorator_list", ()))
    lines[start:end] = text


def _literal(doc: str) -> list[str]:
    """A docstring as the lines of a literal, its closing quotes on the line where they were."""
    text = inspect.cleandoc(doc).replace("\\", "\\\\")
    if doc.rstrip(" ").endswith("\n"):
        text += "\n"
    return f'"""{text}"""'.split("\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the stubs")
    options = parser.parse_args(arguments)
    found = 0
    for stub in stubs():
        if options.write:
            write(stub)
        for name in differences(stub):
            found += 1
            print(f"{module_of(stub)}: the docstring of {name} is not that of the module")
        for name in without_text(stub):
            found += 1
            print(f"{module_of(stub)}: {name} has no docstring")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
