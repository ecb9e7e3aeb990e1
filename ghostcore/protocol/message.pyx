"""Above one frame of RFC 6455: fragments, UTF-8, control frames, close codes. Sans-IO.

The caller cuts the byte stream into unmasked frames and feeds them one by one; what has to be
done comes back as an Outcome. Section numbers in this file are those of RFC 6455.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from ghostcore.protocol.deflate cimport Inflater

from ghostcore.errors import UsageError

__all__ = ["MessageReader", "close_payload", "valid_close_code"]

cdef enum:
    DEFAULT_MAX_MESSAGE_SIZE = 16777216
    MAX_CONTROL_SIZE = 125      # section 5.5
    MAX_REASON_SIZE = 123       # that, less the two bytes of the code

cdef enum CloseCode:            # section 7.4.1
    CLOSE_PROTOCOL_ERROR = 1002
    CLOSE_NO_STATUS = 1005
    CLOSE_INVALID_TEXT = 1007
    CLOSE_TOO_BIG = 1009

cdef tuple OUTCOME_NAMES = (
    "nothing", "message", "ping", "pong", "close", "violation", "after_close",
)

# UTF-8 as a state machine over byte classes, from the table of well-formed byte sequences of the
# Unicode Standard (table 3-7). A state says which bytes may come next.
cdef enum Utf8State:
    UTF8_ACCEPT = 0     # between two characters
    UTF8_REJECT = 1
    UTF8_ONE_MORE = 2   # 80..BF
    UTF8_TWO_MORE = 3   # 80..BF, then one more
    UTF8_THREE_MORE = 4     # 80..BF, then two more
    UTF8_AFTER_E0 = 5   # A0..BF, then one more: shorter forms exist for the rest
    UTF8_AFTER_ED = 6   # 80..9F, then one more: the rest are surrogates
    UTF8_AFTER_F0 = 7   # 90..BF, then two more
    UTF8_AFTER_F4 = 8   # 80..8F, then two more: the rest are beyond U+10FFFF
    UTF8_STATES = 9

cdef enum ByteClass:
    BYTE_ASCII = 0
    BYTE_80_8F = 1
    BYTE_90_9F = 2
    BYTE_A0_BF = 3
    BYTE_LEAD_2 = 4     # C2..DF
    BYTE_E0 = 5
    BYTE_LEAD_3 = 6     # E1..EC, EE, EF
    BYTE_ED = 7
    BYTE_F0 = 8
    BYTE_LEAD_4 = 9     # F1..F3
    BYTE_F4 = 10
    BYTE_NEVER = 11     # C0, C1, F5..FF
    BYTE_CLASSES = 12

cdef unsigned char[256] CLASS_OF
cdef unsigned char[UTF8_STATES * BYTE_CLASSES] NEXT_STATE


cdef void allow(int state, int first_class, int last_class, int next_state) noexcept:
    cdef int byte_class
    for byte_class in range(first_class, last_class + 1):
        NEXT_STATE[state * BYTE_CLASSES + byte_class] = next_state


cdef void build_tables() noexcept:
    cdef int byte
    for byte in range(256):
        CLASS_OF[byte] = (
            BYTE_ASCII if byte < 0x80 else
            BYTE_80_8F if byte < 0x90 else
            BYTE_90_9F if byte < 0xA0 else
            BYTE_A0_BF if byte < 0xC0 else
            BYTE_NEVER if byte < 0xC2 else
            BYTE_LEAD_2 if byte < 0xE0 else
            BYTE_E0 if byte == 0xE0 else
            BYTE_ED if byte == 0xED else
            BYTE_LEAD_3 if byte < 0xF0 else
            BYTE_F0 if byte == 0xF0 else
            BYTE_LEAD_4 if byte < 0xF4 else
            BYTE_F4 if byte == 0xF4 else
            BYTE_NEVER
        )
    for byte in range(UTF8_STATES * BYTE_CLASSES):
        NEXT_STATE[byte] = UTF8_REJECT
    allow(UTF8_ACCEPT, BYTE_ASCII, BYTE_ASCII, UTF8_ACCEPT)
    allow(UTF8_ACCEPT, BYTE_LEAD_2, BYTE_LEAD_2, UTF8_ONE_MORE)
    allow(UTF8_ACCEPT, BYTE_E0, BYTE_E0, UTF8_AFTER_E0)
    allow(UTF8_ACCEPT, BYTE_LEAD_3, BYTE_LEAD_3, UTF8_TWO_MORE)
    allow(UTF8_ACCEPT, BYTE_ED, BYTE_ED, UTF8_AFTER_ED)
    allow(UTF8_ACCEPT, BYTE_F0, BYTE_F0, UTF8_AFTER_F0)
    allow(UTF8_ACCEPT, BYTE_LEAD_4, BYTE_LEAD_4, UTF8_THREE_MORE)
    allow(UTF8_ACCEPT, BYTE_F4, BYTE_F4, UTF8_AFTER_F4)
    allow(UTF8_ONE_MORE, BYTE_80_8F, BYTE_A0_BF, UTF8_ACCEPT)
    allow(UTF8_TWO_MORE, BYTE_80_8F, BYTE_A0_BF, UTF8_ONE_MORE)
    allow(UTF8_THREE_MORE, BYTE_80_8F, BYTE_A0_BF, UTF8_TWO_MORE)
    allow(UTF8_AFTER_E0, BYTE_A0_BF, BYTE_A0_BF, UTF8_ONE_MORE)
    allow(UTF8_AFTER_ED, BYTE_80_8F, BYTE_90_9F, UTF8_ONE_MORE)
    allow(UTF8_AFTER_F0, BYTE_90_9F, BYTE_A0_BF, UTF8_TWO_MORE)
    allow(UTF8_AFTER_F4, BYTE_80_8F, BYTE_80_8F, UTF8_TWO_MORE)


build_tables()


cdef unsigned int utf8_advance(unsigned int state, const unsigned char *data,
                               Py_ssize_t size) noexcept nogil:
    """The state after these bytes; UTF8_REJECT as soon as no text can begin with them."""
    cdef Py_ssize_t i = 0
    cdef uint64_t block
    while i < size:
        if state == UTF8_ACCEPT:
            while size - i >= 8:
                memcpy(&block, data + i, 8)
                if block & <uint64_t>0x8080808080808080:
                    break
                i += 8
            if i == size:
                break
        state = NEXT_STATE[state * BYTE_CLASSES + CLASS_OF[data[i]]]
        if state == UTF8_REJECT:
            break
        i += 1
    return state


cpdef bint valid_close_code(int code) noexcept:
    """Whether a close frame may carry this code.

    1000 to 1003 and 1007 to 1014 of the IANA registry, and 3000 to 4999 for libraries and
    applications; 1004, 1005, 1006 and 1015 are reserved for other ends (section 7.4).

    :param code: a close code.
    :returns: True when it may be sent.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


