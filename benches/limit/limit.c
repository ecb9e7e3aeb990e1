/* What echo users cost on this kernel at the least: users in C that do nothing else.
 *
 *     limit HOST PORT USERS SECONDS [IN_FLIGHT [RATE]]
 *
 * Closed loops (RATE 0 or none): every user sends IN_FLIGHT (1) messages of 50 bytes of text with
 * one send(2), and sends them again when all are back; one read(2) for what has come, one
 * epoll_wait(2) for all that are ready. IN_FLIGHT 0: the users connect and stay idle; with a RATE so
 * many connect each second, asking for the upgrade at once and reading the answer when it is there.
 *
 * Paced (IN_FLIGHT 1): RATE round trips a second, each user in its turn. One timerfd, which tells
 * how many are due; what is due while a user still waits for its answer is sent when it has it.
 *
 * The mask is fixed; each message is framed anew. Prints the round trips and the seconds at the
 * end. */
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
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 50, SENT = 2 + 4 + TEXT, ANSWER = 2 + TEXT, EVENTS = 512, HEAD = 4096 };
enum { MOST_IN_FLIGHT = 16 };

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

struct user {
    int fd;
    int waiting; /* messages whose answers are to come */
    int owed;    /* paced messages that were due in that time */
    int got;     /* bytes of the answers so far */
    uint8_t answers[MOST_IN_FLIGHT * ANSWER];
};

static double now_s(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* RFC 6455 section 5.2: FIN and text, MASK and length, masking key, payload. */
static void send_texts(struct user *user, int count) {
    uint8_t frames[MOST_IN_FLIGHT * SENT], *to = frames;
    for (int i = 0; i < count; i++, to += SENT) {
        to[0] = 0x81, to[1] = 0x80 | TEXT;
        memcpy(to + 2, MASK, 4);
        for (int j = 0; j < TEXT; j++)
            to[6 + j] = (uint8_t)('x' ^ MASK[j & 3]);
    }
    if (send(user->fd, frames, (size_t)(to - frames), MSG_NOSIGNAL) != to - frames)
        err(1, "send of %d bytes", (int)(to - frames));
    user->waiting = count, user->got = 0;
}

/* RFC 6455 section 4.1. The key need not be a secret, nor another one for each connection. */
static void ask(int fd, const char *host, int port) {
    char head[HEAD];
    int size = snprintf(head, HEAD,
                        "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        host, port);
    if (send(fd, head, (size_t)size, MSG_NOSIGNAL) != size)
        err(1, "send of the upgrade");
}

static void read_answer(int fd) {
    char head[HEAD + 1];
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

/* The kernel's search for a free port is no part of the limit: on loopback each thousand users has
 * a source address of its own. */
static int dialled(const char *host, int port, int index, int flags) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}, own = {0};
    if (inet_pton(AF_INET, host, &peer.sin_addr) != 1)
        errx(1, "%s is no IPv4 address", host);
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0), on = 1;
    if (index >= 1000 && ntohl(peer.sin_addr.s_addr) >> 24 == 127) {
        own.sin_family = AF_INET;
        own.sin_addr.s_addr = htonl(0x7f000001 + (uint32_t)index / 1000 % 50);
        if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
            bind(fd, (struct sockaddr *)&own, sizeof own) != 0)
            err(1, "bind to another source address");
    }
    if (fd < 0 ||
        (connect(fd, (struct sockaddr *)&peer, sizeof peer) != 0 && errno != EINPROGRESS))
        err(1, "connect to %s:%d", host, port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ask(fd, host, port);
    return fd;
}

static int connected(const char *host, int port, int index) {
    int fd = dialled(host, port, index, 0);
    read_answer(fd);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        err(1, "fcntl");
    return fd;
}

/* Reads what has come; returns how many answers were the last of those in flight, checked. */
static int answered(struct user *user) {
    int wanted = user->waiting * ANSWER, count = user->waiting;
    ssize_t got = read(user->fd, user->answers + user->got, (size_t)(wanted - user->got));
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return 0;
        err(1, "the server closed");
    }
    user->got += (int)got;
    if (user->got < wanted)
        return 0;
    for (uint8_t *at = user->answers; at < user->answers + wanted; at += ANSWER)
        if (at[0] != 0x81 || at[1] != TEXT)
            errx(1, "not an echo: %02x %02x", at[0], at[1]);
    user->waiting = 0;
    return count;
}

