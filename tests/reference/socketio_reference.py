"""Socket.IO 5 packets in plain Python, written for clearness: the measure for the fast codec.

Encoding walks the data and takes the bytes out; decoding cuts the text with one regular
expression and puts the bytes back by recursion. Nothing is shared with ghostcore.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

RESERVED = {
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
}
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = range(5)
HEADER = re.compile(
    r"""(?P<type>[0-4]|[56](?P<count>[0-9]+)-)
        (?P<namespace>/[^,]*(?:,|\Z))?
        (?P<ack>[0-9]+)?""",
    re.VERBOSE,
)


class Refused(Exception):
    """The protocol forbids it."""


@dataclass
class Decoded:
    type: int
    namespace: str
    ack_id: int
    data: Any


def encode(kind: int, namespace: str, data: Any, ack_id: int | None) -> list[str | bytes]:
    attachments: list[bytes] = []
    stripped = _take_out(data, attachments)
    text = "4"
    text += f"{kind + 3}{len(attachments)}-" if attachments else str(kind)
    text += "" if namespace == "/" else f"{namespace},"
    text += "" if ack_id is None else str(ack_id)
    if data is not None:
        text += json.dumps(stripped, separators=(",", ":"), ensure_ascii=False)
    return [text, *attachments]


def _take_out(data: Any, attachments: list[bytes]) -> Any:
    if isinstance(data, (bytes, bytearray, memoryview)):
        attachments.append(bytes(data))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(data, (list, tuple)):
        return [_take_out(item, attachments) for item in data]
    if isinstance(data, dict):
        return {key: _take_out(item, attachments) for key, item in data.items()}
    return data


def decode(text: str, attachments: list[bytes]) -> Decoded:
    """A whole packet, all its attachments at hand; Refused if it is not one."""
    match = HEADER.match(text)
    if match is None:
        raise Refused("no header")
    binary = match["count"] is not None
    kind = int(text[0]) - 3 if binary else int(text[0])
    namespace = (match["namespace"] or "/").removesuffix(",")
    if re.search(r'["\x00-\x1f\x7f]', namespace):
        raise Refused("namespace")
    if binary and not 1 <= int(match["count"]) <= 1000:
        raise Refused("count")
    if len(attachments) != int(match["count"] or 0):
        raise Refused("attachments")
    ack_id = -1 if match["ack"] is None else int(match["ack"])
    if ack_id >= 2**53 or (ack_id >= 0 and kind not in (EVENT, ACK)):
        raise Refused("ack id")
    if kind == ACK and ack_id < 0:
        raise Refused("ack without an id")
    rest = text[match.end() :]
    data = _parse(rest) if rest else None
    if not _fits(kind, data, bool(rest)):
        raise Refused("payload")
    if binary:
        used: set[int] = set()
        data = _put_back(data, attachments, used)
        if used != set(range(len(attachments))):
            raise Refused("an attachment without a placeholder")
    return Decoded(kind, namespace, ack_id, data)


def _parse(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        text.encode()
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused("JSON") from error


def _fits(kind: int, data: Any, present: bool) -> bool:
    if kind in (EVENT, ACK):
        return isinstance(data, list) and (kind == ACK or _is_event(data))
    if not present:
        return True
    return (kind == CONNECT and isinstance(data, dict)) or (
        kind == CONNECT_ERROR and isinstance(data, (dict, str))
    )


def _is_event(data: list[Any]) -> bool:
    if not data or isinstance(data[0], bool):
        return False
    return isinstance(data[0], (int, float)) or (
        isinstance(data[0], str) and data[0] not in RESERVED
    )


def _put_back(data: Any, attachments: list[bytes], used: set[int]) -> Any:
    if isinstance(data, list):
        return [_put_back(item, attachments, used) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("_placeholder") is not True:
        return {key: _put_back(item, attachments, used) for key, item in data.items()}
    number = data.get("num")
    if not isinstance(number, int) or isinstance(number, bool):
        raise Refused("placeholder")
    if not 0 <= number < len(attachments):
        raise Refused("placeholder")
    used.add(number)
    return attachments[number]
