# Part of epoll_link.pyx: the addresses that are dialled, one after another.

cdef bint is_loopback(sockaddr_in *address) noexcept:
    """Whether it is in 127.0.0.0/8."""
    return (<const uint8_t *>&address.sin_addr)[0] == 127


cdef enum:
    FILLED_MAX = 256


cdef unsigned int fill_address(dict known, sockaddr_storage *storage, tuple address) except 0:
    """Fill a socket address from its numeral; returns its size.

    :param known: the bytes of socket addresses, which thousands of users dial, by numeral.
    """
    cdef bytes filled = known.get(address)
    cdef unsigned int size
    if filled is None:
        size = _parse_address(storage, address)
        if len(known) >= FILLED_MAX:
            known.clear()
        known[address] = PyBytes_FromStringAndSize(<char *>storage, size)
        return size
    size = PyBytes_GET_SIZE(filled)
    memcpy(storage, PyBytes_AS_STRING(filled), size)
    return size


cdef unsigned int _parse_address(sockaddr_storage *storage, tuple address) except 0:
    cdef sockaddr_in *v4 = <sockaddr_in *>storage
    cdef sockaddr_in6 *v6 = <sockaddr_in6 *>storage
    memset(storage, 0, sizeof(sockaddr_storage))
    host, port = address[0], address[1]
    text = host.partition("%")[0].encode()
    if inet_pton(AF_INET, text, &v4.sin_addr) == 1:
        v4.sin_family = AF_INET
        v4.sin_port = htons(port)
        return sizeof(sockaddr_in)
    if inet_pton(AF_INET6, text, &v6.sin6_addr) == 1:
        v6.sin6_family = AF_INET6
        v6.sin6_port = htons(port)
        if len(address) > 3:
            v6.sin6_scope_id = address[3]
        return sizeof(sockaddr_in6)
    raise UsageError(f"{host!r} is no IP address")


cdef class EpollOpener(Opener):
    cdef int begin(self) except -1:
        self._queue.push(self, self._limit_ns)
        return self._dial_next(None)

    cdef int _dial_next(self, object failure) except -1:
        """Dial the next address; `failure` is that of the last one."""
        cdef EpollLink link
        while self._sock is not None or self._addresses:
            address = None
            if self._sock is None:
                address = self._addresses[0][1]
                self._addresses = self._addresses[1:]
            if self._tls_context is None:
                self._link = link = EpollLink.__new__(EpollLink)
            else:
                self._link = link = TlsLink.__new__(TlsLink)
            link._hub = self._hub
            link._session = self._session
            link._opener = self
            try:
                return link._dial(address)
            except (OSError, UsageError) as error:
                self._give_up()
                # A source address of another family than the target's is reported only if no other
                # target address failed by itself.
                if failure is None or isinstance(error, OSError):
                    failure = error
            except BaseException:
                self._give_up()
                raise
        self.set_error(failure)
        return 0

    cdef void _give_up(self) noexcept:
        cdef EpollLink link = self._link
        self._link = None
        if link is not None:
            link._opener = None
            link._shut()

    cdef int detach(self) except -1:
        self._give_up()
        return Opener.detach(self)

    cdef int expired(self, int64_t now_ns) except -1:
        self._give_up()
        return Opener.expired(self, now_ns)
