"""Tables as text, for tests of what people are shown."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

__all__ = ["text_of"]


def text_of(*tables: Table) -> str:
    """What the tables show, on one line each row: none is wider than this."""
    console = Console(width=300)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()
