# Part of epoll_link.pyx: what the links of one loop share.

cdef class Hub:
    """The epoll links of one engine.

    :ivar engine: whose loop the links run on.
    :ivar live: links whose descriptor is open.
    :ivar closed: :meth:`close` was called.
    """

    def __cinit__(self):
        self._epoll_fd = -1

    def __init__(self, Engine engine not None):
        self.engine = engine
        self._filled = {}
        self._received = <char *>PyMem_Malloc(RECEIVE_SIZE)
        if self._received == NULL:
            raise MemoryError()
        # The author of a payload must not be able to predict its mask (RFC 6455 section 5.3).
        self._mask_state = int.from_bytes(os.urandom(8), "little") | 1
        self._epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self._epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        engine.loop.add_reader(self._epoll_fd, self._on_ready)

    def __dealloc__(self):
        cdef int fd
        for fd in range(self._links_size):
            if self._links[fd] != NULL:
                Py_DECREF(<object>self._links[fd])
        PyMem_Free(self._links)
        PyMem_Free(self._received)
        PyMem_Free(self._sealed)
        PyMem_Free(self._corked)
        if self._epoll_fd >= 0:
            c_close(self._epoll_fd)

    def connect(self, Session session not None, attempt, int64_t limit_ns, int64_t since_ns,
             list addresses, local_address, upgrade not None, sock=None, tls_context=None,
             str server_hostname=None):
        """Connect and upgrade; awaiting what is returned gives the session when it is ready.

        :param attempt, limit_ns: as for Opener.
        :param since_ns: when the connection began, for the time that TCP took.
        :param addresses: (family, (host, port)) or (family, (host, port, flow, scope)), the hosts
            as numerals; they are tried in order.
        :param local_address: numeral of the address to connect from, or None.
        :param upgrade: the Upgrade to ask for.
        :param sock: a connected socket to use instead of connecting to an address; the link takes
            its descriptor.
        :param tls_context: SSLContext of a connection by TLS.
        :param server_hostname: whom the certificate must be for.
        """
        cdef EpollOpener op = EpollOpener.__new__(EpollOpener)
        op._queue = self.engine.timers
        op._session = session
        op._attempt = attempt
        op._limit_ns = limit_ns
        op._since_ns = since_ns
        op._hub = self
        op._addresses = addresses
        op._local_address = local_address
        op._upgrade = upgrade
        op._request = upgrade.request
        op._sock = sock
        op._tls_context = tls_context
        op._server_hostname = server_hostname
        return op

    def close(self) -> None:
        """Close every connection and give the descriptor back. Idempotent."""
        cdef int fd
        if self.closed:
            return
        self.closed = True
        for fd in range(self._links_size):
            if self._links[fd] != NULL:
                if self.engine.loop.is_closed():
                    (<EpollLink>self._links[fd])._shut()    # its session's callbacks cannot run any more
                else:
                    (<EpollLink>self._links[fd]).abort()
        if not self.engine.loop.is_closed():
            self.engine.loop.remove_reader(self._epoll_fd)
        c_close(self._epoll_fd)
        self._epoll_fd = -1

    @cython.overflowcheck(False)
    cdef uint32_t _next_mask(self) noexcept:
        # SplitMix64, seeded by the system.
        cdef uint64_t z
        self._mask_state += 0x9E3779B97F4A7C15ULL
        z = self._mask_state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
        return <uint32_t>(z ^ (z >> 31))

    cdef int _register(self, EpollLink link, uint32_t events) except -1:
        cdef epoll_event event
        cdef int size, fd = link._fd
        cdef PyObject **links
        if fd >= self._links_size:
            size = max(fd + 1, 2 * self._links_size, 256)
            links = <PyObject **>PyMem_Realloc(self._links, size * sizeof(PyObject *))
            if links == NULL:
                raise MemoryError()
            memset(links + self._links_size, 0, (size - self._links_size) * sizeof(PyObject *))
            self._links = links
            self._links_size = size
        self._generation += 1
        link._generation = self._generation
        event.events = events
        event.data.u64 = (<uint64_t>link._generation << 32) | <uint32_t>fd
        if epoll_ctl(self._epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0:
            raise OSError(errno, os.strerror(errno))
        Py_INCREF(link)
        self._links[fd] = <PyObject *>link
        self.live += 1
        return 0

    cdef void _forget(self, EpollLink link) noexcept:
        cdef PyObject *known
        if link._fd < self._links_size:
            known = self._links[link._fd]
            if known == <PyObject *>link:
                self._links[link._fd] = NULL
                self.live -= 1
                Py_DECREF(link)

    def _on_ready(self):
        cdef epoll_event events[EVENTS_MAX]
        cdef int i, fd, count
        cdef EpollLink link
        cdef PyObject *known
        count = epoll_wait(self._epoll_fd, events, EVENTS_MAX, 0)
        self.engine.vitals.batch_ns = self.engine.timers.now()
        for i in range(count):
            self.engine.timers.work_done += 1
            fd = <int>(events[i].data.u64 & 0xFFFFFFFF)
            known = self._links[fd]
            if known == NULL:
                continue
            link = <EpollLink>known
            if link._generation != events[i].data.u64 >> 32:
                continue    # an event of a connection that was closed in this very batch
            try:
                self._handle(link, events[i].events)
            except BaseException as error:
                self._corking = None
                self._corked_size = self._held_size
                self._corked_msgs = 0
                self._broken(link, error)
            if self.closed:
                break
        self._send_held()
        self.engine.vitals.batch_ns = 0

    cdef int _handle(self, EpollLink link, uint32_t events) except -1:
        if link._state == LINK_CONNECTING:
            return link._connected()
        if events & (EPOLLIN | EPOLLERR | EPOLLHUP):
            self._corking = link
            link._readable()
            self._hold()
        if events & EPOLLOUT:
            if link._held:      # if the socket is dead, it has to be seen that they were not sent
                self._send_held()
            if link._state != LINK_CLOSED:
                link._flush()
        return 0

    cdef int _hold(self) except -1:
        """Keep what the link that was read has sent meanwhile until a few others have had their steps.

        Sent in a row, frames of several connections find the caches of the kernel's sending side warm,
        and wake a server that sleeps once. They wait HELD_NS and one step at the most.
        """
        cdef EpollLink link = self._corking
        cdef Py_ssize_t size = self._corked_size - self._held_size
        cdef int64_t since_ns
        self._corking = None
        if size == 0:
            return 0
        since_ns = max(link._session.arrived_ns, self.engine.vitals.batch_ns)
        Py_INCREF(link)
        link._held = True
        self._held[self._held_count] = Held(<PyObject *>link, size, self._corked_msgs, since_ns)
        self._corked_msgs = 0
        self._held_count += 1
        self._held_size = self._corked_size
        if (self._held_count == HELD_MAX or self._held_size > CORK_MAX // 2
                or since_ns - self._held[0].since_ns > HELD_NS):
            return self._send_held()
        return 0

    cdef int _send_held(self) except -1:
        cdef int i, count = self._held_count
        cdef Py_ssize_t at = 0
        cdef int64_t now_ns
        cdef EpollLink link
        cdef Held held
        cdef list broken = None
        if count == 0:
            return 0
        if count > 1:   # a single link waited for no other; of several, the first waited longest
            now_ns = self.engine.timers.now()
            self.engine.vitals.waited(now_ns - self._held[0].since_ns, count)
        self._held_count = 0
        for i in range(count):
            held = self._held[i]
            link = <EpollLink>held.link
            Py_DECREF(link)
            link._held = False
            try:
                if link._state != LINK_CLOSED:
                    link._write(self._corked + at, held.size)
            except ClosedByPeer:
                # The next event of the socket tells the session.
                unsent(link._session, held.msgs, held.size)
            except BaseException as error:
                if broken is None:
                    broken = []
                broken.append((link, error))
            at += held.size
        # What the link that is being read has sent so far stays.
        self._corked_size -= at
        if self._corked_size:
            memmove(self._corked, self._corked + at, self._corked_size)
        self._held_size = 0
        if broken is not None:
            for link, error in broken:  # it lets scenarios take steps, which send
                self._broken(link, error)
        return 0

    cdef int _uncork(self) except -1:
        """Send the frames of the link that is being read in one piece, then those of other links
        that are held."""
        self._hold()
        return self._send_held()

    def _broken(self, EpollLink link, error):
        """Our own code raised on behalf of a link: the state of its connection is unknown, so end
        it."""
        session = link._session
        tell_of(self.engine.loop, f"ghostcore failed on a connection to {session.url}", error)
        failure = EngineError(f"handling a connection failed: {error!r}")
        failure.__cause__ = error
        link._shut()
        if link._opener is not None and link._opener._state == WAITER_PENDING:
            link._opener.fail(failure)
            return
        (<Session>session)._end(failure)
        (<Session>session).link_lost(None)


cdef int unsent(Session session, int64_t msgs, Py_ssize_t size) except -1:
    """These frames of ours did not reach the socket: they do not count as sent."""
    session.msgs_sent -= msgs
    session._traffic.msgs_sent -= msgs
    session._traffic.bytes_sent -= size
    return 0
