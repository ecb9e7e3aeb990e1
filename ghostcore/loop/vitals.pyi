class Vitals:
    """What sessions tell of the generator itself. Drained once a second by its monitor."""

    def __init__(self) -> None: ...
    @property
    def backlog_bytes(self) -> int:
        """Bytes that sessions have written and their sockets have not taken."""
    def take_stamps(self) -> tuple[int, int, int]:
        """(frames, p99, greatest) of how long frames had waited in their batch to be stamped or
        sent, in ns, since the last call; zeros without frames."""
    def take_tcp(self, wanted: int) -> list[tuple[int, int]]:
        """(smoothed round trip in us, retransmitted segments) of connections that have ended since
        the last call.

        :param wanted: so many of those that end until the next call are asked, at the most.
        """
