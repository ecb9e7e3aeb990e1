"""One attempt at the HTTP upgrade: its key, its request, and the judge of the answer, sans-IO.

What thousands of attempts have in common is made once (:class:`Request`), and a server gives all of
them the same answer but for one value: an answer that was found valid before is known again by its
bytes. Any other is judged by ``_upgrade.read_answer``, by every rule.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy

import os

from ghostcore.protocol.upgrade import Answer, read_answer, request_parts
from ghostcore.errors import HandshakeRejected

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint32_t ghost_rotate(uint32_t word, int by)
    {
        return (word << by) | (word >> (32 - by));
    }

    static inline uint32_t ghost_word(const uint8_t *at)
    {
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }

    /* One block of 64 bytes of SHA-1 (FIPS 180-4 section 6.1.2). */
    static void ghost_sha1_block(uint32_t state[5], const uint8_t *block)
    {
        uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], t;
        int i;
        for (i = 0; i < 16; i++)
            w[i] = ghost_word(block + 4 * i);
        for (; i < 80; i++)
            w[i] = ghost_rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    /* Unrolled, so that the five words change their names and not their places. */
    #define GHOST_ROUNDS(FROM, TO, MIX, K) \\
        _Pragma("GCC unroll 20") \\
        for (i = FROM; i < TO; i++) { \\
            t = ghost_rotate(a, 5) + (MIX) + e + (K) + w[i]; \\
            e = d; d = c; c = ghost_rotate(b, 30); b = a; a = t; \\
        }
        GHOST_ROUNDS(0, 20, d ^ (b & (c ^ d)), UINT32_C(0x5A827999))
        GHOST_ROUNDS(20, 40, b ^ c ^ d, UINT32_C(0x6ED9EBA1))
        GHOST_ROUNDS(40, 60, (b & c) | (d & (b | c)), UINT32_C(0x8F1BBCDC))
        GHOST_ROUNDS(60, 80, b ^ c ^ d, UINT32_C(0xCA62C1D6))
    #undef GHOST_ROUNDS
        state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e;
    }

    /* The digest of at most 119 bytes: two blocks with the padding. */
    static void ghost_sha1(const uint8_t *data, size_t size, uint8_t digest[20])
    {
        uint32_t state[5] = {UINT32_C(0x67452301), UINT32_C(0xEFCDAB89), UINT32_C(0x98BADCFE),
                             UINT32_C(0x10325476), UINT32_C(0xC3D2E1F0)};
        uint8_t blocks[128] = {0};
        size_t length = size < 56 ? 64 : 128;
        int i;
        memcpy(blocks, data, size);
        blocks[size] = 0x80;
        blocks[length - 2] = (uint8_t)(size * 8 >> 8);
        blocks[length - 1] = (uint8_t)(size * 8);
        ghost_sha1_block(state, blocks);
        if (length == 128)
            ghost_sha1_block(state, blocks + 64);
        for (i = 0; i < 20; i++)
            digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    }

    /* Base64 (RFC 4648 section 4), padded; returns the number of characters. */
    static size_t ghost_base64(const uint8_t *data, size_t size, char *out)
    {
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char *to = out;
        size_t i;
        for (i = 0; i < size; i += 3) {
            size_t left = size - i;
            uint32_t bits = (uint32_t)data[i] << 16;
            if (left > 1)
                bits |= (uint32_t)data[i + 1] << 8;
            if (left > 2)
                bits |= data[i + 2];
            *to++ = letters[bits >> 18];
            *to++ = letters[bits >> 12 & 63];
            *to++ = left > 1 ? letters[bits >> 6 & 63] : '=';
            *to++ = left > 2 ? letters[bits & 63] : '=';
        }
        return (size_t)(to - out);
    }
    """
    void ghost_sha1(const uint8_t *data, size_t size, uint8_t *digest) noexcept nogil
    size_t ghost_base64(const uint8_t *data, size_t size, char *out) noexcept nogil

cdef enum:
    NONCE_SIZE = 16
    KEY_SIZE = 24           # a nonce in base64
    GUID_SIZE = 36
    HASHED_MAX = 119
    ACCEPT_SIZE = 28
    NONCES = 64             # fetched at a time
    KNOWN_MAX = 8

cdef bytes _GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

cdef bytes _nonces = b""    # random bytes that no key was made of yet
cdef Py_ssize_t _nonces_used = 0


def _forget_nonces():
    global _nonces, _nonces_used
    _nonces, _nonces_used = b"", 0

# Or parent and child would go on with the same keys.
os.register_at_fork(after_in_child=_forget_nonces)


cdef bytes new_key():
    """A key that no other attempt has (RFC 6455 section 4.1: random, of 16 bytes)."""
    global _nonces, _nonces_used
    cdef char key[KEY_SIZE]
    if _nonces_used + NONCE_SIZE > PyBytes_GET_SIZE(_nonces):
        _nonces = os.urandom(NONCES * NONCE_SIZE)
        _nonces_used = 0
    ghost_base64(<const uint8_t *>PyBytes_AS_STRING(_nonces) + _nonces_used, NONCE_SIZE, key)
    _nonces_used += NONCE_SIZE
    return PyBytes_FromStringAndSize(key, KEY_SIZE)


