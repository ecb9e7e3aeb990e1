from enum import IntEnum
from typing import Any, Final

__all__ = [
    "MAX_ATTACHMENTS",
    "RESERVED_EVENTS",
    "Event",
    "Packet",
    "PacketType",
    "connect_packet",
    "decode_engine",
    "encode_event",
    "encode_packet",
    "open_packet",
]

MAX_ATTACHMENTS: Final[int]
RESERVED_EVENTS: Final[frozenset[str]]

class PacketType(IntEnum):
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    ENGINE_OPEN = 10
    ENGINE_CLOSE = 11

class Packet:
    def __init__(self) -> None: ...
    @property
    def type(self) -> int: ...
    @property
    def namespace(self) -> str: ...
    @property
    def ack_id(self) -> int: ...
    @property
    def data(self) -> Any: ...
    @property
    def arrived_ns(self) -> int: ...

class Event(Packet):
    elapsed_ms: float
    @property
    def name(self) -> str: ...
    @property
    def args(self) -> tuple[Any, ...]: ...

def encode_event(
    name: str | int,
    args: list[Any] | tuple[Any, ...] = (),
    namespace: str = "/",
    ack_id: int | None = None,
) -> list[str | bytes]: ...
def encode_packet(
    type: int, namespace: str = "/", data: Any = None, ack_id: int | None = None
) -> list[str | bytes]: ...
def connect_packet(namespace: str = "/", auth: dict[str, Any] | None = None) -> str: ...
def open_packet(
    sid: str,
    ping_interval_ms: int = 25_000,
    ping_timeout_ms: int = 20_000,
    max_payload: int = 1_000_000,
) -> str: ...
def decode_engine(data: str | bytes | bytearray | memoryview) -> tuple[int, str]: ...
