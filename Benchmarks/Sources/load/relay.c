#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* RFC 1833: a mapping is program, version, protocol and port; a reply of GETPORT has one word behind its header. */
enum { MAPPING_BYTES = 16, CALL_BYTES = 56, REPLY_BYTES = 28, MARK_BYTES = 4 };

struct relay {
    int descriptor, rpcbind;
    unsigned count, questions;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_storage peers[BATCH];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } controls[BATCH];
    uint8_t bytes[BATCH][MESSAGE_BYTES_MAX];
    /* Which question each call waits for. */
    unsigned asked[BATCH];
    uint8_t calls[BATCH][MARK_BYTES + CALL_BYTES];
    uint8_t replies[BATCH][MARK_BYTES + REPLY_BYTES];
};

static void take_calls(struct relay *relay)
{
    for (unsigned i = 0; i < BATCH; i++) {
        relay->vectors[i] = (struct iovec){ .iov_base = relay->bytes[i], .iov_len = MESSAGE_BYTES_MAX };
        relay->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &relay->peers[i], .msg_namelen = sizeof relay->peers[i],
            .msg_iov = &relay->vectors[i], .msg_iovlen = 1,
            .msg_control = &relay->controls[i], .msg_controllen = sizeof relay->controls[i],
        };
    }
    int count = recvmmsg(relay->descriptor, relay->messages, BATCH, MSG_WAITFORONE, NULL);
    relay->count = count > 0 ? (unsigned)count : 0;
}

/* Equal calls share a question; the questions leave by one write. */
static void ask(struct relay *relay)
{
    relay->questions = 0;
    for (unsigned i = 0; i < relay->count; i++) {
        unsigned question = 0;
        const uint8_t *mapping = relay->bytes[i] + CALL_BYTES - MAPPING_BYTES;
        if (relay->messages[i].msg_len != CALL_BYTES)
            refuse("not a GETPORT without credentials", "");
        while (question < relay->questions &&
               memcmp(relay->calls[question] + MARK_BYTES + CALL_BYTES - MAPPING_BYTES, mapping, MAPPING_BYTES))
            question++;
        if (question == relay->questions) {
            uint8_t *call = relay->calls[relay->questions++];
            put_xid(call, 0x80000000u | CALL_BYTES);
            memcpy(call + MARK_BYTES, relay->bytes[i], CALL_BYTES);
            put_xid(call + MARK_BYTES, question);
        }
        relay->asked[i] = question;
    }
    if (write(relay->rpcbind, relay->calls, relay->questions * sizeof relay->calls[0]) < 0)
        die("rpcbind's socket");
    read_whole(relay->rpcbind, relay->replies[0], relay->questions * sizeof relay->replies[0]);
}

/* From the address that was asked, as whoever has several must. */
static void answer(struct relay *relay)
{
    for (unsigned i = 0; i < relay->count; i++) {
        memcpy(relay->bytes[i] + 4, relay->replies[relay->asked[i]] + MARK_BYTES + 4, REPLY_BYTES - 4);
        relay->vectors[i].iov_len = REPLY_BYTES;
        struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(&relay->controls[i].header);
        info->ipi_spec_dst = info->ipi_addr;
        info->ipi_ifindex = 0;
    }
    for (unsigned sent = 0; sent < relay->count;) {
        int more = sendmmsg(relay->descriptor, relay->messages + sent, relay->count - sent, 0);
        sent += more > 0 ? (unsigned)more : 1;
    }
}

/* What the system calls of a proxy cost that judges nothing: GETPORT over UDP and IPv4, answered by rpcbind. */
int run_relay(const struct options *options)
{
    struct relay *relay = calloc(1, sizeof *relay);
    int one = 1;
    if (!relay)
        die("memory");
    relay->rpcbind = unix_stream(options->socket_path);
    relay->descriptor = udp_socket(options);
    if (setsockopt(relay->descriptor, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) < 0)
        die("IP_PKTINFO");
    if (bind(relay->descriptor, (const struct sockaddr *)&options->to, options->to_length) < 0)
        die("bind");
    for (;;) {
        take_calls(relay);
        if (!relay->count)
            continue;
        ask(relay);
        answer(relay);
    }
}
