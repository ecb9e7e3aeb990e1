"""Above one frame (RFC 6455, 5.4, 5.5, 7, 8.1): fragments, UTF-8, control frames, closing."""

from libc.stdint cimport uint64_t

from ghostcore.protocol.deflate cimport Inflater

cdef enum:
    # Added to the opcode of a frame that is sent: the bit RSV1, by which RFC 7692 marks a
    # compressed message. It stands where it stands in the first byte of a frame.
    FLAG_RSV1 = 0x40

cdef enum Opcode:
    OP_CONTINUATION = 0x0
    OP_TEXT = 0x1
    OP_BINARY = 0x2
    OP_CLOSE = 0x8
    OP_PING = 0x9
    OP_PONG = 0xA


cdef enum Outcome:
    NOTHING = 0     # more frames are needed, or nothing to do
    MESSAGE = 1     # `kind`, `data`, `size` describe a whole message, valid until the next feed;
                    # `data` may be NULL when `size` is 0
    PING = 2        # `data`, `size` are to be sent back as a pong
    PONG = 3        # `data`, `size` are its payload
    CLOSE = 4       # the peer's close frame: `close_code` (1005 if it had none), `close_reason`
    VIOLATION = 5   # fail the connection: `close_code` to answer with, `detail` says why
    AFTER_CLOSE = 6  # data after the peer's close frame: ignored


cdef class MessageReader:
    # Small fields stand together, without padding: every connection has a reader.
    cdef readonly int kind
    cdef readonly int close_code
    cdef bint _closed           # the peer's close frame has come, or a violation
    cdef bint _compressed       # the fragmented message under way is compressed
    cdef int _fragment_kind     # 0: no fragmented message under way
    cdef unsigned int _utf8_state
    cdef const char *data
    cdef Py_ssize_t size
    cdef readonly str close_reason
    cdef readonly str detail
    cdef Py_ssize_t max_message_size
    cdef Py_ssize_t max_frame_size  # of a frame on the wire: more than a message if compressed
    cdef Inflater _inflater     # None unless compression was negotiated
    cdef bytes _inflated        # the whole message, where it was inflated in one piece
    cdef char *_buffer          # the fragments so far; NULL while there is none
    cdef Py_ssize_t _length
    cdef Py_ssize_t _capacity

    # One frame as it came off the wire, already unmasked. Never raises for what a peer sent.
    cdef Outcome feed(self, int opcode, bint fin, int reserved, const char *data,
                      Py_ssize_t size) except *
    # What the header of a frame tells before its payload is there: VIOLATION, AFTER_CLOSE or
    # NOTHING. feed() checks the same.
    cdef Outcome judge(self, int opcode, bint fin, int reserved, uint64_t size) except *
    # Take compressed messages from now on.
    cdef int use_inflater(self, Inflater inflater) except -1
    # Free the buffer of a fragmented message once its MESSAGE has been dealt with. The next feed
    # does so too; calling this spares an idle connection the memory until then.
    cdef void release(self) noexcept
    cdef Outcome _fail(self, int code, str detail) except *
    cdef Outcome _too_big(self) except *
    cdef Outcome _start(self, int opcode, bint fin, const char *data, Py_ssize_t size) except *
    cdef Outcome _inflate(self, bint fin, const char *data, Py_ssize_t size) except *
    cdef Outcome _continue(self, bint fin, const char *data, Py_ssize_t size) except *
    cdef Outcome _close(self, const char *data, Py_ssize_t size) except *
    cdef int _append(self, const char *data, Py_ssize_t size) except -1

# The payload of a close frame: 2 bytes of code and the reason cut to 123 bytes of whole UTF-8.
# 1005: an empty payload. UsageError for a code that no close frame may carry.
cpdef bytes close_payload(int code, str reason=*)
# May this code stand in a close frame (RFC 6455 section 7.4)?
cpdef bint valid_close_code(int code) noexcept
