"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8; what it held before is replaced.

    A reader sees the old file or the new one, never half of one. Half of a surrogate pair, which
    a server's text may hold and UTF-8 cannot, is written as ``\\udXXX``: as JSON escapes it.

    :raises OSError: it cannot be written; the old file, if there is one, is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
