# Part of epoll_link.pyx: TLS between the socket and the frames.
#
# OpenSSL is given what the socket received and gives back what to send, through two buffers in memory;
# an idle connection keeps no more than its keys and what OpenSSL itself holds on to.

cdef enum:
    SEALED_SIZE = 65536         # received at once
    # The buffer keeps the size that it once had to grow to. A server's certificates come in small
    # portions, so that idle connections have small ones; then a record fits.
    PORTION_SECURING = 1024
    PORTION = 16896             # 16 KiB and what sealing adds


cdef class TlsLink(EpollLink):
    # ---- the handshake -----------------------------------------------------------------------

    cdef bytes _first_bytes(self):
        cdef EpollOpener op = self._opener
        if self._hello is None:
            self._incoming = MemoryBIO()
            self._outgoing = MemoryBIO()
            self._tls = op._tls_context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=op._server_hostname)
            try:
                self._tls.do_handshake()
            except SSLWantReadError:
                pass
            self._hello = self._outgoing.read()
        return self._hello

    cdef int _asked(self, int64_t now_ns) except -1:
        self._hello = None
        self._opener._connected_ns = now_ns
        self._session._advance(_TLS)
        self._state = LINK_SECURING
        return 0

    cdef bint _shake(self) except -1:
        """Go on with the handshake; True when it is done."""
        try:
            self._tls.do_handshake()
        except SSLWantReadError:
            self._answer_sealed()
            return False
        except OSError as error:
            self._answer_sealed()   # the alert that tells the server
            self._lost(error)
            return False
        self._secured()
        return True

    cdef int _secured(self) except -1:
        cdef EpollOpener op = self._opener
        cdef Session session = self._session
        cdef bytes request = op._request
        session._upgrading_ns = self._hub.engine.timers.now()
        session._advance(_UPGRADE)
        self._state = LINK_UPGRADING
        op._attempt.secured(session._upgrading_ns - op._connected_ns)
        # The end of the handshake still waits in the buffer: one send(2) takes both.
        self._seal(PyBytes_AS_STRING(request), PyBytes_GET_SIZE(request))
        return self._answer_sealed()

    # ---- receiving ---------------------------------------------------------------------------

    cdef int _readable(self) except -1:
        cdef Hub hub = self._hub
        cdef Py_ssize_t got, size, fed = 0
        if hub._sealed == NULL:
            hub._sealed = <char *>PyMem_Malloc(SEALED_SIZE)
            if hub._sealed == NULL:
                raise MemoryError()
        got = EpollLink._take(self, hub._sealed, SEALED_SIZE)
        while fed < got and self._state < LINK_CLOSING and not self._discarding:
            size = PORTION_SECURING if self._state == LINK_SECURING else PORTION
            size = min(size, got - fed)
            self._incoming.write(PyMemoryView_FromMemory(hub._sealed + fed, size, PyBUF_READ))
            fed += size
            if self._state != LINK_SECURING or self._shake():
                self._unseal()
        return 0

    cdef int _unseal(self) except -1:
        """Hand out what can be read of what OpenSSL was given."""
        cdef bytes waiting
        self._drained = False
        while not self._drained and self._state < LINK_CLOSING and not self._discarding:
            EpollLink._readable(self)
        if self._state >= LINK_CLOSING:
            return 0
        if self._unsealed is not None:
            waiting, self._unsealed = self._unsealed, None
            self._seal(PyBytes_AS_STRING(waiting), PyBytes_GET_SIZE(waiting))
        return self._answer_sealed()    # what TLS itself has to say: new keys, say

    cdef Py_ssize_t _take(self, char *into, Py_ssize_t room) except? -2:
        cdef Py_ssize_t got
        try:
            got = self._tls.read(room, PyMemoryView_FromMemory(into, room, PyBUF_WRITE))
        except SSLWantReadError:
            self._drained = True
            return -1
        except OSError as error:
            self._lost(error)
            return -1
        if got == 0:
            self._lost(None)            # close_notify
            return -1
        if self._incoming.pending == 0 and self._tls.pending() == 0:
            self._drained = True
        return got

    # ---- sending -----------------------------------------------------------------------------

    cdef int _write(self, const char *data, Py_ssize_t size) except -1:
        self._seal(data, size)
        return self._send_sealed()

    cdef int _seal(self, const char *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t portion
        if self._unsealed is not None:
            self._unsealed += data[:size]
            return 0
        while size:
            portion = min(size, PORTION)
            try:
                portion = self._tls.write(
                    PyMemoryView_FromMemory(<char *>data, portion, PyBUF_READ))
            except SSLWantReadError:
                # The server wants a new handshake first (TLS 1.2 has that).
                self._unsealed = data[:size]
                return 0
            except SSLError as error:
                raise ClosedByPeer(f"sending failed: {error.reason or error}",
                                   kind="connection_lost", url=self._session.url)
            data += portion
            size -= portion
            if size:
                self._send_sealed()     # so that the buffer stays small
        return 0

    cdef int _send_sealed(self) except -1:
        """Send what OpenSSL has made."""
        cdef bytes sealed = self._outgoing.read()
        if not sealed:
            return 0
        return EpollLink._write(self, PyBytes_AS_STRING(sealed), PyBytes_GET_SIZE(sealed))

    cdef int _answer_sealed(self) except -1:
        """Send sealed bytes while the socket is being read: if the server is gone, the next read
        finds that out."""
        try:
            return self._send_sealed()
        except ClosedByPeer:
            return 0

    # ---- the end -----------------------------------------------------------------------------

    cdef int _end_stream(self) except -1:
        try:
            self._tls.unwrap()
        except OSError:
            pass        # our close_notify is written, and that of the server is not waited for
        self._answer_sealed()
        return 0 if self._backlog_size else EpollLink._end_stream(self)

    cdef void _shut(self) noexcept:
        EpollLink._shut(self)
        self._tls = self._incoming = self._outgoing = self._hello = self._unsealed = None
