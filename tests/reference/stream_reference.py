"""A stream of bytes to the frames of RFC 6455 section 5.2 and on to events, in plain Python: what a
client has to make of whatever a server sends. Nothing is shared with ghostcore."""

from __future__ import annotations

from tests.reference.message_reference import Frame, Reference

Event = tuple[str, bytes]


def header_refused(data: bytes, at: int) -> bool:
    """Whether the first two bytes of a frame, and its length as far as it is there, cannot be."""
    opcode, second = data[at] & 0x0F, data[at + 1]
    length = second & 0x7F
    if second & 0x80 or (opcode >= 8 and length > 125):
        return True
    if length == 126 and len(data) >= at + 4:
        return int.from_bytes(data[at + 2 : at + 4], "big") < 126
    if length == 127 and len(data) >= at + 10:
        wide = int.from_bytes(data[at + 2 : at + 10], "big")
        return wide < 65536 or wide >> 63 != 0
    return False


class StreamReference:
    """Feed it all that a server sends, in one piece: ``events`` and the final ``code``.

    Events are ("text" | "binary" | "ping", payload). ``code`` is that of the close frame to be sent
    back: 0 while the session goes on. ``violated`` tells whether it is for a violation.
    """

    def __init__(self, max_message_size: int) -> None:
        self._limit = max_message_size
        self._reference = Reference(max_message_size)
        self.events: list[Event] = []
        self.code = 0
        self.violated = False

    def feed(self, data: bytes) -> None:
        at, kind = 0, 0
        while not self.code and at + 2 <= len(data):
            if header_refused(data, at):
                self._end(1002, True)
                return
            length, head = data[at + 1] & 0x7F, 2
            if length >= 126:
                width = 2 if length == 126 else 8
                head += width
                if len(data) < at + head:
                    return
                length = int.from_bytes(data[at + 2 : at + head], "big")
            first = data[at]
            opcode, fin, reserved = first & 0x0F, bool(first & 0x80), first >> 4 & 7
            whole = len(data) >= at + head + length
            if not whole:
                self._judge_header(opcode, fin, reserved, length)
                return
            payload = data[at + head : at + head + length]
            at += head + length
            if opcode in (1, 2) and not self._reference.under_way:
                kind = opcode
            outcome, content = self._reference.feed(Frame(opcode, payload, fin, reserved))
            if outcome == "message":
                assert content is not None
                self.events.append(("text" if kind == 1 else "binary", content))
            elif outcome == "ping":
                assert content is not None
                self.events.append(("ping", content))
            elif outcome in ("violation", "close"):
                self._end(self._reference.code, outcome == "violation")

    def _judge_header(self, opcode: int, fin: bool, reserved: int, length: int) -> None:
        """A frame whose payload is not whole is refused for what its header says."""
        under_way = self._reference.under_way
        wrong = (
            reserved != 0
            or 3 <= opcode <= 7
            or opcode > 10
            or (opcode >= 8 and not fin)
            or (opcode == 0 and not under_way)
            or (opcode in (1, 2) and under_way)
        )
        if wrong:
            self._end(1002, True)
        elif opcode < 8 and length > self._limit - self._reference.size_so_far:
            self._end(1009, True)

    def _end(self, code: int, violated: bool) -> None:
        self.code = code
        self.violated = violated
