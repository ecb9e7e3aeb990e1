"""permessage-deflate (RFC 7692): one direction each, the zlib contexts made on first use."""


cdef class Inflater:
    cdef int _window_bits
    cdef bint _keeps_context
    cdef object _zlib           # None until the first compressed message
    cdef bytes _history         # last output, kept from the first final block on; else None
    cdef readonly str detail    # why the last feed() returned None

    # Inflate a piece of a message; `last` completes the message. None: the data is no deflate
    # stream. More than `limit` bytes mean that there is more to come than may.
    cdef bytes feed(self, const char *data, Py_ssize_t size, bint last, Py_ssize_t limit)
    cdef bytes _run(self, object data, Py_ssize_t limit)


cdef class Deflater:
    cdef int _window_bits
    cdef bint _keeps_context
    cdef object _zlib           # None until the first message

    # The payload of a compressed message.
    cdef bytes message(self, const char *data, Py_ssize_t size)