cpdef bytes accept_of(bytes key):
    """What the server must put into Sec-WebSocket-Accept (RFC 6455 section 4.2.2).

    :param key: up to 83 bytes; a key has 24.
    """
    cdef uint8_t hashed[HASHED_MAX]
    cdef uint8_t digest[20]
    cdef char accept[ACCEPT_SIZE]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(key)
    if size + GUID_SIZE > HASHED_MAX:
        raise ValueError(f"a key of {size} bytes: it has {KEY_SIZE}")
    memcpy(hashed, PyBytes_AS_STRING(key), size)
    memcpy(hashed + size, PyBytes_AS_STRING(_GUID), GUID_SIZE)
    ghost_sha1(hashed, size + GUID_SIZE, digest)
    ghost_base64(digest, sizeof(digest), accept)
    return PyBytes_FromStringAndSize(accept, ACCEPT_SIZE)


cdef class _Known:
    """A head that was found valid, and where its accept value stands: all else must be the same."""
    cdef bytes head             # with the empty line at its end
    cdef Py_ssize_t accept_at
    cdef object answer

    cdef bint is_head_of(self, const char *data, Py_ssize_t size, const char *accept) noexcept:
        cdef const char *head = PyBytes_AS_STRING(self.head)
        cdef Py_ssize_t whole = PyBytes_GET_SIZE(self.head), rest = self.accept_at + ACCEPT_SIZE
        return (size >= whole and memcmp(data, head, self.accept_at) == 0
                and memcmp(data + self.accept_at, accept, ACCEPT_SIZE) == 0
                and memcmp(data + rest, head + rest, whole - rest) == 0)


cdef class Judge:
    """What attempts that offer the same remember of the answers that they have had.

    :param subprotocols: the names that the request offers.
    :param deflate: the compression that it offers, or None.
    """

    def __init__(self, tuple subprotocols=(), deflate=None):
        self.subprotocols = subprotocols
        self.deflate = deflate
        self._known = []

    @property
    def known(self) -> int:
        """How many different answers are remembered."""
        return len(self._known)

    def read(self, bytes key not None, bytes data not None):
        """See ``_upgrade.read_answer``."""
        cdef bytes accept = accept_of(key)
        answer = self.recognise(data, accept)
        if answer is None:
            answer = read_answer(data, accept, self.subprotocols, self.deflate)
            if isinstance(answer, Answer):
                self.remember(data, accept, answer)
        return answer

    cdef object recognise(self, bytes data, bytes accept):
        """The answer at the begin of `data` if it is one that is known, else None."""
        cdef _Known known
        for known in self._known:
            if known.is_head_of(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
                                PyBytes_AS_STRING(accept)):
                return known.answer
        return None

    cdef int remember(self, bytes data, bytes accept, object answer) except -1:
        cdef _Known known
        cdef bytes head = data[:answer.size]
        if head.count(accept) != 1:
            return 0    # a server that says it twice: each answer is judged
        known = _Known.__new__(_Known)
        known.head = head
        known.accept_at = head.find(accept)
        known.answer = answer
        # The newest answer comes first: with a Date header the answer is a new one each second.
        self._known.insert(0, known)
        del self._known[KNOWN_MAX:]
        return 0


cdef class Request:
    """What attempts at the same URL with the same options have in common.

    :param netloc: host and port for the Host header, unless `headers` has one.
    :param resource: path and query.
    :param headers: in addition to those that the upgrade needs.
    :param subprotocols: names to offer.
    :param deflate: compression to offer, or None.
    :param judge: of the answers, for requests that share what is known of them; one of its own
        unless given.
    """

    def __init__(self, str netloc not None, str resource not None, headers=(), subprotocols=(),
                 deflate=None, Judge judge=None):
        cdef tuple names = tuple(subprotocols)
        self._before, self._after = request_parts(netloc, resource, headers, names, deflate)
        self._judge = Judge(names, deflate) if judge is None else judge

    cpdef Upgrade upgrade(self):
        """An attempt with a key of its own."""
        cdef Upgrade made = Upgrade.__new__(Upgrade)
        made._begin(self)
        return made


cdef class Upgrade:
    """One attempt, made by :meth:`Request.upgrade`: its request, and the judge of the answer.

    :ivar key: the key in the request.
    :ivar request: the bytes to send.
    :ivar refusal: what was refused while its body is still coming: to be raised if no more comes.
    """

    cdef int _begin(self, Request common) except -1:
        self.key = new_key()
        cdef Py_ssize_t before = PyBytes_GET_SIZE(common._before)
        cdef Py_ssize_t after = PyBytes_GET_SIZE(common._after)
        cdef bytes request = PyBytes_FromStringAndSize(NULL, before + KEY_SIZE + after)
        cdef char *out = PyBytes_AS_STRING(request)
        memcpy(out, PyBytes_AS_STRING(common._before), before)
        memcpy(out + before, PyBytes_AS_STRING(self.key), KEY_SIZE)
        memcpy(out + before + KEY_SIZE, PyBytes_AS_STRING(common._after), after)
        self.request = request
        self._judge = common._judge
        return 0

    def read(self, bytes data not None):
        """Judge the answer by the rules of RFC 6455 section 4.1.

        :param data: all bytes that have come so far.
        :returns: None while the answer is not whole, or the body of a refusal, whose length it
            tells, has not come (as far as it is kept).
        :raises HandshakeRejected: kind ``upgrade_rejected`` for another status, ``upgrade_invalid``
            for an answer that is none.
        """
        self.refusal = None
        answer = self._judge.read(self.key, data)
        if isinstance(answer, HandshakeRejected):
            self.refusal = answer
            return None
        return answer
