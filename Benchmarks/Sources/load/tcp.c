#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_MAX = 1024, INPUT_BYTES = 1 << 20 };

struct connection {
    int descriptor;
    uint8_t *input;
    size_t input_count;
    uint64_t sent_at[WINDOW_MAX];
    uint32_t next_xid, answered_xid;
};

static uint8_t output[WINDOW_MAX * (MESSAGE_BYTES_MAX + 4)];

static void top_up(const struct options *options, struct connection *connection, struct tally *tally)
{
    size_t count = 0;
    uint64_t now = now_ns();
    while (connection->next_xid - connection->answered_xid < options->in_flight) {
        uint32_t xid = connection->next_xid++;
        const struct message *message = &options->messages[xid % options->message_count];
        put_xid(output + count, 0x80000000u | (uint32_t)message->count);
        memcpy(output + count + 4, message->bytes, message->count);
        put_xid(output + count + 4, xid);
        connection->sent_at[xid % WINDOW_MAX] = now;
        count += 4 + message->count;
        tally->sent++;
    }
    for (size_t done = 0; done < count;) {
        ssize_t sent = send(connection->descriptor, output + done, count - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            die("send");
        if (sent > 0)
            done += (size_t)sent;
    }
}

/* Where the record that begins there ends, all its fragments; 0: it is not whole yet. */
static size_t record_end(const struct connection *connection, size_t at)
{
    while (connection->input_count - at >= 8) {
        uint32_t mark = get_word(connection->input + at);
        size_t count = mark & 0x7fffffff;
        if (connection->input_count - at < 4 + count)
            return 0;
        at += 4 + count;
        if (mark & 0x80000000u)
            return at;
    }
    return 0;
}

static void take(struct connection *connection, struct tally *tally)
{
    ssize_t got = recv(connection->descriptor, connection->input + connection->input_count,
                       INPUT_BYTES - connection->input_count, MSG_DONTWAIT);
    if (got == 0) {
        errno = ECONNRESET;
        die("the server closed the connection");
    }
    if (got < 0) {
        if (errno == EAGAIN)
            return;
        die("recv");
    }
    connection->input_count += (size_t)got;
    uint64_t now = now_ns();
    size_t at = 0, end;
    while ((end = record_end(connection, at))) {
        uint32_t xid = get_word(connection->input + at + 4);
        count_reply(tally, connection->input + at + 4, end - at - 4, now - connection->sent_at[xid % WINDOW_MAX]);
        connection->answered_xid++;
        at = end;
    }
    memmove(connection->input, connection->input + at, connection->input_count - at);
    connection->input_count -= at;
}

int run_tcp(const struct options *options)
{
    struct connection *connections = calloc(options->connections, sizeof *connections);
    struct pollfd *polls = calloc(options->connections, sizeof *polls);
    struct tally tally = { 0 };
    for (unsigned i = 0; i < options->connections; i++) {
        int descriptor = socket(options->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (descriptor < 0 || connect(descriptor, (const struct sockaddr *)&options->to, options->to_length) < 0)
            die("connect");
        int one = 1;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[i].descriptor = descriptor;
        connections[i].input = malloc(INPUT_BYTES);
        polls[i] = (struct pollfd){ .fd = descriptor, .events = POLLIN };
    }
    uint64_t start = now_ns(), end = start + (uint64_t)(options->seconds * 1e9);
    while (now_ns() < end) {
        for (unsigned i = 0; i < options->connections; i++)
            top_up(options, &connections[i], &tally);
        if (poll(polls, options->connections, 1000) == 0) {
            errno = ETIMEDOUT;
            die("no reply for a second");
        }
        for (unsigned i = 0; i < options->connections; i++)
            if (polls[i].revents)
                take(&connections[i], &tally);
    }
    tally.seconds = (double)(now_ns() - start) / 1e9;
    print_tally(&tally);
    return 0;
}
