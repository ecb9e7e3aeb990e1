from typing import Any, Literal

__all__ = ["Channel", "Codec", "Message", "PlainCodec", "RecordingChannel"]

_Kind = Literal["text", "binary"]
_Payload = str | bytes | bytearray | memoryview

class Message:
    """One whole WebSocket message.

    :param kind: ``"text"`` or ``"binary"``.
    :param data: the payload; a str is stored as its UTF-8.
    :param arrived_ns: CLOCK_MONOTONIC in ns when its last frame was parsed.
    :ivar data: the payload as bytes, of a text message its UTF-8.
    :ivar arrived_ns: CLOCK_MONOTONIC in ns when the last frame of the message was parsed.
    """

    def __init__(self, kind: _Kind, data: _Payload, arrived_ns: int = 0) -> None: ...
    @property
    def kind(self) -> _Kind:
        """``"text"`` or ``"binary"``."""
    @property
    def data(self) -> bytes:
        """The payload as bytes, of a text message its UTF-8."""
    @property
    def text(self) -> str:
        """The payload decoded as UTF-8, of a binary message too.

        :raises UnicodeDecodeError: a binary message whose bytes are not UTF-8 (the text of a
            text message was checked when it arrived).
        """
    @property
    def arrived_ns(self) -> int:
        """CLOCK_MONOTONIC in ns when the last frame of the message was parsed."""
    def json(self) -> Any:
        """The payload parsed as JSON.

        :raises json.JSONDecodeError: the payload is not JSON.
        :raises UnicodeDecodeError: a binary message that is not UTF-8.
        """
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...

class Channel:
    """What a codec may do to the connection that feeds it."""

class RecordingChannel(Channel):
    """A channel without a connection: it keeps all that a codec does, in order.

    For the sans-IO use of a codec: feed it messages with :meth:`Codec.feed_message` and read
    here what it wrote and handed out.

    :ivar written: what was sent, as ``(kind, payload)``.
    :ivar items: what was handed out.
    :ivar violations: the details of every violation that the codec saw.
    :ivar watchdogs: every time in ns for which the watchdog was set; 0 takes it off.
    """

    @property
    def written(self) -> list[tuple[_Kind, bytes]]:
        """What was sent, as ``(kind, payload)``."""
    @property
    def items(self) -> list[Any]:
        """What was handed out."""
    @property
    def violations(self) -> list[str]:
        """The details of every violation that the codec saw."""
    @property
    def watchdogs(self) -> list[int]:
        """Every time in ns for which the watchdog was set; 0 takes it off."""
    def clear(self) -> None:
        """Forget everything recorded so far."""

class Codec:
    """Turns whole WebSocket messages into the items that a session hands out."""

    def feed_message(
        self, channel: Channel, kind: _Kind, data: _Payload, arrived_ns: int = 0
    ) -> None:
        """Feed one whole message, as a connection would.

        :param channel: where the codec's answers and items go.
        :param kind: ``"text"`` or ``"binary"``.
        :param data: the payload.
        :param arrived_ns: its arrival on CLOCK_MONOTONIC in ns.
        :raises UsageError: another kind, or data that is no payload.
        """

class PlainCodec(Codec):
    """WebSocket as it is: every message is delivered as a :class:`Message`."""
