"""permessage-deflate: what RFC 7692 section 7.2 does to the payload of a message. Sans-IO.

A compressor at the full window takes some 260 KiB and a decompressor 40, so that each is made when
the first message needs it, and kept only if the context is to be kept.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_READ

import zlib

cdef bytes FLUSH_TAIL = b"\x00\x00\xff\xff"     # section 7.2.1: cut off, put back by the receiver
cdef bytes EMPTY_MESSAGE = b"\x00"              # section 7.2.3.6
cdef enum:
    WINDOW_SIZE = 32768
    # A sender ends its stream once a message if it does at all (section 7.2.3.4). Each end makes a
    # new context, so without a bound 16 MiB of ends would keep the processor busy for hours.
    FINAL_BLOCKS_MAX = 64


cdef class Inflater:
    """Inflates what the peer sends.

    :param window_bits: of the peer's window, 8 to 15.
    :param keeps_context: whether a message may refer to those before it.
    :ivar detail: why the last message was refused; empty if none was.
    """

    def __init__(self, int window_bits=15, bint keeps_context=True):
        self._window_bits = window_bits
        self._keeps_context = keeps_context
        self.detail = ""

    cdef bytes feed(self, const char *data, Py_ssize_t size, bint last, Py_ssize_t limit):
        cdef bytes out, rest
        if self._zlib is None:
            self._zlib = zlib.decompressobj(-self._window_bits)
        try:
            out = b""
            if size:
                out = self._run(PyMemoryView_FromMemory(<char *>data, size, PyBUF_READ), limit)
            if last and out is not None and PyBytes_GET_SIZE(out) <= limit:
                rest = self._run(FLUSH_TAIL, limit - PyBytes_GET_SIZE(out))
                out = None if rest is None else out + rest if rest else out
        except zlib.error as error:
            self.detail = f"a compressed message that is no deflate stream: {error}"
            out = None
        if last and not self._keeps_context:
            self._zlib = None
            self._history = None
        return out

    cdef bytes _run(self, object data, Py_ssize_t limit):
        """Inflate; a stream that ends (a block with BFINAL) is followed by a new one."""
        # One byte more than may come tells a message that is too large from one that just fits;
        # what would follow that byte is never produced.
        cdef bytes piece = self._zlib.decompress(data, limit + 1)
        cdef bytes out = piece
        cdef int ends = 0
        while self._zlib.eof and PyBytes_GET_SIZE(out) <= limit:
            ends += 1
            if ends > FINAL_BLOCKS_MAX:
                self.detail = f"a compressed message of more than {FINAL_BLOCKS_MAX} streams"
                return None
            data = self._zlib.unused_data
            # The window outlives the stream. What came before the first end is not kept, since
            # hardly any server ends its streams, and one that does begins with its first message.
            self._history = ((self._history or b"") + piece)[-WINDOW_SIZE:]
            self._zlib = zlib.decompressobj(-self._window_bits, self._history)
            piece = b""
            if not data:
                break
            piece = self._zlib.decompress(data, limit - PyBytes_GET_SIZE(out) + 1)
            out += piece
        if self._history is not None and piece:
            self._history = (self._history + piece)[-WINDOW_SIZE:]
        return out

    def inflate(self, bytes payload not None, Py_ssize_t limit, bint last=True):
        """Inflate the payload of a frame.

        :param limit: most bytes to make; one more is returned when there would be more.
        :param last: whether it is the last frame of its message.
        :returns: the bytes, or None for what is no deflate stream (``detail`` says why).
        """
        return self.feed(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), last, limit)

    @property
    def has_context(self):
        """Whether the zlib context exists at the moment."""
        return self._zlib is not None


cdef class Deflater:
    """Compresses what is sent.

    :param window_bits: 8 to 15.
    :param keeps_context: whether a message may refer to those before it.
    """

    def __init__(self, int window_bits=15, bint keeps_context=True):
        self._window_bits = window_bits
        self._keeps_context = keeps_context

    cdef bytes message(self, const char *data, Py_ssize_t size):
        cdef bytes out
        if size == 0:
            return EMPTY_MESSAGE
        if self._zlib is None:
            # zlib makes no raw stream with a window of 256 bytes. Without references to what came
            # before (Huffman codes only) a stream suits any window.
            self._zlib = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -max(self._window_bits, 9), 8,
                zlib.Z_DEFAULT_STRATEGY if self._window_bits > 8 else zlib.Z_HUFFMAN_ONLY)
        out = self._zlib.compress(PyMemoryView_FromMemory(<char *>data, size, PyBUF_READ))
        out += self._zlib.flush(zlib.Z_SYNC_FLUSH)
        if not self._keeps_context:
            self._zlib = None
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(out), PyBytes_GET_SIZE(out) - 4)

    def deflate(self, bytes payload not None):
        """The payload of a compressed message."""
        return self.message(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))

    @property
    def has_context(self):
        """Whether the zlib context exists at the moment."""
        return self._zlib is not None