/* A timer that is ready as soon as something is due, RATE times a second. */
static int pacer(int poll, double rate) {
    long long period_ns = (long long)(1e9 / rate + 0.5);
    struct timespec period = {.tv_sec = period_ns / 1000000000, .tv_nsec = period_ns % 1000000000};
    struct itimerspec spec = {.it_interval = period, .it_value = period};
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) != 0 ||
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted) != 0)
        err(1, "timerfd");
    return fd;
}

static void watch(int poll, struct user *user) {
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = user};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, user->fd, &wanted) != 0)
        err(1, "epoll_ctl");
}

/* Over loopback the connection is there when connect(2) returns, and the answer comes whole. */
static void come(int poll, struct user *all, int users, double rate, const char *host, int port) {
    struct epoll_event ready[EVENTS];
    int timer = pacer(poll, rate), begun = 0, opened = 0;
    while (opened < users) {
        int found = epoll_wait(poll, ready, EVENTS, -1);
        for (int i = 0; i < found; i++) {
            struct user *user = ready[i].data.ptr;
            uint64_t due = 0;
            if (user)
                read_answer(user->fd), opened++;
            else if (read(timer, &due, sizeof due) < 0 && errno != EAGAIN)
                err(1, "read of the timerfd");
            for (; due > 0 && begun < users; due--, begun++) {
                all[begun].fd = dialled(host, port, begun, SOCK_NONBLOCK);
                watch(poll, &all[begun]);
            }
        }
    }
    close(timer);
}

/* Sends what is due by now, round the users; returns whose turn is next. */
static int send_due(int timer, struct user *all, int users, int next) {
    uint64_t due = 0;
    if (read(timer, &due, sizeof due) < 0 && errno != EAGAIN)
        err(1, "read of the timerfd");
    for (; due > 0; due--, next = (next + 1) % users) {
        if (all[next].waiting)
            all[next].owed++;
        else
            send_texts(&all[next], 1);
    }
    return next;
}

static uint64_t run(int poll, struct user *all, int users, double end_s, int in_flight, int timer) {
    struct epoll_event ready[EVENTS];
    uint64_t round_trips = 0;
    int next = 0;
    while (now_s() < end_s) {
        int found = epoll_wait(poll, ready, EVENTS, 100);
        for (int i = 0; i < found; i++) {
            struct user *user = ready[i].data.ptr;
            int answers = 0;
            if (!user)
                next = send_due(timer, all, users, next);
            else if (!user->waiting)
                errx(1, "the server closed, or sent what nobody asked for");
            else
                answers = answered(user);
            round_trips += (uint64_t)answers;
            if (answers && timer < 0)
                send_texts(user, in_flight);
            else if (answers && user->owed)
                user->owed--, send_texts(user, 1);
        }
    }
    return round_trips;
}

int main(int count, char **words) {
    if (count < 5 || count > 7)
        errx(2, "usage: limit HOST PORT USERS SECONDS [IN_FLIGHT [RATE]]");
    int port = atoi(words[2]), users = atoi(words[3]), poll = epoll_create1(0), timer = -1;
    int in_flight = count > 5 ? atoi(words[5]) : 1;
    double seconds = atof(words[4]), rate = count > 6 ? atof(words[6]) : 0;
    struct user *all = calloc((size_t)(users > 0 ? users : 1), sizeof *all);
    if (poll < 0 || !all || users < 1)
        errx(2, "no users to run");
    if (in_flight < 0 || in_flight > MOST_IN_FLIGHT || (rate > 0 && in_flight > 1))
        errx(2, "IN_FLIGHT must be from 0 to %d, with a RATE 0 or 1", MOST_IN_FLIGHT);
    if (rate > 0 && in_flight == 0)
        come(poll, all, users, rate, words[1], port);
    else
        for (int i = 0; i < users; i++) {
            all[i].fd = connected(words[1], port, i);
            watch(poll, &all[i]);
        }
    if (rate > 0 && in_flight)
        timer = pacer(poll, rate);
    else
        for (int i = 0; in_flight && i < users; i++)
            send_texts(&all[i], in_flight);
    double start_s = now_s();
    uint64_t round_trips = run(poll, all, users, start_s + seconds, in_flight, timer);
    printf("%llu round trips in %.3f s\n", (unsigned long long)round_trips, now_s() - start_s);
    return 0;
}
