"""Files of the tokens that agents log in with: the simulator's, and those of a pool of agents."""

from __future__ import annotations

from pathlib import Path

from ghostcore import UsageError

__all__ = ["ANY_AGENT", "read_token_file"]

ANY_AGENT = "*"


def read_token_file(path: Path) -> list[tuple[str, str]]:
    """Tokens and whose they are, line by line: an agent's id, or * for any agent. Empty lines and
    those that begin with # are left out.

    :raises UsageError: it cannot be read, or a line is something else; no line is quoted.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the agents' tokens cannot be read from {path}: {reason}") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 2:  # the line itself is not told: it may be a token
            raise UsageError(
                f"the agents' tokens: {path}:{number} has {len(fields)} fields: expected a token "
                "and an agent id, or * for any agent"
            )
        found.append((fields[0], fields[1]))
    return found
