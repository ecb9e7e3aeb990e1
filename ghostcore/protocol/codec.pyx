"""The codec seam, and the codec of plain WebSocket: every whole message is one item."""

import json

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from ghostcore.errors import EngineError, UsageError

__all__ = ["Channel", "Codec", "Message", "PlainCodec", "RecordingChannel"]


cdef int kind_of(object name) except -1:
    """"text" or "binary" as the number that the C layer uses."""
    if name == "text":
        return KIND_TEXT
    if name == "binary":
        return KIND_BINARY
    raise UsageError(f"a message is 'text' or 'binary', not {name!r}")


cdef bytes payload_of(object data):
    """str, bytes or any other buffer as bytes; UsageError for what is neither."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        try:
            return (<str>data).encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"text that UTF-8 cannot carry: {error}") from None
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise UsageError(f"expected str, bytes, bytearray or memoryview, not {type(data).__name__}")


cdef Message new_message(int kind, const char *data, Py_ssize_t size, int64_t arrived_ns):
    cdef Message message = Message.__new__(Message)
    message.data = PyBytes_FromStringAndSize(data, size)
    message.arrived_ns = arrived_ns
    message._kind = kind
    return message


@cython.freelist(256)
@cython.auto_pickle(False)
cdef class Message:
    """One whole WebSocket message.

    :param kind: ``"text"`` or ``"binary"``.
    :param data: the payload; a str is stored as its UTF-8.
    :param arrived_ns: CLOCK_MONOTONIC in ns when its last frame was parsed.
    :ivar data: the payload as bytes, of a text message its UTF-8.
    :ivar arrived_ns: CLOCK_MONOTONIC in ns when the last frame of the message was parsed.
    """

    def __cinit__(self, *args, **kwargs):
        self.data = b""
        self._kind = KIND_TEXT

    def __init__(self, str kind not None, data, int64_t arrived_ns=0):
        self._kind = kind_of(kind)
        self.data = payload_of(data)
        self.arrived_ns = arrived_ns

    @property
    def kind(self):
        """``"text"`` or ``"binary"``."""
        return "text" if self._kind == KIND_TEXT else "binary"

    @property
    def text(self):
        """The payload decoded as UTF-8, of a binary message too.

        :raises UnicodeDecodeError: a binary message whose bytes are not UTF-8 (the text of a
            text message was checked when it arrived).
        """
        return self.data.decode()

    def json(self):
        """The payload parsed as JSON.

        :raises json.JSONDecodeError: the payload is not JSON.
        :raises UnicodeDecodeError: a binary message that is not UTF-8.
        """
        return json.loads(self.data.decode())

    def __len__(self):
        return PyBytes_GET_SIZE(self.data)

    def __bool__(self):
        return True     # a message of no bytes is a message

    def __repr__(self):
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.data)
        shown = self.data[:60]
        content = repr(shown.decode("utf-8", "replace")) if self._kind == KIND_TEXT else repr(shown)
        return f"<Message {self.kind} {size} B {content}{'...' if size > 60 else ''}>"


cdef class Channel:
    """What a codec may do to the connection that feeds it."""

    cdef int write(self, int kind, const char *data, Py_ssize_t size) except -1:
        raise EngineError(f"{type(self).__name__} does not implement Channel.write")

    cdef int deliver(self, object item) except -1:
        raise EngineError(f"{type(self).__name__} does not implement Channel.deliver")

    cdef int violation(self, str detail) except -1:
        raise EngineError(f"{type(self).__name__} does not implement Channel.violation")

    cdef int watchdog(self, int64_t within_ns) except -1:
        raise EngineError(f"{type(self).__name__} does not implement Channel.watchdog")


@cython.auto_pickle(False)
cdef class RecordingChannel(Channel):
    """A channel without a connection: it keeps all that a codec does, in order.

    For the sans-IO use of a codec: feed it messages with :meth:`Codec.feed_message` and read
    here what it wrote and handed out.

    :ivar written: what was sent, as ``(kind, payload)``.
    :ivar items: what was handed out.
    :ivar violations: the details of every violation that the codec saw.
    :ivar watchdogs: every time in ns for which the watchdog was set; 0 takes it off.
    """

    def __cinit__(self):
        self.clear()

    def clear(self):
        """Forget everything recorded so far."""
        self.written = []
        self.items = []
        self.violations = []
        self.watchdogs = []

    cdef int write(self, int kind, const char *data, Py_ssize_t size) except -1:
        name = "text" if kind == KIND_TEXT else "binary"
        self.written.append((name, PyBytes_FromStringAndSize(data, size)))
        return 0

    cdef int deliver(self, object item) except -1:
        self.items.append(item)
        return 0

    cdef int violation(self, str detail) except -1:
        self.violations.append(detail)
        return 0

    cdef int watchdog(self, int64_t within_ns) except -1:
        self.watchdogs.append(within_ns)
        return 0


cdef class Codec:
    """Turns whole WebSocket messages into the items that a session hands out."""

    cdef int feed(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                  int64_t arrived_ns) except -1:
        raise EngineError(f"{type(self).__name__} does not implement Codec.feed")

    def feed_message(self, Channel channel not None, str kind not None, data,
                     int64_t arrived_ns=0):
        """Feed one whole message, as a connection would.

        :param channel: where the codec's answers and items go.
        :param kind: ``"text"`` or ``"binary"``.
        :param data: the payload.
        :param arrived_ns: its arrival on CLOCK_MONOTONIC in ns.
        :raises UsageError: another kind, or data that is no payload.
        """
        cdef bytes payload = payload_of(data)
        self.feed(channel, kind_of(kind), PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload),
                  arrived_ns)


cdef class PlainCodec(Codec):
    """WebSocket as it is: every message is delivered as a :class:`Message`."""

    cdef int feed(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                  int64_t arrived_ns) except -1:
        return channel.deliver(new_message(kind, data, size, arrived_ns))
