"""The limit: echo client and server in C, compiled when they are needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["built"]

_SOURCES = Path(__file__).parent
_OUT = _SOURCES.parent / "out"


def built(name: str) -> Path:
    """The program of ``NAME.c``, compiled by ``cc -O2`` unless it is newer than all sources.

    :param name: limit or server.
    :raises RuntimeError: it does not compile, or there is no cc.
    """
    program = _OUT / name
    newest_s = max(source.stat().st_mtime for source in _SOURCES.glob("*.[ch]"))
    if program.exists() and program.stat().st_mtime > newest_s:
        return program
    _OUT.mkdir(parents=True, exist_ok=True)
    # Into place at once: another bench may be about to run it.
    fresh = _OUT / f"{name}.{os.getpid()}"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(_SOURCES / f"{name}.c")]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError("the echo bench needs a C compiler, cc: install gcc or clang") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)} failed: {error.stderr}") from None
    return fresh.replace(program)
