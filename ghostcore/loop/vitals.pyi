class Vitals:
    """What the sessions of one loop tell of the generator itself, drained once a second.

    :ivar backlog_bytes: bytes that sessions have written and their sockets have not taken yet.
    """

    def __init__(self) -> None: ...
    @property
    def backlog_bytes(self) -> int:
        """Bytes that sessions have written and their sockets have not taken yet."""
    def take_stamps(self) -> tuple[int, int, int]:
        """How long frames had waited in their batch to be stamped or sent, since the last call.

        :returns: (number of frames, 99th percentile in ns, greatest in ns); zeros without frames.
        """
    def take_tcp(self, wanted: int) -> list[tuple[int, int]]:
        """What the kernel knew of connections that have ended since the last call.

        :param wanted: so many of those that end until the next call are asked, at the most.
        :returns: (smoothed round trip in us, retransmitted segments) of each connection.
        """
