/* An echo server that costs little more than its system calls, so that clients are what is measured.
 *
 *     server HOST PORT [watch]
 *
 * Port 0 takes any free one; the first line of output tells which. GET /state answers with the
 * counts. With `watch`, the end of standard input is the end of the server; so is SIGTERM.
 * Messages are whole frames of up to 4,000 bytes. Who sends more, breaks the protocol or does not
 * read its echoes loses the connection, which the bench then notices. */
#define _GNU_SOURCE
#include "accept.h"
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 4096, LONGEST = 4000, EVENTS = 512 };
enum { CLOSE = 8, PING = 9, PONG = 10 };

struct peer {
    int fd;
    int upgraded;
    size_t used;
    uint8_t in[ROOM + 1];
};

static long connections, accepted;
static long long messages;

static int sent(int fd, const void *bytes, size_t size) {
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void drop(struct peer *peer) {
    connections -= peer->upgraded;
    close(peer->fd);
    free(peer);
}

/* 0: the connection is to end. An unfinished head waits for more. */
static int request(struct peer *peer) {
    char *head = (char *)peer->in, answer[512], accept[29];
    head[peer->used] = 0;
    if (!strstr(head, "\r\n\r\n"))
        return peer->used < ROOM;
    if (!strncmp(head, "GET /state ", 11)) {
        char body[128];
        int size =
            snprintf(body, sizeof body,
                     "{\"connections\": %ld, \"accepted\": %ld, \"messages\": %lld}",
                     connections, accepted, messages);
        size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
                        size, body);
        sent(peer->fd, answer, (size_t)size);
        return 0;
    }
    char *key = strcasestr(head, "\r\nSec-WebSocket-Key:");
    if (!key || strlen(key += 20 + strspn(key + 20, " \t")) < 24)
        return 0;
    accept_of(key, accept);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                        accept);
    peer->used = 0; /* a client may not send frames before it has the answer */
    peer->upgraded = 1;
    connections++;
    accepted++;
    return sent(peer->fd, answer, (size_t)size);
}

/* Returns all whole frames with one send; keeps the rest. 0: the connection is to end. */
static int frames(struct peer *peer) {
    uint8_t out[ROOM], *at = peer->in, *end = peer->in + peer->used, *to = out;
    int open = 1;
    while (open && end - at >= 6) {
        size_t length = at[1] & 0x7f, header = 6;
        if (!(at[0] & 0x80) || !(at[1] & 0x80) || length == 127)
            return 0; /* in parts, not masked (RFC 6455 section 5.1), or 64 KiB and more */
        if (length == 126) {
            header = 8;
            if (end - at < 8)
                break;
            length = (size_t)at[2] << 8 | at[3];
        }
        if (length > LONGEST)
            return 0;
        if ((size_t)(end - at) < header + length)
            break;
        const uint8_t *mask = at + header - 4, *payload = at + header;
        int opcode = at[0] & 0x0f;
        at += header + length;
        if (opcode == PONG)
            continue;
        *to++ = (uint8_t)(0x80 | (opcode == PING ? PONG : opcode));
        *to++ = (uint8_t)(length < 126 ? length : 126);
        if (length >= 126) {
            *to++ = (uint8_t)(length >> 8);
            *to++ = (uint8_t)length;
        }
        for (size_t i = 0; i < length; i++)
            *to++ = payload[i] ^ mask[i & 3];
        open = opcode != CLOSE;
        messages += opcode < CLOSE;
    }
    if (to != out && !sent(peer->fd, out, (size_t)(to - out)))
        return 0;
    peer->used = (size_t)(end - at);
    if (peer->used)
        memmove(peer->in, at, peer->used);
    return open;
}

static void readable(struct peer *peer) {
    ssize_t got = read(peer->fd, peer->in + peer->used, ROOM - peer->used);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(peer);
        return;
    }
    peer->used += (size_t)got;
    if (!(peer->upgraded ? frames(peer) : request(peer)))
        drop(peer);
}

static void accept_all(int listener, int poll) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *peer = malloc(sizeof *peer);
        if (!peer)
            err(1, "no memory for a connection");
        peer->fd = fd, peer->upgraded = 0, peer->used = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = peer};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted) != 0)
            err(1, "epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        err(1, "accept");
}

static int listening(const char *host, int port) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof own;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (inet_pton(AF_INET, host, &own.sin_addr) != 1)
        errx(1, "%s is no IPv4 address", host);
    if (port) /* a free port that is found with it may turn out to be taken */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&own, &size))
        err(1, "cannot listen on %s:%d", host, port);
    printf("listening on ws://%s:%d\n", host, ntohs(own.sin_port));
    fflush(stdout);
    return fd;
}

static void end(int number) {
    (void)number;
    _exit(0);
}

int main(int count, char **words) {
    if (count < 3)
        errx(2, "usage: server HOST PORT [watch]");
    signal(SIGTERM, end);
    signal(SIGINT, end);
    int poll = epoll_create1(EPOLL_CLOEXEC), listener = listening(words[1], atoi(words[2]));
    /* The addresses of these two tell their events from those of peers. */
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &listener}, ready[EVENTS];
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted) != 0)
        err(1, "epoll");
    wanted.data.ptr = &connections;
    if (count > 3 && epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &wanted) != 0)
        err(1, "cannot watch standard input");
    for (;;) {
        int found = epoll_wait(poll, ready, EVENTS, -1);
        for (int i = 0; i < found; i++) {
            char ignored[ROOM];
            if (ready[i].data.ptr == &listener)
                accept_all(listener, poll);
            else if (ready[i].data.ptr != &connections)
                readable(ready[i].data.ptr);
            else if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
                return 0;
        }
    }
}
