#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

enum { MESSAGES_MAX = 4096, MESSAGE_BYTES_MAX = 1024, BATCH = 64, SLOTS_MAX = 8192 };

/* A call as it goes over the wire; its first word, the xid, is written over at each sending. */
struct message {
    uint8_t bytes[MESSAGE_BYTES_MAX];
    size_t count;
};

struct options {
    struct sockaddr_storage to;
    socklen_t to_length;
    struct message *messages;
    size_t message_count;
    unsigned in_flight;
    unsigned connections;
    double seconds;
    uint64_t calls;
    /* UDP: calls a second; 0 sends as soon as fewer than in_flight are under way. */
    unsigned rate;
    /* UDP: after so long without an answer a call is given up. */
    unsigned patience_ms;
    /* Before each message of wakeups and transactions. */
    unsigned pause_us;
    /* Source addresses: the first, and how many; 0 leaves the choice to the kernel. */
    struct sockaddr_storage source;
    uint32_t sources;
    /* Ports that listen: from that of `to` on. Elements of a transaction. */
    unsigned count;
    const char *socket_path;
};

struct tally {
    uint64_t sent, answered, accepted, denied, empty, lost;
    uint32_t *latencies; /* nanoseconds of each answered call, 4.29 s at the most */
    uint64_t longest;
    size_t latency_count, latency_capacity;
    double seconds;
};

uint64_t now_ns(void);
void die(const char *what);
void put_xid(uint8_t *bytes, uint32_t xid);
uint32_t get_word(const uint8_t *bytes);
/* Counts a reply: bytes from the xid on. */
void count_reply(struct tally *tally, const uint8_t *bytes, size_t count, uint64_t latency_ns);
void print_tally(struct tally *tally);
/* The control message that makes a datagram leave from the source of that number; returns its length. */
size_t put_source(const struct options *options, uint32_t number, void *control);
int udp_socket(const struct options *options);
int unix_stream(const char *path);
void read_whole(int descriptor, uint8_t *bytes, size_t count);
_Noreturn void refuse(const char *what, const char *value);

int run_udp(const struct options *options);
int run_tcp(const struct options *options);
int run_flood(const struct options *options);
int run_echo(const struct options *options);
int run_relay(const struct options *options);
int run_sink(const struct options *options);
int run_listen(const struct options *options);
int run_wakeups(const struct options *options);
int run_transactions(const struct options *options);

#endif
