"""What the sessions of one loop tell of the generator itself, kept in C on the way.

A frame is stamped when it is parsed, but it was ready when its batch began: the difference is time
that the generator added. So is what a frame of ours waited for others to go out with. Either costs a
subtraction and a histogram cell a frame.
"""

from libc.stdint cimport int64_t

from ghostcore.metrics.histogram cimport Histogram

cdef extern from *:
    """
    #if defined(__linux__)
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <string.h>
    #include <sys/socket.h>
    /* The smoothed round trip in us and the segments sent again; 0 if the socket does not tell. */
    static int ghost_tcp_figures(int fd, unsigned *rtt_us, unsigned *retransmits) {
        struct tcp_info info;
        socklen_t size = sizeof(info);
        memset(&info, 0, sizeof(info));
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
            return 0;
        *rtt_us = info.tcpi_rtt;
        *retransmits = info.tcpi_total_retrans;
        return 1;
    }
    #else
    static int ghost_tcp_figures(int fd, unsigned *rtt_us, unsigned *retransmits) { return 0; }
    #endif
    """
    int ghost_tcp_figures(int fd, unsigned int *rtt_us, unsigned int *retransmits) nogil


cdef class Vitals:
    """What the sessions of one loop tell of the generator itself, drained once a second.

    :ivar backlog_bytes: bytes that sessions have written and their sockets have not taken yet.
    """

    def __init__(self):
        self._waited = Histogram()      # in ns
        self._tcp = []

    cdef int stamped(self, int64_t arrived_ns) except -1:
        if self.batch_ns:
            self._waited.record(arrived_ns - self.batch_ns)
        return 0

    cdef int waited(self, int64_t elapsed_ns, int frames) except -1:
        self._waited.record(elapsed_ns, frames)
        return 0

    cdef int ask_tcp(self, int fd) except -1:
        cdef unsigned int rtt_us = 0, retransmits = 0
        if ghost_tcp_figures(fd, &rtt_us, &retransmits) and rtt_us:
            self.tcp_wanted -= 1
            self._tcp.append((rtt_us, retransmits))
        return 0

    def take_stamps(self):
        """How long frames had waited in their batch to be stamped or sent, since the last call.

        :returns: (number of frames, 99th percentile in ns, greatest in ns); zeros without frames.
        """
        cdef Histogram waited = self._waited
        if waited.count == 0:
            return 0, 0, 0
        taken = (waited.count, waited.value_at_quantile(0.99), waited._max)
        waited.clear()
        return taken

    def take_tcp(self, int wanted):
        """What the kernel knew of connections that have ended since the last call.

        :param wanted: so many of those that end until the next call are asked, at the most.
        :returns: (smoothed round trip in us, retransmitted segments) of each connection.
        """
        taken, self._tcp = self._tcp, []
        self.tcp_wanted = wanted
        return taken
