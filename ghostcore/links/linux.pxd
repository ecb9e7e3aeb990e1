"""What the epoll link needs of the system: epoll, sockets, addresses."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define _GNU_SOURCE 1
    #if defined(__linux__)
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    /* In a process with threads the library's send() and recv() are points where a thread may be
     * cancelled, and pay for it each time. */
    #ifdef SYS_sendto
    static inline ssize_t ghost_send(int fd, const void *data, size_t size, int flags) {
        return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
    }
    static inline ssize_t ghost_recv(int fd, void *data, size_t size, int flags) {
        return syscall(SYS_recvfrom, fd, data, size, flags, NULL, NULL);
    }
    #else
    #define ghost_send send
    #define ghost_recv recv
    #endif
    #ifndef IP_LOCAL_PORT_RANGE
    #define IP_LOCAL_PORT_RANGE 51      /* Linux 6.3; the headers may be older */
    #endif
    #else
    #error "the epoll link is for Linux: leave epoll_link.pyx out of the build elsewhere"
    #endif
    """
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags) nogil
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event) nogil
    int epoll_wait(int epoll, epoll_event *events, int most, int timeout_ms) nogil
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
    struct sockaddr:
        pass
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        uint32_t sin6_scope_id
        in6_addr sin6_addr
    struct sockaddr_storage:
        pass
    enum:
        AF_INET
        AF_INET6
        SOCK_STREAM
        SOCK_NONBLOCK
        SOCK_CLOEXEC
        IPPROTO_TCP
        IPPROTO_IP
        TCP_NODELAY
        SOL_SOCKET
        SO_ERROR
        IP_BIND_ADDRESS_NO_PORT
        IP_LOCAL_PORT_RANGE
        MSG_NOSIGNAL
        SHUT_WR
    uint16_t htons(uint16_t value) nogil
    int inet_pton(int family, const char *text, void *address) nogil
    int c_socket "socket" (int family, int kind, int protocol) nogil
    int c_connect "connect" (int fd, const sockaddr *address, unsigned int size) nogil
    int c_bind "bind" (int fd, const sockaddr *address, unsigned int size) nogil
    int setsockopt(int fd, int level, int name, const void *value, unsigned int size) nogil
    int getsockopt(int fd, int level, int name, void *value, unsigned int *size) nogil
    ssize_t c_send "ghost_send" (int fd, const void *data, size_t size, int flags) nogil
    ssize_t c_recv "ghost_recv" (int fd, void *data, size_t size, int flags) nogil
    int c_shutdown "shutdown" (int fd, int how) nogil
