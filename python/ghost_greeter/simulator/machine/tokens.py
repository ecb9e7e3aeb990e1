"""Reconnect tokens: with a database every call has one, by which either side finds it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.model import Call, VisitorId
from ghost_greeter.simulator.machine.timers import Timer

__all__ = ["TokenRecord", "Tokens"]


@dataclass(slots=True, eq=False)
class TokenRecord:
    """A call as the database has it.

    :ivar waiting: socket of the side that waits for the other one.
    """

    token: str
    call_id: str
    visitor_id: VisitorId
    org: dict[str, Any]
    page: dict[str, Any]
    agent_id: str
    waiting: str | None = None
    timer: Timer | None = None


class Tokens:
    """The tokens that are good for something."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._records: dict[str, TokenRecord] = {}

    def give(self, call: Call, age_s: float) -> None:
        """Give the call its token.

        :param age_s: since the call was asked for: it is written down then, which takes a while.
        """
        database = self._core.setup.database
        if database is None or age_s < database.insert_s:
            return
        visitor = self._core.visitors.get(call.visitor_id)
        call.token = f"{self._core.random.getrandbits(256):064x}"
        self._records[call.token] = TokenRecord(
            call.token,
            call.call_id,
            call.visitor_id,
            {} if visitor is None else visitor.org,
            {} if visitor is None else visitor.page,
            call.agent.agent_id,
        )

    def find(self, token: str) -> TokenRecord | None:
        """The call that a token belongs to."""
        return self._records.get(token)

    def log_id(self, call: Call) -> str | None:
        """Id of the call in the database."""
        return None if self._core.setup.database is None else f"log_{call.call_id}"

    def revoke(self, token: str) -> None:
        """The token is good for nothing any more."""
        record = self._records.pop(token, None)
        if record is not None and record.timer is not None:
            record.timer.cancel()
            record.timer = None

    def dropped(self, call: Call) -> None:
        """One side of the call has gone: its token is good for as long as it may come back."""
        record = self._records.get(call.token)
        if record is not None and record.timer is None:
            seconds = self._core.timings.reconnect_s
            record.timer = self._core.expire_after(seconds, self._dies, record)

    def _dies(self, record: TokenRecord) -> None:
        record.timer = None
        del self._records[record.token]
