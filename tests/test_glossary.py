"""docs/glossary.md defines few terms, and only such that are in use."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
MOST_TERMS = 30


def rows() -> list[tuple[str, str]]:
    lines = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return [(term.strip("`"), meaning) for term, meaning in cells]


@cache
def texts() -> str:
    """The other documents and the source, in lower case, as words with one space between them."""
    documents = [path for path in (ROOT / "docs").glob("*.md") if path != GLOSSARY]
    source = [
        path
        for suffix in ("py", "pyx", "pxi", "pxd")
        for path in (ROOT / "ghostcore").rglob(f"*.{suffix}")
    ]
    found = [path.read_text() for path in (ROOT / "README.md", *documents, *source)]
    return " ".join(re.sub(r"\n\s*#", " ", "\n".join(found)).lower().split())


def test_the_glossary_stays_short() -> None:
    terms = [term for term, _ in rows()]
    assert 20 <= len(terms) <= MOST_TERMS
    assert len(set(terms)) == len(terms)


@pytest.mark.parametrize(("term", "meaning"), rows(), ids=lambda text: text[:20])
def test_a_term_is_in_use_and_defined_in_sentences(term: str, meaning: str) -> None:
    # An identifier may have the words of a term as its parts: response_time, loop_lag_ms.
    words = r"[ _-]".join(map(re.escape, term.lower().split()))
    assert re.search(rf"(?<![a-z]){words}s?(?![a-z])", texts()), (
        f"nothing but the glossary says {term!r}"
    )
    assert meaning.endswith(".")
    assert len(re.findall(r"\.(?: |$)", meaning)) <= 2


def test_the_readme_links_the_glossary() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text()
