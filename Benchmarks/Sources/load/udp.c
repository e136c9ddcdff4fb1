#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A call under way has a slot; the xid is generation and slot, so that a late reply is nobody's. */
enum { SLOT_BITS = 13 };

struct slot {
    uint64_t sent_at;
    uint32_t xid;
    bool is_busy;
};

struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    uint8_t bytes[BATCH][MESSAGE_BYTES_MAX];
    uint8_t controls[BATCH][CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct run {
    const struct options *options;
    struct tally tally;
    struct slot slots[SLOTS_MAX];
    uint32_t free_slots[SLOTS_MAX];
    unsigned free_count;
    uint32_t generation;
    uint64_t next;
    uint64_t started_at;
    struct batch out, in;
    int descriptor;
};

static void fill(struct run *run, unsigned index)
{
    const struct options *options = run->options;
    const struct message *message = &options->messages[run->next % options->message_count];
    uint32_t slot = run->free_slots[--run->free_count];
    run->generation = (run->generation + 1) & ((1u << (32 - SLOT_BITS)) - 1);
    uint32_t xid = run->generation << SLOT_BITS | slot;
    run->slots[slot] = (struct slot){ .sent_at = now_ns(), .xid = xid, .is_busy = true };
    memcpy(run->out.bytes[index], message->bytes, message->count);
    put_xid(run->out.bytes[index], xid);
    run->out.vectors[index] = (struct iovec){ .iov_base = run->out.bytes[index], .iov_len = message->count };
    struct msghdr *header = &run->out.headers[index].msg_hdr;
    *header = (struct msghdr){
        .msg_name = (void *)&options->to,
        .msg_namelen = options->to_length,
        .msg_iov = &run->out.vectors[index],
        .msg_iovlen = 1,
    };
    if (options->sources) {
        memset(run->out.controls[index], 0, sizeof run->out.controls[index]);
        header->msg_control = run->out.controls[index];
        header->msg_controllen = put_source(options, (uint32_t)(run->next % options->sources), header->msg_control);
    }
    run->next++;
}

static bool may_send(const struct run *run)
{
    const struct options *options = run->options;
    if (!run->free_count || (options->calls && run->next >= options->calls))
        return false;
    return !options->rate || run->next < (now_ns() - run->started_at) * options->rate / 1000000000;
}

static void send_free(struct run *run)
{
    while (may_send(run)) {
        unsigned count = 0;
        while (count < BATCH && may_send(run))
            fill(run, count++);
        unsigned done = 0;
        while (done < count) {
            int sent = sendmmsg(run->descriptor, run->out.headers + done, count - done, 0);
            if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
                die("sendmmsg");
            if (sent > 0)
                done += (unsigned)sent;
        }
        run->tally.sent += count;
    }
}

static void receive(struct run *run)
{
    for (unsigned i = 0; i < BATCH; i++) {
        run->in.vectors[i] = (struct iovec){ .iov_base = run->in.bytes[i], .iov_len = MESSAGE_BYTES_MAX };
        run->in.headers[i].msg_hdr = (struct msghdr){ .msg_iov = &run->in.vectors[i], .msg_iovlen = 1 };
    }
    /* Waits for the first for as long as SO_RCVTIMEO says. */
    int count = recvmmsg(run->descriptor, run->in.headers, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED)
            return;
        die("recvmmsg");
    }
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++) {
        if (run->in.headers[i].msg_len < 4)
            continue;
        uint32_t xid = get_word(run->in.bytes[i]);
        uint32_t number = xid & ((1u << SLOT_BITS) - 1);
        struct slot *slot = &run->slots[number];
        if (!slot->is_busy || slot->xid != xid)
            continue;
        count_reply(&run->tally, run->in.bytes[i], run->in.headers[i].msg_len, now - slot->sent_at);
        slot->is_busy = false;
        run->free_slots[run->free_count++] = number;
    }
}

static void give_up_late(struct run *run)
{
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < run->options->in_flight; i++) {
        struct slot *slot = &run->slots[i];
        if (!slot->is_busy || now - slot->sent_at < run->options->patience_ms * 1000000ull)
            continue;
        slot->is_busy = false;
        run->tally.lost++;
        run->free_slots[run->free_count++] = i;
    }
}

static volatile sig_atomic_t is_told_to_end;

static void end_now(int signal)
{
    (void)signal;
    is_told_to_end = 1;
}

