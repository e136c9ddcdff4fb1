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

enum { LOOPBACK_INTERFACE = 1 };  /* the first of each network namespace */
enum { PATIENCE_SECONDS = 1 };
enum { DUMP_BYTES = 32 << 10 };  /* what the kernel fills at once */

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
        /* What is left of a question whose answer came too late. */
        if (header->nlmsg_seq != sequence)
            continue;
        if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
            return false;
        return ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type == RTN_LOCAL;
    }
}

int rpcw_addresses_watch(void)
{
    return netlink_socket(SOCK_NONBLOCK, RTMGRP_IPV6_IFADDR);
}

bool rpcw_addresses_changed(int watch)
{
    bool have_changed = false;
    char bytes[4096];
    for (;;) {
        if (recv(watch, bytes, sizeof bytes, 0) >= 0)
            have_changed = true;
        else if (errno == ENOBUFS)
            have_changed = true;  /* more than the socket held */
        else if (errno != EINTR)
            return have_changed;
    }
}

static void take_address(const struct nlmsghdr *header, struct rpcw_own_address *addresses, size_t most, size_t *count)
{
    const struct ifaddrmsg *message = NLMSG_DATA(header);
    if (header->nlmsg_type != RTM_NEWADDR || message->ifa_family != AF_INET6 ||
        message->ifa_index == LOOPBACK_INTERFACE || *count == most)
        return;
    size_t left = IFA_PAYLOAD(header);
    const void *own = NULL;
    for (const struct rtattr *attribute = IFA_RTA(message); RTA_OK(attribute, left);
         attribute = RTA_NEXT(attribute, left)) {
        if (RTA_PAYLOAD(attribute) != 16)
            continue;
        /* IFA_ADDRESS is the peer's where there is an IFA_LOCAL. */
        if (attribute->rta_type == IFA_LOCAL || (attribute->rta_type == IFA_ADDRESS && !own))
            own = RTA_DATA(attribute);
    }
    if (!own)
        return;
    struct rpcw_own_address *address = &addresses[(*count)++];
    memcpy(address->bytes, own, 16);
    bool is_link_local = address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
    address->interface = is_link_local ? message->ifa_index : 0;
}

int rpcw_own_addresses(struct rpcw_own_address *addresses, size_t most)
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
        .message = { .ifa_family = AF_INET6 },
    };
    size_t count = 0;
    int error = send(descriptor, &question, sizeof question, 0) < 0 ? errno : 0;
    bool is_done = error != 0;
    while (!is_done) {
        _Alignas(struct nlmsghdr) static char bytes[DUMP_BYTES];
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

/* Classic BPF (linux/filter.h). An address takes at the most eleven instructions. */
enum { INSTRUCTIONS_PER_ADDRESS = 11, OTHER_INSTRUCTIONS = 8 };
enum { SOURCE_ADDRESS_OFFSET = 8 };  /* in an IPv6 header (RFC 8200, 3) */

struct program {
    struct sock_filter instructions[RPCW_OWN_ADDRESSES * INSTRUCTIONS_PER_ADDRESS + OTHER_INSTRUCTIONS];
    uint16_t count;
};

static void add(struct program *program, struct sock_filter instruction)
{
    program->instructions[program->count++] = instruction;
}

static void drop_unless_other(struct program *program, const struct rpcw_own_address *address)
{
    uint8_t left = address->interface ? 10 : 8;  /* instructions up to the end of this address */
    for (unsigned word = 0; word < 4; word++) {
        const uint8_t *bytes = address->bytes + 4 * word;
        uint32_t value = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
        add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                  (uint32_t)SKF_NET_OFF + SOURCE_ADDRESS_OFFSET + 4 * word));
        left -= 2;
        add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)(left + 1)));
    }
    if (address->interface) {
        add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_MEM, 0));
        add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, address->interface, 0, 1));
    }
    add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0));
}

int rpcw_filter_datagrams(int descriptor, const struct rpcw_own_address *addresses, size_t count, uint32_t thinning)
{
    const uint32_t whole = UINT32_MAX;
    if (!count && !thinning) {
        int none = 0;
        return setsockopt(descriptor, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) < 0 && errno != ENOENT ? errno
                                                                                                               : 0;
    }
    if (count > RPCW_OWN_ADDRESSES)
        return E2BIG;
    struct program program = { .count = 0 };
    add(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX)));
    add(&program, (struct sock_filter)BPF_STMT(BPF_ST, 0));
    add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOOPBACK_INTERFACE, 0, 4));
    add(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)));
    add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (1u << thinning) - 1, 1, 0));
    add(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, whole));
    add(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0));
    for (size_t i = 0; i < count; i++)
        drop_unless_other(&program, &addresses[i]);
    add(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, whole));
    struct sock_fprog filter = { .len = program.count, .filter = program.instructions };
    return setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ? errno : 0;
}

bool rpcw_is_readable(int descriptor)
{
    struct pollfd polled = { .fd = descriptor, .events = POLLIN };
    return poll(&polled, 1, 0) > 0;
}
