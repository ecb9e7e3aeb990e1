"""RFC 6455 above the frame in plain Python, written for clearness: the measure for the reader.

UTF-8 is judged by Python's own incremental decoder. Nothing is shared with ghostcore.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0


Step = tuple[str, bytes | None]


class Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Reference:
    """What has to be done for each frame, as ("message", payload) and so on."""

    def __init__(self, max_message_size: int) -> None:
        self.max_message_size = max_message_size
        self.code = 0
        self.reason = ""
        self._over = False
        self._parts: list[bytes] | None = None
        self._kind = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    @property
    def under_way(self) -> bool:
        """Whether a fragmented message is."""
        return self._parts is not None

    @property
    def size_so_far(self) -> int:
        return sum(map(len, self._parts or []))

    def feed(self, frame: Frame) -> Step:
        if self._over:
            return "after_close", None
        try:
            if frame.reserved:
                raise Refused(1002)
            if frame.opcode >= 8:
                return self._control(frame)
            return self._data(frame)
        except Refused as refused:
            self.code = refused.code
            self._over = True
            return "violation", None

    def _control(self, frame: Frame) -> Step:
        if frame.opcode > 10 or not frame.fin or len(frame.payload) > 125:
            raise Refused(1002)
        if frame.opcode != 8:
            return ("ping" if frame.opcode == 9 else "pong"), frame.payload
        code = 1005
        if frame.payload:
            code = int.from_bytes(frame.payload[:2], "big") if len(frame.payload) > 1 else 0
            allowed = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
            if code not in allowed:
                raise Refused(1002)
        try:
            self.reason = frame.payload[2:].decode()
        except UnicodeDecodeError:
            raise Refused(1007) from None
        self.code = code
        self._over = True
        return "close", None

    def _data(self, frame: Frame) -> Step:
        if frame.opcode > 2 or (frame.opcode == 0) != (self._parts is not None):
            raise Refused(1002)
        if self._parts is None:
            self._parts = []
            self._kind = frame.opcode
            self._decoder.reset()
        self._parts.append(frame.payload)
        if sum(map(len, self._parts)) > self.max_message_size:
            raise Refused(1009)
        if self._kind == 1:
            try:
                self._decoder.decode(frame.payload, final=frame.fin)
            except UnicodeDecodeError:
                raise Refused(1007) from None
        if not frame.fin:
            return "nothing", None
        whole = b"".join(self._parts)
        self._parts = None
        return "message", whole
