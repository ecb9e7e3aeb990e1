"""The link for Linux: sockets of our own on an epoll descriptor of our own."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ghostcore.sessions.session cimport Opener, Session
from ghostcore._engine cimport Engine, Link


cdef enum LinkState:
    LINK_CONNECTING     # connect(2) is under way
    LINK_SECURING       # the TLS handshake is under way
    LINK_UPGRADING      # the request is out, the answer is not whole
    LINK_OPEN
    LINK_CLOSING        # what is buffered is sent, then our end of the stream; no more is handed out
    LINK_CLOSED


cdef enum:
    HELD_MAX = 8        # of 1 to 64 the most that still gained


cdef struct Held:
    PyObject *link          # owned
    Py_ssize_t size         # of its frames
    int64_t msgs            # data messages among them
    int64_t since_ns        # when what made it send them was read


cdef class Hub:
    cdef readonly Engine engine
    cdef readonly int64_t live      # links whose descriptor is open
    cdef PyObject **_links          # by descriptor; each a reference that is owned, or NULL
    cdef int _links_size
    cdef int _epoll_fd
    cdef uint32_t _generation
    cdef uint64_t _mask_state
    cdef char *_received
    cdef char *_sealed              # what TLS links received, until their TLS has taken it
    cdef dict _filled               # see fill_address()
    cdef EpollLink _corking         # the link that is being read, if any
    cdef char *_corked              # frames of the links in _held, then what _corking has sent
    cdef Py_ssize_t _corked_size
    cdef int64_t _corked_msgs       # data messages that _corking has sent
    cdef Py_ssize_t _held_size      # of the frames of _held
    cdef Held _held[HELD_MAX]       # read in this batch; their frames go out together
    cdef int _held_count
    cdef readonly bint closed

    cdef uint32_t _next_mask(self) noexcept
    cdef int _handle(self, EpollLink link, uint32_t events) except -1
    cdef int _uncork(self) except -1
    cdef int _hold(self) except -1
    cdef int _send_held(self) except -1
    cdef int _register(self, EpollLink link, uint32_t events) except -1
    cdef void _forget(self, EpollLink link) noexcept


cdef class EpollLink(Link):
    cdef Hub _hub
    cdef Session _session
    cdef EpollOpener _opener         # until the upgrade is done
    cdef int _fd
    cdef uint32_t _generation
    cdef LinkState _state
    cdef bint _watching_room
    cdef bint _close_sent
    cdef bint _held                 # frames that it sent wait in the hub
    cdef bint _discarding           # nothing that comes is of interest any more
    cdef char *_backlog             # what the socket did not take yet
    cdef Py_ssize_t _backlog_start
    cdef Py_ssize_t _backlog_size
    cdef Py_ssize_t _backlog_capacity
    cdef char *_partial             # the begin of a frame, or of the answer to the upgrade
    cdef Py_ssize_t _partial_size
    cdef Py_ssize_t _partial_capacity

    cdef int _dial(self, object address) except -1
    cdef bint _ask(self) except -1
    cdef bytes _first_bytes(self)
    cdef int _asked(self, int64_t now_ns) except -1
    cdef int _poll_for(self, uint32_t events) except -1
    cdef int _connected(self) except -1
    cdef int _readable(self) except -1
    cdef Py_ssize_t _take(self, char *into, Py_ssize_t room) except? -2
    cdef int _consume(self, const char *data, Py_ssize_t size) except -1
    cdef Py_ssize_t _frames(self, const char *data, Py_ssize_t size, Py_ssize_t *wanted) except -1
    cdef Py_ssize_t _answer(self, const char *data, Py_ssize_t size) except -1
    cdef int _keep(self, const char *data, Py_ssize_t size, Py_ssize_t wanted) except -1
    cdef int _write(self, const char *data, Py_ssize_t size) except -1
    cdef int _queue(self, const char *data, Py_ssize_t size) except -1
    cdef int _backlog_append(self, const char *data, Py_ssize_t size) except -1
    cdef int _flush(self) except -1
    cdef int _lost(self, object error) except -1
    cdef int _refused(self, str detail) except -1
    cdef void _discard(self) noexcept
    cdef int _end_stream(self) except -1
    cdef void _shut(self) noexcept


cdef class TlsLink(EpollLink):
    """TLS between the socket and the frames."""
    cdef object _tls                # SSLObject over the two
    cdef object _incoming
    cdef object _outgoing
    cdef bytes _hello               # until it is sent
    cdef bytes _unsealed            # what TLS did not take for sending, since it must read first
    cdef bint _drained

    cdef bint _shake(self) except -1
    cdef int _secured(self) except -1
    cdef int _unseal(self) except -1
    cdef int _seal(self, const char *data, Py_ssize_t size) except -1
    cdef int _send_sealed(self) except -1
    cdef int _answer_sealed(self) except -1


cdef class EpollOpener(Opener):
    """Dials before it waits for the upgrade."""
    cdef Hub _hub
    cdef EpollLink _link            # until the upgrade is done
    cdef list _addresses            # (family, address): those that are still to be tried
    cdef object _local_address
    cdef object _tls_context        # None: no TLS
    cdef str _server_hostname
    cdef object _sock
    cdef bytes _request
    cdef object _upgrade
    cdef int64_t _since_ns
    cdef int64_t _connected_ns

    cdef int _dial_next(self, object failure) except -1
    cdef void _give_up(self) noexcept
