/* How fast a closed echo loop can be on this kernel: users in C that do nothing else.
 *
 *     limit HOST PORT USERS SECONDS
 *
 * Every user sends 50 bytes of text and sends them again when they are back: one read(2) and one
 * send(2) for each round trip, one epoll_wait(2) for all that are ready. The mask is fixed; each
 * message is framed anew. Prints the round trips and the seconds at the end. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 50, SENT = 2 + 4 + TEXT, ANSWER = 2 + TEXT, EVENTS = 512, HEAD = 4096 };

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

struct user {
    int fd;
    int got; /* bytes of the answer in parts so far */
    uint8_t answer[ANSWER];
};

static double now_s(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* RFC 6455 section 5.2: FIN and text, MASK and length, masking key, payload. */
static void send_text(int fd) {
    uint8_t frame[SENT] = {0x81, 0x80 | TEXT};
    memcpy(frame + 2, MASK, 4);
    for (int i = 0; i < TEXT; i++)
        frame[6 + i] = (uint8_t)('x' ^ MASK[i & 3]);
    if (send(fd, frame, SENT, MSG_NOSIGNAL) != SENT)
        err(1, "send of %d bytes", SENT);
}

/* RFC 6455 section 4.1. The key need not be a secret, nor another one for each connection. */
static void upgrade(int fd, const char *host, int port) {
    char head[HEAD + 1];
    int size = snprintf(head, HEAD,
                        "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        host, port);
    if (send(fd, head, (size_t)size, MSG_NOSIGNAL) != size)
        err(1, "send of the upgrade");
    ssize_t all = 0;
    do {
        ssize_t got = recv(fd, head + all, (size_t)(HEAD - all), 0);
        if (got <= 0)
            err(1, "no answer to the upgrade");
        all += got;
        head[all] = 0;
    } while (!strstr(head, "\r\n\r\n"));
    if (strncmp(head, "HTTP/1.1 101", 12) != 0)
        errx(1, "not upgraded: %.60s", head);
}

static int connected(const char *host, int port) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &peer.sin_addr) != 1)
        errx(1, "%s is no IPv4 address", host);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof peer) != 0)
        err(1, "connect to %s:%d", host, port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    upgrade(fd, host, port);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        err(1, "fcntl");
    return fd;
}

/* Returns 1 when an answer is whole, checked and followed by the next message. */
static int answered(struct user *user) {
    ssize_t got = read(user->fd, user->answer + user->got, (size_t)(ANSWER - user->got));
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return 0;
        err(1, "the server closed");
    }
    user->got += (int)got;
    if (user->got < ANSWER)
        return 0;
    if (user->answer[0] != 0x81 || user->answer[1] != TEXT)
        errx(1, "not an echo: %02x %02x", user->answer[0], user->answer[1]);
    user->got = 0;
    send_text(user->fd);
    return 1;
}

int main(int count, char **words) {
    if (count != 5)
        errx(2, "usage: limit HOST PORT USERS SECONDS");
    int port = atoi(words[2]), users = atoi(words[3]), poll = epoll_create1(0);
    double seconds = atof(words[4]);
    struct user *all = calloc((size_t)(users > 0 ? users : 1), sizeof *all);
    if (poll < 0 || !all || users < 1)
        errx(2, "no users to run");
    for (int i = 0; i < users; i++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = connected(words[1], port);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &wanted) != 0)
            err(1, "epoll_ctl");
    }
    for (int i = 0; i < users; i++)
        send_text(all[i].fd);
    double start_s = now_s(), end_s = start_s + seconds, at_s;
    uint64_t round_trips = 0;
    struct epoll_event ready[EVENTS];
    while ((at_s = now_s()) < end_s) {
        int found = epoll_wait(poll, ready, EVENTS, 100);
        for (int i = 0; i < found; i++)
            round_trips += (uint64_t)answered(ready[i].data.ptr);
    }
    printf("%llu round trips in %.3f s\n", (unsigned long long)round_trips, at_s - start_s);
    return 0;
}
