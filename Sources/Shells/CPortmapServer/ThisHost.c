#define _GNU_SOURCE
#include "CPortmapServer.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 1 };
enum { DUMP_BYTES = 32 << 10 };  /* the kernel's limit for one part of a dump */

static int netlink_socket(int flags, uint32_t groups)
{
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);
    if (descriptor < 0)
        return -errno;
    struct sockaddr_nl self = { .nl_family = AF_NETLINK, .nl_groups = groups };
    struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bind(descriptor, (struct sockaddr *)&self, sizeof self) < 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int rpcw_routes_open(void)
{
    return netlink_socket(0, 0);
}

struct route_question {
    struct nlmsghdr header;
    struct rtmsg route;
    char attributes[64];
};

static void put(struct route_question *question, uint16_t type, const void *bytes, size_t count)
{
    struct rtattr *attribute = (struct rtattr *)((char *)question + NLMSG_ALIGN(question->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(count);
    memcpy(RTA_DATA(attribute), bytes, count);
    question->header.nlmsg_len = NLMSG_ALIGN(question->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

bool rpcw_is_own(int routes, const struct rpcw_address *address, uint32_t interface)
{
    static uint32_t sequence;
    size_t length = address->is_ipv6 ? 16 : 4;
    struct route_question question = {
        .header = {
            .nlmsg_len = NLMSG_LENGTH(sizeof question.route),
            .nlmsg_type = RTM_GETROUTE,
            .nlmsg_flags = NLM_F_REQUEST,
            .nlmsg_seq = ++sequence,
        },
        .route = { .rtm_family = address->is_ipv6 ? AF_INET6 : AF_INET, .rtm_dst_len = (unsigned char)(length * 8) },
    };
    put(&question, RTA_DST, address->bytes, length);
    if (interface)
        put(&question, RTA_OIF, &interface, sizeof interface);
    if (send(routes, &question, question.header.nlmsg_len, 0) < 0)
        return false;
    for (;;) {
        _Alignas(struct nlmsghdr) char bytes[4096];
        ssize_t count = recv(routes, bytes, sizeof bytes, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < (ssize_t)sizeof(struct nlmsghdr))
            return false;
        const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
        /* The late answer to an earlier request. */
        if (header->nlmsg_seq != sequence)
            continue;
        if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
            return false;
        return ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type == RTN_LOCAL;
    }
}

int rpcw_addresses_watch(void)
{
    return netlink_socket(SOCK_NONBLOCK, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
}

bool rpcw_addresses_changed(int watch)
{
    bool have_changed = false;
    char bytes[4096];
    for (;;) {
        if (recv(watch, bytes, sizeof bytes, 0) >= 0)
            have_changed = true;
        else if (errno == ENOBUFS)
            have_changed = true;  /* the socket's buffer overflowed */
        else if (errno != EINTR)
            return have_changed;
    }
}

static void take_address(const struct nlmsghdr *header, struct rpcw_own_address *addresses, size_t most, size_t *count)
{
    const struct ifaddrmsg *message = NLMSG_DATA(header);
    if (header->nlmsg_type != RTM_NEWADDR || *count == most)
        return;
    size_t length = message->ifa_family == AF_INET6 ? 16 : 4;
    size_t left = IFA_PAYLOAD(header);
    const void *own = NULL;
    for (const struct rtattr *attribute = IFA_RTA(message); RTA_OK(attribute, left);
         attribute = RTA_NEXT(attribute, left)) {
        if (RTA_PAYLOAD(attribute) != length)
            continue;
        /* If there is an IFA_LOCAL, IFA_ADDRESS is the peer's address. */
        if (attribute->rta_type == IFA_LOCAL || (attribute->rta_type == IFA_ADDRESS && !own))
            own = RTA_DATA(attribute);
    }
    if (!own)
        return;
    struct rpcw_own_address *address = &addresses[(*count)++];
    memset(address, 0, sizeof *address);
    address->address.is_ipv6 = length == 16;
    memcpy(address->address.bytes, own, length);
    const uint8_t *bytes = address->address.bytes;
    if (length == 16 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
        address->interface = message->ifa_index;
}

int rpcw_own_addresses(bool is_ipv6, struct rpcw_own_address *addresses, size_t most)
{
    int descriptor = netlink_socket(0, 0);
    if (descriptor < 0)
        return descriptor;
    struct {
        struct nlmsghdr header;
        struct ifaddrmsg message;
    } question = {
        .header = {
            .nlmsg_len = sizeof question,
            .nlmsg_type = RTM_GETADDR,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
        },
        .message = { .ifa_family = is_ipv6 ? AF_INET6 : AF_INET },
    };
    size_t count = 0;
    int error = send(descriptor, &question, sizeof question, 0) < 0 ? errno : 0;
    bool is_done = error != 0;
    while (!is_done) {
        _Alignas(struct nlmsghdr) char bytes[DUMP_BYTES];
        ssize_t received = recv(descriptor, bytes, sizeof bytes, 0);
        if (received < 0) {
            if (errno == EINTR)
                continue;
            error = errno;
            break;
        }
        size_t left = (size_t)received;
        for (const struct nlmsghdr *header = (const struct nlmsghdr *)bytes; NLMSG_OK(header, left);
             header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE)
                is_done = true;
            else if (header->nlmsg_type == NLMSG_ERROR)
                error = EIO, is_done = true;
            else
                take_address(header, addresses, most, &count);
        }
    }
    close(descriptor);
    return error ? -error : (int)count;
}

/* Classic BPF (linux/filter.h): the maximum of instructions for one address, and the number of all other
   instructions. */
enum { INSTRUCTIONS_PER_IPV6 = 11, INSTRUCTIONS_PER_IPV4 = 2, OTHER_INSTRUCTIONS = 16 };
/* Offsets in the IP header (RFC 791, 3.1; RFC 8200, 3). */
enum { SOURCE_OFFSET_IPV4 = 12, SOURCE_OFFSET_IPV6 = 8 };
enum { LOOPBACK_INTERFACE = 1 };  /* the loopback interface is the first of each network namespace */
/* Words of the program's memory: four for the IPv6 source address, and one for the interface. The kernel
   translates a load from the header into eight of its instructions, and a load from this memory into one. The
   kernel holds the old and the new program at the same time, within net.core.optmem_max, which was 20,480 bytes
   before Linux 6.8. */
enum { SOURCE_WORDS = 4, SOURCE_MEMORY = 0, INTERFACE_MEMORY = 4 };

struct program {
    struct sock_filter instructions[RPCW_OWN_ADDRESSES_IPV6 * INSTRUCTIONS_PER_IPV6 + OTHER_INSTRUCTIONS];
    uint16_t count;
};
_Static_assert(RPCW_OWN_ADDRESSES_IPV4 * INSTRUCTIONS_PER_IPV4 <= RPCW_OWN_ADDRESSES_IPV6 * INSTRUCTIONS_PER_IPV6,
               "the IPv4 program has room");

static void add(struct program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
    program->instructions[program->count++] =
        (struct sock_filter){ .code = code, .jt = if_true, .jf = if_false, .k = value };
}

static uint32_t word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void load_ip_word(struct program *program, uint32_t offset)
{
    add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + offset, 0, 0);
}

static void load_memory(struct program *program, uint32_t number)
{
    add(program, BPF_LD | BPF_MEM, number, 0, 0);
}

static void drop(struct program *program)
{
    add(program, BPF_RET | BPF_K, 0, 0, 0);
}

static void keep_ipv6_source(struct program *program)
{
    for (uint32_t number = 0; number < SOURCE_WORDS; number++) {
        load_ip_word(program, SOURCE_OFFSET_IPV6 + 4 * number);
        add(program, BPF_ST, SOURCE_MEMORY + number, 0, 0);
    }
}

static void drop_ipv6(struct program *program, const struct rpcw_own_address *own)
{
    /* The remaining instructions of this address; the next address begins behind them. */
    uint8_t left = own->interface ? 11 : 9;
    for (uint32_t number = 0; number < SOURCE_WORDS; number++) {
        load_memory(program, SOURCE_MEMORY + number);
        left -= 2;
        add(program, BPF_JMP | BPF_JEQ | BPF_K, word(own->address.bytes + 4 * number), 0, left);
    }
    if (own->interface) {
        load_memory(program, INTERFACE_MEMORY);
        add(program, BPF_JMP | BPF_JEQ | BPF_K, own->interface, 0, 1);
    }
    drop(program);
}

static void drop_own(struct program *program, bool is_ipv6, const struct rpcw_own_address *addresses, size_t count)
{
    if (is_ipv6) {
        keep_ipv6_source(program);
        for (size_t i = 0; i < count; i++)
            drop_ipv6(program, &addresses[i]);
        return;
    }
    load_ip_word(program, SOURCE_OFFSET_IPV4);
    for (size_t i = 0; i < count; i++) {
        add(program, BPF_JMP | BPF_JEQ | BPF_K, word(addresses[i].address.bytes), 0, 1);
        drop(program);
    }
    add(program, BPF_ALU | BPF_AND | BPF_K, 0xff000000, 0, 0);
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 0x7f000000, 0, 1);
    drop(program);
}

int rpcw_filter_datagrams(int descriptor, bool is_ipv6, const struct rpcw_own_address *addresses, size_t count,
                          uint32_t thinning)
{
    const uint32_t whole = UINT32_MAX;
    if (count > (is_ipv6 ? RPCW_OWN_ADDRESSES_IPV6 : RPCW_OWN_ADDRESSES_IPV4))
        return E2BIG;
    struct program program = { .count = 0 };
    add(&program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX), 0, 0);
    add(&program, BPF_ST, INTERFACE_MEMORY, 0, 0);
    add(&program, BPF_JMP | BPF_JEQ | BPF_K, LOOPBACK_INTERFACE, 0, 4);
    add(&program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM), 0, 0);
    add(&program, BPF_JMP | BPF_JSET | BPF_K, (1u << thinning) - 1, 1, 0);
    add(&program, BPF_RET | BPF_K, whole, 0, 0);
    drop(&program);
    drop_own(&program, is_ipv6, addresses, count);
    add(&program, BPF_RET | BPF_K, whole, 0, 0);
    struct sock_fprog filter = { .len = program.count, .filter = program.instructions };
    return setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ? errno : 0;
}

bool rpcw_is_readable(int descriptor)
{
    struct pollfd polled = { .fd = descriptor, .events = POLLIN };
    return poll(&polled, 1, 0) > 0;
}
