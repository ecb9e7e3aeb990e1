"""Waiting for what the loop or another process does, bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ghostcore import SocketIOSession, WebSocketSession

LIMIT_S = 30.0


async def turns(count: int = 5) -> None:
    """Let the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def wait_until(
    condition: Callable[[], object], limit_s: float = LIMIT_S, poll_s: float = 0.01
) -> None:
    """Poll until the condition holds; an AssertionError if it does not within the limit."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"it did not come to be within {limit_s} s"
        await asyncio.sleep(poll_s)


async def gone(session: SocketIOSession | WebSocketSession) -> None:
    """Wait until the connection under an ended session is down too."""
    await wait_until(lambda: not session._is_linked)
