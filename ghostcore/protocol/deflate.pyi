class Inflater:
    """Inflates what the peer sends.

    :param window_bits: of the peer's window, 8 to 15.
    :param keeps_context: whether a message may refer to those before it.
    :ivar detail: why the last message was refused; empty if none was.
    """

    detail: str
    def __init__(self, window_bits: int = 15, keeps_context: bool = True) -> None: ...
    def inflate(self, payload: bytes, limit: int, last: bool = True) -> bytes | None:
        """Inflate the payload of a frame.

        :param limit: most bytes to make; one more is returned when there would be more.
        :param last: whether it is the last frame of its message.
        :returns: the bytes, or None for what is no deflate stream (``detail`` says why).
        """
    @property
    def has_context(self) -> bool:
        """Whether the zlib context exists at the moment."""

class Deflater:
    """Compresses what is sent.

    :param window_bits: 8 to 15.
    :param keeps_context: whether a message may refer to those before it.
    """

    def __init__(self, window_bits: int = 15, keeps_context: bool = True) -> None: ...
    def deflate(self, payload: bytes) -> bytes:
        """The payload of a compressed message."""
    @property
    def has_context(self) -> bool:
        """Whether the zlib context exists at the moment."""
