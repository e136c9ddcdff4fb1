#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What the kernel alone takes for grants: a look at who listens at a port, unless that is 0; and a transaction of so many
 * elements, unless that is 0, each as rpcwarden adds it, in a set that has been made like `granted4` in a table `floor`. */

enum { ELEMENTS_MAX = 1024, ELEMENT_BYTES_MAX = 256 };

static const char note[] = "100005 since 2026-11-21T11:40:03Z by policy.yaml:2 \"clients\"";

struct batch {
    uint8_t bytes[(ELEMENTS_MAX + 2) * ELEMENT_BYTES_MAX];
    size_t count;
    uint32_t sequence;
};

static void append(struct batch *batch, const void *bytes, size_t count)
{
    memcpy(batch->bytes + batch->count, bytes, count);
    memset(batch->bytes + batch->count + count, 0, -count & 3);
    batch->count += NLA_ALIGN(count);
}

static void put(struct batch *batch, uint16_t type, const void *value, size_t count)
{
    struct nlattr header = { .nla_len = (uint16_t)(NLA_HDRLEN + count), .nla_type = type };
    append(batch, &header, sizeof header);
    append(batch, value, count);
}

static size_t begin_nested(struct batch *batch, uint16_t type)
{
    put(batch, type | NLA_F_NESTED, NULL, 0);
    return batch->count - NLA_HDRLEN;
}

static void end_nested(struct batch *batch, size_t start)
{
    ((struct nlattr *)(batch->bytes + start))->nla_len = (uint16_t)(batch->count - start);
}

static size_t begin(struct batch *batch, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
    struct nlmsghdr header = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = batch->sequence++ };
    struct nfgenmsg netfilter = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource) };
    size_t start = batch->count;
    append(batch, &header, sizeof header);
    append(batch, &netfilter, sizeof netfilter);
    return start;
}

static void end(struct batch *batch, size_t start)
{
    ((struct nlmsghdr *)(batch->bytes + start))->nlmsg_len = (uint32_t)(batch->count - start);
}

static void put_element(struct batch *batch, uint32_t client)
{
    struct { uint32_t address; uint8_t transport[4]; uint16_t port; uint16_t padding; } key = {
        .address = htonl(client), .transport = { IPPROTO_TCP }, .port = htons(20001),
    };
    const uint8_t day[8] = { 0, 0, 0, 0, 0x05, 0x26, 0x5c, 0x00 }; /* in milliseconds, network byte order */
    uint8_t comment[2 + sizeof note] = { 0, sizeof note };
    memcpy(comment + 2, note, sizeof note);
    put(batch, NFTA_SET_ELEM_LIST_TABLE, "floor", 6);
    put(batch, NFTA_SET_ELEM_LIST_SET, "granted4", 9);
    size_t list = begin_nested(batch, NFTA_SET_ELEM_LIST_ELEMENTS);
    size_t element = begin_nested(batch, NFTA_LIST_ELEM);
    size_t value = begin_nested(batch, NFTA_SET_ELEM_KEY);
    put(batch, NFTA_DATA_VALUE, &key, sizeof key);
    end_nested(batch, value);
    put(batch, NFTA_SET_ELEM_TIMEOUT, day, sizeof day);
    put(batch, NFTA_SET_ELEM_USERDATA, comment, sizeof comment);
    end_nested(batch, element);
    end_nested(batch, list);
}

static void build(struct batch *batch, uint32_t client, unsigned elements)
{
    batch->count = 0;
    end(batch, begin(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    for (unsigned i = 0; i < elements; i++) {
        uint16_t flags = NLM_F_CREATE | NLM_F_EXCL | (i + 1 == elements ? NLM_F_ACK : 0);
        size_t start = begin(batch, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM, flags, NFPROTO_INET, 0);
        put_element(batch, client + i);
        end(batch, start);
    }
    end(batch, begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static int netlink(int bus)
{
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, bus), yes = 1;
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        die("netlink");
    setsockopt(descriptor, SOL_NETLINK, NETLINK_EXT_ACK, &yes, sizeof yes);
    setsockopt(descriptor, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof yes);
    return descriptor;
}

/* The answer to one message, or to the last of a batch. */
static void ask(int descriptor, const void *bytes, size_t count)
{
    uint8_t answer[4096];
    if (send(descriptor, bytes, count, 0) != (ssize_t)count)
        die("netlink");
    ssize_t length = recv(descriptor, answer, sizeof answer, 0);
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
    if (length < (ssize_t)sizeof *header)
        die("netlink");
    const struct nlmsgerr *error = NLMSG_DATA(header);
    if (header->nlmsg_type == NLMSG_ERROR && (errno = -error->error) != 0)
        die("the kernel refused");
}

static void look(int descriptor, uint16_t port)
{
    struct { struct nlmsghdr header; struct inet_diag_req_v2 query; } message = {
        { .nlmsg_len = sizeof message, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
        { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1 << 10 /* TCP_LISTEN */,
          .id = { .idiag_sport = port, .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
    };
    ask(descriptor, &message, sizeof message);
}

int run_transactions(const struct options *options)
{
    static struct batch batch;
    struct timespec pause = { .tv_nsec = 1000l * options->pause_us };
    struct tally tally = { 0 };
    if (options->count > ELEMENTS_MAX) {
        errno = EINVAL;
        die("--count");
    }
    int netfilter = netlink(NETLINK_NETFILTER), diagnosis = netlink(NETLINK_SOCK_DIAG);
    uint16_t port = ((const struct sockaddr_in *)&options->to)->sin_port;
    uint32_t client = ntohl(((const struct sockaddr_in *)&options->source)->sin_addr.s_addr);
    uint64_t started = now_ns();
    for (uint64_t i = 0; i < options->calls; i++, client += options->count) {
        if (options->pause_us)
            nanosleep(&pause, NULL);
        build(&batch, client, options->count);
        uint64_t sent = now_ns();
        tally.sent++;
        if (port)
            look(diagnosis, port);
        if (options->count)
            ask(netfilter, batch.bytes, batch.count);
        count_reply(&tally, batch.bytes, 0, now_ns() - sent);
    }
    tally.seconds = (double)(now_ns() - started) / 1e9;
    print_tally(&tally);
    return 0;
}
