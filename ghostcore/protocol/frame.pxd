"""The layout of a frame (RFC 6455 section 5.2), inline: as a client writes it, and as it comes.

Nothing else in ghostcore knows where in a frame its length or its opcode stands.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "<endian.h>" nogil:
    uint64_t htobe64(uint64_t value)
    uint16_t be16toh(uint16_t value)
    uint64_t be64toh(uint64_t value)


cdef inline bint is_data(int opcode) noexcept:
    """Whether frames of this opcode (which may have FLAG_RSV1 added) carry messages."""
    return (opcode & 0x0F) in (0x1, 0x2)


cdef inline Py_ssize_t frame_size(Py_ssize_t size) noexcept:
    """Bytes of a masked frame with a payload of that size."""
    return size + (6 if size < 126 else 8 if size < 65536 else 14)


cdef inline Py_ssize_t received_size(Py_ssize_t size) noexcept:
    """Bytes of a frame of the server's, which has no mask, with a payload of that size."""
    return size + (2 if size < 126 else 4 if size < 65536 else 10)


cdef struct FrameHead:
    int opcode
    bint fin
    int reserved            # RSV1 is 4, RSV2 is 2, RSV3 is 1
    uint64_t length         # of the payload
    Py_ssize_t size         # of the head itself; 0: its length has not come whole
    const char *fault       # what the server must not send; NULL: nothing


cdef inline void read_head(const uint8_t *at, Py_ssize_t left, FrameHead *head) noexcept:
    """Read the head of a frame of the server's, of which `left` bytes have come, 2 at the least."""
    cdef uint64_t length = at[1] & 0x7F
    cdef uint16_t short_length
    head.opcode = at[0] & 0x0F
    head.fin = at[0] >> 7
    head.reserved = (at[0] >> 4) & 7
    head.fault = NULL
    head.size = 2
    if at[1] & 0x80:
        head.fault = "a masked frame (RFC 6455 section 5.1)"
    elif length > 125 and head.opcode >= 8:
        head.fault = "a control frame of more than 125 bytes"
    elif length == 126:
        head.size = 4 if left >= 4 else 0
        if head.size:
            memcpy(&short_length, at + 2, 2)
            length = be16toh(short_length)
            if length < 126:
                head.fault = "a length that fits in fewer bytes (RFC 6455 section 5.2)"
    elif length == 127:
        head.size = 10 if left >= 10 else 0
        if head.size:
            memcpy(&length, at + 2, 8)
            length = be64toh(length)
            if length < 65536:
                head.fault = "a length that fits in fewer bytes (RFC 6455 section 5.2)"
            elif length >> 63:
                head.fault = "a length of more than 63 bits (RFC 6455 section 5.2)"
    head.length = length


cdef inline Py_ssize_t longest_head(const uint8_t *at) noexcept:
    """Bytes of the head that begins so."""
    return 4 if at[1] & 0x7F == 126 else 10 if at[1] & 0x7F == 127 else 2


cdef inline Py_ssize_t put_frame(uint8_t *out, int opcode, uint32_t mask, const uint8_t *data,
                          Py_ssize_t size) noexcept:
    """Write a masked, final frame (RFC 6455 section 5.2); returns its size."""
    cdef inline Py_ssize_t head, i
    cdef uint64_t wide, word
    cdef uint8_t *masks = <uint8_t *>&mask
    out[0] = 0x80 | opcode
    if size < 126:
        out[1] = 0x80 | <uint8_t>size
        head = 2
    elif size < 65536:
        out[1] = 0x80 | 126
        out[2] = <uint8_t>(size >> 8)
        out[3] = <uint8_t>size
        head = 4
    else:
        out[1] = 0x80 | 127
        wide = htobe64(<uint64_t>size)
        memcpy(out + 2, &wide, 8)
        head = 10
    memcpy(out + head, &mask, 4)
    head += 4
    wide = (<uint64_t>mask << 32) | mask
    i = 0
    while i + 8 <= size:
        memcpy(&word, data + i, 8)
        word ^= wide
        memcpy(out + head + i, &word, 8)
        i += 8
    while i < size:
        out[head + i] = data[i] ^ masks[i & 3]
        i += 1
    return head + size
