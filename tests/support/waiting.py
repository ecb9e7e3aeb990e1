"""Waiting for what another process or the loop does, bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ghostcore import SocketIOSession, WebSocketSession

LIMIT_S = 30.0


async def wait_until(condition: Callable[[], object]) -> None:
    """Poll until the condition holds."""
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


async def gone(session: SocketIOSession | WebSocketSession) -> None:
    """Wait until the connection under an ended session is down too."""
    await wait_until(lambda: not session.is_linked)
