"""Frames as a client puts them on the wire (RFC 6455 section 5.2), inline."""

from libc.stdint cimport uint8_t, uint64_t, uint32_t
from libc.string cimport memcpy

from ghostcore.links.linux cimport htobe64


cdef inline Py_ssize_t frame_size(Py_ssize_t size) noexcept:
    return size + (6 if size < 126 else 8 if size < 65536 else 14)


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
