"""Integers of variable length (LEB128), inline: written to a bytearray, read with every length
checked. Signed values go through zigzag, so that small negative ones stay short."""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy


cdef struct Cursor:
    const unsigned char *at
    const unsigned char *end


@cython.overflowcheck(False)    # the sign goes to the lowest bit
cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline size_t bytes_left(Cursor *source) noexcept nogil:
    return <size_t>source.end - <size_t>source.at


cdef inline int put_varint(bytearray out, uint64_t value) except -1:
    while value > 127:
        out.append(<int>(value & 127) | 128)
        value >>= 7
    out.append(<int>value)
    return 0


cdef inline int get_byte(Cursor *source) except -1:
    cdef int value
    if source.at == source.end:
        raise ValueError("corrupt data: it ends too early")
    value = source.at[0]
    source.at += 1
    return value


cdef inline uint64_t get_varint(Cursor *source) except? 0:
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef int octet
    while True:
        octet = get_byte(source)
        if shift == 63 and octet > 1:
            raise ValueError("corrupt data: an integer of more than 64 bits")
        value |= <uint64_t>(octet & 127) << shift
        if octet < 128:
            return value
        shift += 7


cdef inline int64_t get_count(Cursor *source) except -1:
    cdef uint64_t value = get_varint(source)
    if value > <uint64_t>INT64_MAX:
        raise ValueError("corrupt data: a count of more than 63 bits")
    return <int64_t>value


cdef inline double get_double(Cursor *source) except? -1.0:
    cdef double value
    if bytes_left(source) < 8:
        raise ValueError("corrupt data: it ends too early")
    memcpy(&value, source.at, 8)    # the byte order of every platform that picows supports: little
    source.at += 8
    return value


cdef inline int put_double(bytearray out, double value) except -1:
    out += (<const char *>&value)[:8]
    return 0
