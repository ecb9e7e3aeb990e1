from typing import Any, Literal

from ghostcore.protocol.codec import Codec
from ghostcore.protocol.packet import (
    MAX_ATTACHMENTS,
    RESERVED_EVENTS,
    Event,
    Packet,
    PacketType,
    connect_packet,
    decode_engine,
    encode_event,
    encode_packet,
    open_packet,
)

__all__ = [
    "MAX_ATTACHMENTS",
    "RESERVED_EVENTS",
    "ClientCodec",
    "Decoder",
    "Event",
    "Packet",
    "PacketType",
    "connect_packet",
    "decode_engine",
    "encode_event",
    "encode_packet",
    "open_packet",
]

class Decoder:
    @property
    def error(self) -> str | None: ...
    def feed(
        self,
        kind: Literal["text", "binary"],
        data: str | bytes | bytearray | memoryview,
        arrived_ns: int = 0,
    ) -> Packet | None: ...

class ClientCodec(Codec):
    def __init__(self, auth: dict[str, Any] | None = None, namespace: str = "/") -> None: ...
    @property
    def handshake(self) -> dict[str, Any] | None: ...
    @property
    def opened_ns(self) -> int: ...
    @property
    def pings(self) -> int: ...
