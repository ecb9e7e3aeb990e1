"""Where the users of a run find what they share with it: a switchboard, a census."""

from __future__ import annotations

import secrets
from typing import Generic, TypeVar

from ghostcore import VU

__all__ = ["Shared"]

T = TypeVar("T")


class Shared(Generic[T]):
    """Things of one kind, each shared by the users of one run in this process.

    What a run's set-up returns may go to other processes and is therefore text. So the thing stays
    here, and users get a key to it::

        BOARDS: Shared[Board] = Shared("board")

        async def setup() -> dict[str, str]:
            return BOARDS.offer(board)        # what vu.data is then

        async def user(vu: VU) -> None:
            board = BOARDS.find(vu)

    :param name: of the kind: under it the key is in ``vu.data``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._things: dict[str, T] = {}

    def offer(self, thing: T) -> dict[str, str]:
        """Let the users of a run find this thing.

        :returns: what the set-up of that run is to return, alone or among others.
        """
        key = secrets.token_hex(8)
        self._things[key] = thing
        return {self._name: key}

    def withdraw(self, thing: T) -> None:
        """Let nobody find this thing any more. One that was never offered is no error."""
        self._things = {key: one for key, one in self._things.items() if one is not thing}

    def find(self, vu: VU) -> T | None:
        """The thing of this user's run; None if there is none in this process."""
        data = vu.data
        key = data.get(self._name) if isinstance(data, dict) else None
        return self._things.get(key) if isinstance(key, str) else None