int run_udp(const struct options *options)
{
    struct sigaction ending = { .sa_handler = end_now };
    sigaction(SIGTERM, &ending, NULL);
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        die("memory");
    run->options = options;
    run->descriptor = udp_socket(options);
    if (!options->sources && connect(run->descriptor, (const struct sockaddr *)&options->to, options->to_length) < 0)
        die("connect");
    /* At a rate, calls leave one by one, as those of many clients do. */
    struct timeval wait = { .tv_usec = options->rate > 50 ? 1000000 / options->rate : 20000 };
    setsockopt(run->descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    for (unsigned i = 0; i < options->in_flight; i++)
        run->free_slots[run->free_count++] = i;
    uint64_t start = now_ns(), end = start + (uint64_t)(options->seconds * 1e9), checked = start;
    run->started_at = start;
    for (;;) {
        uint64_t now = now_ns();
        bool is_done = is_told_to_end || (options->calls ? run->next >= options->calls : now >= end);
        if (is_done && (run->free_count == options->in_flight || !options->calls))
            break;
        send_free(run);
        receive(run);
        if (now - checked > 50000000) {
            give_up_late(run);
            checked = now;
        }
    }
    run->tally.seconds = (double)(now_ns() - start) / 1e9;
    print_tally(&run->tally);
    return 0;
}

/* Sends as fast as it can, and waits for nothing. */
int run_flood(const struct options *options)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        die("memory");
    run->options = options;
    run->descriptor = udp_socket(options);
    uint64_t start = now_ns(), end = start + (uint64_t)(options->seconds * 1e9);
    while (now_ns() < end) {
        for (unsigned i = 0; i < BATCH; i++)
            run->free_slots[i] = i;
        run->free_count = BATCH;
        for (unsigned i = 0; i < BATCH; i++)
            fill(run, i);
        int sent = sendmmsg(run->descriptor, run->out.headers, BATCH, 0);
        if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED && errno != EPERM)
            die("sendmmsg");
        if (sent > 0)
            run->tally.sent += (uint64_t)sent;
    }
    run->tally.seconds = (double)(now_ns() - start) / 1e9;
    print_tally(&run->tally);
    return 0;
}

/* The limit: each datagram goes back as it came, but for the message type, which a reply has. */
int run_echo(const struct options *options)
{
    struct batch *batch = calloc(1, sizeof *batch);
    static struct sockaddr_storage peers[BATCH];
    int descriptor = udp_socket(options);
    if (bind(descriptor, (const struct sockaddr *)&options->to, options->to_length) < 0)
        die("bind");
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++) {
            batch->vectors[i] = (struct iovec){ .iov_base = batch->bytes[i], .iov_len = MESSAGE_BYTES_MAX };
            batch->headers[i].msg_hdr = (struct msghdr){
                .msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &batch->vectors[i], .msg_iovlen = 1,
            };
        }
        int count = recvmmsg(descriptor, batch->headers, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            die("recvmmsg");
        }
        for (int i = 0; i < count; i++) {
            batch->vectors[i].iov_len = batch->headers[i].msg_len < 28 ? batch->headers[i].msg_len : 28;
            memset(batch->bytes[i] + 4, 0, 24);
            batch->bytes[i][7] = 1;
            batch->bytes[i][27] = 111;
        }
        int sent = 0;
        while (sent < count) {
            int more = sendmmsg(descriptor, batch->headers + sent, (unsigned)(count - sent), 0);
            if (more <= 0)
                break;
            sent += more;
        }
    }
}

/* Counts datagrams until nothing has come for half a second after the first. */
int run_sink(const struct options *options)
{
    struct batch *batch = calloc(1, sizeof *batch);
    int descriptor = udp_socket(options);
    if (bind(descriptor, (const struct sockaddr *)&options->to, options->to_length) < 0)
        die("bind");
    struct timeval wait = { .tv_usec = 500000 };
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    struct tally tally = { 0 };
    uint64_t first = 0, last = 0, begin = now_ns();
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++) {
            batch->vectors[i] = (struct iovec){ .iov_base = batch->bytes[i], .iov_len = MESSAGE_BYTES_MAX };
            batch->headers[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->vectors[i], .msg_iovlen = 1 };
        }
        int count = recvmmsg(descriptor, batch->headers, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0) {
            if (errno == EAGAIN && (first || now_ns() - begin > 10000000000ull))
                break;
            continue;
        }
        last = now_ns();
        if (!first)
            first = last;
        tally.answered += (uint64_t)count;
    }
    tally.seconds = (double)(last - first) / 1e9;
    print_tally(&tally);
    return 0;
}
