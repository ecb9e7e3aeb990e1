from typing import Literal

from ghostcore.protocol.deflate import Inflater

__all__ = ["MessageReader", "close_payload", "valid_close_code"]

_Outcome = Literal["nothing", "message", "ping", "pong", "close", "violation", "after_close"]

def valid_close_code(code: int) -> bool:
    """Whether a close frame may carry this code.

    1000 to 1003 and 1007 to 1014 of the IANA registry, and 3000 to 4999 for libraries and
    applications; 1004, 1005, 1006 and 1015 are reserved for other ends (section 7.4).

    :param code: a close code.
    :returns: True when it may be sent.
    """

def close_payload(code: int, reason: str = "") -> bytes:
    """The payload of a close frame (section 5.5.1).

    :param code: a valid close code, or 1005 for a frame without one.
    :param reason: text for the peer; cut to whole characters within 123 bytes of UTF-8.
    :returns: the payload, empty for 1005.
    :raises UsageError: a code that no close frame may carry, or a reason without a code.
    """

class MessageReader:
    """Puts frames together to messages and judges what RFC 6455 forbids.

    It starts fresh for each connection. What the peer sent never raises: a breach of the
    protocol is the outcome ``violation``, after which (as after the peer's close frame) all
    further frames are ``after_close`` and are to be thrown away (sections 5.5.1 and 7.1.7).

    :param max_message_size: largest message in bytes, fragments added up and inflated; at least 1.
        A larger one is a violation with close code 1009.
    :param inflater: what inflates compressed messages (RFC 7692); None: nothing was negotiated.
    :raises UsageError: a size below 1.
    :ivar kind: 1 (text) or 2 (binary) of the last message.
    :ivar close_code: the peer's close code (1005: its close frame had none), or the one to
        answer a violation with; 0 before either.
    :ivar close_reason: the reason in the peer's close frame.
    :ivar detail: what the last violation was.
    """

    def __init__(
        self, max_message_size: int = 16_777_216, inflater: Inflater | None = None
    ) -> None: ...
    @property
    def kind(self) -> int:
        """1 (text) or 2 (binary) of the last message."""
    @property
    def close_code(self) -> int:
        """The peer's close code (1005: its close frame had none), or the one to answer a violation
        with; 0 before either."""
    @property
    def close_reason(self) -> str:
        """The reason in the peer's close frame."""
    @property
    def detail(self) -> str:
        """What the last violation was."""
    @property
    def buffered_bytes(self) -> int:
        """Memory that fragments take at the moment; 0 unless a message is coming in parts."""
    def feed_frame(
        self, opcode: int, payload: bytes, fin: bool = True, reserved: int = 0
    ) -> tuple[_Outcome, bytes | None]:
        """Feed one unmasked frame, as a connection would.

        :param opcode: 0 to 15.
        :param payload: the unmasked payload.
        :param fin: whether it is the last frame of its message.
        :param reserved: the three reserved bits as a number, 0 to 7.
        :returns: the name of the outcome (``nothing``, ``message``, ``ping``, ``pong``,
            ``close``, ``violation``, ``after_close``), and the payload of a message, ping or
            pong, else None.
        """