cpdef bytes close_payload(int code, str reason=""):
    """The payload of a close frame (section 5.5.1).

    :param code: a valid close code, or 1005 for a frame without one.
    :param reason: text for the peer; cut to whole characters within 123 bytes of UTF-8.
    :returns: the payload, empty for 1005.
    :raises UsageError: a code that no close frame may carry, or a reason without a code.
    """
    cdef bytes text
    cdef Py_ssize_t end
    if code == CLOSE_NO_STATUS:
        if reason:
            raise UsageError("a close frame without a code (1005) cannot carry a reason")
        return b""
    if not valid_close_code(code):
        raise UsageError(
            f"{code} cannot stand in a close frame: use 1000 to 1003, 1007 to 1014 or "
            "3000 to 4999 (1005 sends no code)")
    text = (reason or "").encode("utf-8", "replace")
    end = PyBytes_GET_SIZE(text)
    if end > MAX_REASON_SIZE:
        end = MAX_REASON_SIZE
        while end > 0 and (text[end] & 0xC0) == 0x80:   # inside a character
            end -= 1
    return code.to_bytes(2, "big") + text[:end]


@cython.auto_pickle(False)
@cython.no_gc      # it refers to nothing that could refer to it
cdef class MessageReader:
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

    def __cinit__(self, *args, **kwargs):
        self.close_reason = ""
        self.detail = ""

    def __init__(self, Py_ssize_t max_message_size=DEFAULT_MAX_MESSAGE_SIZE,
                 Inflater inflater=None):
        if max_message_size < 1:
            raise UsageError(f"max_message_size is {max_message_size} bytes; it must be at least 1")
        self.max_message_size = max_message_size
        self.max_frame_size = max_message_size
        if inflater is not None:
            self.use_inflater(inflater)

    def __dealloc__(self):
        PyMem_Free(self._buffer)

    cdef int use_inflater(self, Inflater inflater) except -1:
        self._inflater = inflater
        # What cannot be compressed grows, by an eighth at worst (zlib's deflateBound()).
        self.max_frame_size = self.max_message_size + self.max_message_size // 4 + 64
        return 0

    cdef Outcome feed(self, int opcode, bint fin, int reserved, const char *data,
                      Py_ssize_t size) except *:
        cdef Outcome verdict
        self.data = NULL
        self.size = 0
        if self._fragment_kind == 0 and (self._buffer is not NULL or self._inflated is not None):
            self.release()      # the message that the last feed handed out
        verdict = self.judge(opcode, fin, reserved, size)
        if verdict != NOTHING:
            return verdict
        if opcode == OP_TEXT or opcode == OP_BINARY:
            if reserved:
                self._compressed = True
                self._utf8_state = UTF8_ACCEPT
                self.kind = opcode
                return self._inflate(fin, data, size)
            return self._start(opcode, fin, data, size)
        if opcode == OP_CONTINUATION:
            if self._compressed:
                return self._inflate(fin, data, size)
            return self._continue(fin, data, size)
        if opcode == OP_CLOSE:
            return self._close(data, size)
        self.data = data
        self.size = size
        return PING if opcode == OP_PING else PONG

    cdef Outcome judge(self, int opcode, bint fin, int reserved, uint64_t size) except *:
        cdef bint data_frame = opcode == OP_TEXT or opcode == OP_BINARY
        if self._closed:
            return AFTER_CLOSE
        # RSV1 may stand on the first frame of a message if compression is in use (RFC 7692
        # section 6); everywhere else reserved bits are reserved.
        if reserved and not (reserved == 0b100 and data_frame and self._inflater is not None):
            return self._fail(
                CLOSE_PROTOCOL_ERROR,
                f"reserved bits {reserved:03b} set, but no extension is in use"
                if self._inflater is None else
                f"reserved bits {reserved:03b} on a frame of opcode 0x{opcode:X}")
        if data_frame:
            if self._fragment_kind:
                return self._fail(CLOSE_PROTOCOL_ERROR, "a new message inside a fragmented one")
            if size > <uint64_t>(self.max_frame_size if reserved else self.max_message_size):
                return self._too_big()
        elif opcode == OP_CONTINUATION:
            if self._fragment_kind == 0:
                return self._fail(CLOSE_PROTOCOL_ERROR,
                                  "a continuation frame without a message to continue")
            if size > <uint64_t>(self.max_frame_size if self._compressed
                                 else self.max_message_size - self._length):
                return self._too_big()
        elif opcode != OP_PING and opcode != OP_PONG and opcode != OP_CLOSE:
            return self._fail(CLOSE_PROTOCOL_ERROR, f"reserved opcode 0x{opcode:X}")
        elif not fin:
            return self._fail(CLOSE_PROTOCOL_ERROR, "a control frame in fragments")
        elif size > MAX_CONTROL_SIZE:
            return self._fail(CLOSE_PROTOCOL_ERROR,
                              f"a control frame of {size} bytes, more than {MAX_CONTROL_SIZE}")
        return NOTHING

    cdef void release(self) noexcept:
        PyMem_Free(self._buffer)
        self._buffer = NULL
        self._length = 0
        self._capacity = 0
        self._inflated = None
        self.data = NULL
        self.size = 0

    cdef Outcome _fail(self, int code, str detail) except *:
        self.release()
        self._fragment_kind = 0
        self._compressed = False
        self._inflater = None
        self._closed = True
        self.close_code = code
        self.detail = detail
        return VIOLATION

    cdef Outcome _too_big(self) except *:
        return self._fail(CLOSE_TOO_BIG,
                          f"a message of more than {self.max_message_size} bytes")

    cdef Outcome _start(self, int opcode, bint fin, const char *data, Py_ssize_t size) except *:
        """The first frame of a message, mostly the only one."""
        if opcode == OP_TEXT:
            self._utf8_state = utf8_advance(UTF8_ACCEPT, <const unsigned char *>data, size)
            if self._utf8_state == UTF8_REJECT or (fin and self._utf8_state != UTF8_ACCEPT):
                return self._fail(CLOSE_INVALID_TEXT, "a text message that is not UTF-8")
        if not fin:
            self._append(data, size)
            self._fragment_kind = opcode
            return NOTHING
        self.kind = opcode
        self.data = data
        self.size = size
        return MESSAGE

    cdef Outcome _continue(self, bint fin, const char *data, Py_ssize_t size) except *:
        if self._fragment_kind == OP_TEXT:
            self._utf8_state = utf8_advance(self._utf8_state, <const unsigned char *>data, size)
            if self._utf8_state == UTF8_REJECT or (fin and self._utf8_state != UTF8_ACCEPT):
                return self._fail(CLOSE_INVALID_TEXT, "a text message that is not UTF-8")
        self._append(data, size)
        if not fin:
            return NOTHING
        self.kind = self._fragment_kind
        self._fragment_kind = 0
        self.data = self._buffer    # NULL if all fragments were empty
        self.size = self._length
        return MESSAGE

    cdef Outcome _inflate(self, bint fin, const char *data, Py_ssize_t size) except *:
        """A frame of a compressed message: its size and its text are judged as they come out."""
        cdef Py_ssize_t room = self.max_message_size - self._length
        cdef bytes piece = self._inflater.feed(data, size, fin, room)
        cdef const char *inflated
        cdef Py_ssize_t inflated_size
        if piece is None:
            return self._fail(CLOSE_INVALID_TEXT, self._inflater.detail)
        inflated = PyBytes_AS_STRING(piece)
        inflated_size = PyBytes_GET_SIZE(piece)
        if inflated_size > room:
            return self._too_big()
        if self.kind == OP_TEXT:
            self._utf8_state = utf8_advance(self._utf8_state, <const unsigned char *>inflated,
                                            inflated_size)
            if self._utf8_state == UTF8_REJECT or (fin and self._utf8_state != UTF8_ACCEPT):
                return self._fail(CLOSE_INVALID_TEXT, "a text message that is not UTF-8")
        if not fin:
            self._append(inflated, inflated_size)
            self._fragment_kind = self.kind
            return NOTHING
        self._fragment_kind = 0
        self._compressed = False
        if self._length == 0:
            self._inflated = piece
            self.data = inflated
            self.size = inflated_size
        else:
            self._append(inflated, inflated_size)
            self.data = self._buffer
            self.size = self._length
        return MESSAGE

    cdef int _append(self, const char *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t needed = self._length + size
        cdef Py_ssize_t capacity
        cdef void *grown
        if size == 0:
            return 0
        if needed > self._capacity:
            # Doubling keeps many small fragments linear; no use in room beyond the largest message.
            capacity = min(max(needed, self._capacity + self._capacity), self.max_message_size)
            grown = PyMem_Realloc(self._buffer, capacity)
            if grown is NULL:
                raise MemoryError(f"no memory for a fragmented message of {needed} bytes")
            self._buffer = <char *>grown
            self._capacity = capacity
        memcpy(self._buffer + self._length, data, size)
        self._length = needed
        return 0

    cdef Outcome _close(self, const char *data, Py_ssize_t size) except *:
        cdef const unsigned char *octets = <const unsigned char *>data
        cdef int code
        if size == 1:
            return self._fail(CLOSE_PROTOCOL_ERROR, "a close frame with half a close code")
        code = CLOSE_NO_STATUS
        if size:
            code = (octets[0] << 8) | octets[1]
            if not valid_close_code(code):
                return self._fail(CLOSE_PROTOCOL_ERROR,
                                  f"close code {code}, which no close frame may carry")
            if utf8_advance(UTF8_ACCEPT, octets + 2, size - 2) != UTF8_ACCEPT:
                return self._fail(CLOSE_INVALID_TEXT, "a close reason that is not UTF-8")
            self.close_reason = PyUnicode_DecodeUTF8(data + 2, size - 2, NULL)
        self.release()      # a message that was under way will never be whole
        self._fragment_kind = 0
        self._compressed = False
        self._inflater = None
        self._closed = True
        self.close_code = code
        return CLOSE

    @property
    def buffered_bytes(self):
        """Memory that fragments take at the moment; 0 unless a message is coming in parts."""
        return self._capacity

    def feed_frame(self, int opcode, bytes payload not None, bint fin=True, int reserved=0):
        """Feed one unmasked frame, as a connection would.

        :param opcode: 0 to 15.
        :param payload: the unmasked payload.
        :param fin: whether it is the last frame of its message.
        :param reserved: the three reserved bits as a number, 0 to 7.
        :returns: the name of the outcome (``nothing``, ``message``, ``ping``, ``pong``,
            ``close``, ``violation``, ``after_close``), and the payload of a message, ping or
            pong, else None.
        """
        cdef Outcome outcome = self.feed(opcode, fin, reserved, PyBytes_AS_STRING(payload),
                                         PyBytes_GET_SIZE(payload))
        cdef object content = None
        if outcome == MESSAGE or outcome == PING or outcome == PONG:
            content = PyBytes_FromStringAndSize(self.data, self.size)
            self.data = NULL    # they point into `payload`, which may be gone after this call
            self.size = 0
            if outcome == MESSAGE:
                self.release()
        return OUTCOME_NAMES[<int>outcome], content
