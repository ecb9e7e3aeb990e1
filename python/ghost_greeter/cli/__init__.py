"""The program ``ghost-greeter``: its commands, their options, what they print."""

from __future__ import annotations

from ghost_greeter.cli.program import main

__all__ = ["main"]
