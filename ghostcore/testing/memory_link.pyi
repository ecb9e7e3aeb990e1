from collections.abc import Callable

from ghostcore._engine import Link
from ghostcore.sessions.session import Session

class MemoryLink(Link):
    """Opens `session`. What it sends is kept, what arrives is given by hand.

    :ivar sent: (time in ns, message) of every message: str for text, bytes for binary. Of control
        frames the close frame alone is kept: (time in ns, code).
    :ivar pieces: how many messages went out together, for each time that something went out.
    :ivar broken: set it, and the next send finds that the connection is lost.
    :ivar is_aborted: the session ended the connection.
    :ivar peer: called with each message that is sent, or None.
    """

    sent: list[tuple[int, str | bytes | int]]
    pieces: list[int]
    broken: bool
    is_aborted: bool
    peer: Callable[[str | bytes], object] | None
    def __init__(self, session: Session) -> None: ...
    def arrive(self, data: str | bytes | bytearray | memoryview) -> None:
        """A message arrives now: str as text, bytes-like as binary."""
    def fill(self) -> None:
        """The socket takes no more."""
    def drain(self) -> None:
        """The socket takes more again."""
    def lose(self) -> None:
        """The connection ends without a close frame."""
