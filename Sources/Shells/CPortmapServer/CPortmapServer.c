#define _GNU_SOURCE
#include "CPortmapServer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Maximum of pending TCP connections; the kernel limits it to net.core.somaxconn. */
enum { BACKLOG = 4096 };

/* Room for a burst of calls while the event loop is busy; the kernel limits it to net.core.rmem_max. */
enum { RECEIVE_BUFFER_BYTES = 4 << 20 };

static socklen_t to_sockaddr(const struct rpcw_address *from, uint32_t interface, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (from->is_ipv6) {
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)to;
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons(from->port);
        memcpy(&ipv6->sin6_addr, from->bytes, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr))
            ipv6->sin6_scope_id = interface;
        return sizeof *ipv6;
    }
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)to;
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(from->port);
    memcpy(&ipv4->sin_addr, from->bytes, 4);
    return sizeof *ipv4;
}

struct rpcw_inbox {
    int descriptor;
    struct rpcw_datagram datagrams[RPCW_INBOX_MESSAGES];
    struct mmsghdr messages[RPCW_INBOX_MESSAGES];
    struct iovec vectors[RPCW_INBOX_MESSAGES];
    struct sockaddr_storage peers[RPCW_INBOX_MESSAGES];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
    } controls[RPCW_INBOX_MESSAGES];
    char bytes[RPCW_INBOX_MESSAGES][RPCW_DATAGRAM_BYTES];
};

struct rpcw_inbox *rpcw_inbox_create(int descriptor)
{
    struct rpcw_inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox)
        abort();
    inbox->descriptor = descriptor;
    for (unsigned i = 0; i < RPCW_INBOX_MESSAGES; i++)
        inbox->vectors[i] = (struct iovec){ .iov_base = inbox->bytes[i], .iov_len = RPCW_DATAGRAM_BYTES };
    return inbox;
}

void rpcw_inbox_destroy(struct rpcw_inbox *inbox)
{
    free(inbox);
}

const struct rpcw_datagram *rpcw_inbox_datagrams(const struct rpcw_inbox *inbox)
{
    return inbox->datagrams;
}

static bool from_sockaddr(const struct sockaddr_storage *from, struct rpcw_address *to)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)from;
        to->is_ipv6 = false;
        to->port = ntohs(ipv4->sin_port);
        memcpy(to->bytes, &ipv4->sin_addr, 4);
        return true;
    }
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)from;
        to->is_ipv6 = true;
        to->port = ntohs(ipv6->sin6_port);
        memcpy(to->bytes, &ipv6->sin6_addr, 16);
        return true;
    }
    return false;
}

static bool take_destination(struct msghdr *message, struct rpcw_datagram *datagram)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        datagram->asked.port = 0;
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            const struct in_pktinfo *info = (const struct in_pktinfo *)CMSG_DATA(header);
            datagram->asked.is_ipv6 = false;
            memcpy(datagram->asked.bytes, &info->ipi_addr, 4);
            datagram->interface = (uint32_t)info->ipi_ifindex;
            return true;
        }
        if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(header);
            datagram->asked.is_ipv6 = true;
            memcpy(datagram->asked.bytes, &info->ipi6_addr, 16);
            datagram->interface = info->ipi6_ifindex;
            return true;
        }
    }
    return false;
}

size_t rpcw_inbox_receive(struct rpcw_inbox *inbox)
{
    for (unsigned i = 0; i < RPCW_INBOX_MESSAGES; i++)
        inbox->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &inbox->peers[i],
            .msg_namelen = sizeof inbox->peers[i],
            .msg_iov = &inbox->vectors[i],
            .msg_iovlen = 1,
            .msg_control = &inbox->controls[i],
            .msg_controllen = sizeof inbox->controls[i],
        };
    /* A pending socket error concerns an earlier send, to a peer that no longer exists. */
    int count = recvmmsg(inbox->descriptor, inbox->messages, RPCW_INBOX_MESSAGES, MSG_DONTWAIT, NULL);
    size_t taken = 0;
    for (int i = 0; i < count; i++) {
        struct rpcw_datagram *datagram = &inbox->datagrams[taken];
        datagram->bytes = inbox->bytes[i];
        datagram->count = inbox->messages[i].msg_len;
        if (from_sockaddr(&inbox->peers[i], &datagram->peer) &&
            take_destination(&inbox->messages[i].msg_hdr, datagram))
            taken++;
    }
    return taken;
}

/* Most replies have 28 bytes; no reply except a list has more than 300. */
enum { OUTBOX_MESSAGES = 64, OUTBOX_BYTES = 512 };

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct rpcw_outbox {
    int descriptor;
    unsigned count;
    struct mmsghdr messages[OUTBOX_MESSAGES];
    struct iovec vectors[OUTBOX_MESSAGES];
    struct sockaddr_storage peers[OUTBOX_MESSAGES];
    union control controls[OUTBOX_MESSAGES];
    char bytes[OUTBOX_MESSAGES][OUTBOX_BYTES];
};

static size_t put_source(union control *control, const struct rpcw_address *source, uint32_t interface)
{
    memset(control, 0, sizeof *control);
    if (source->is_ipv6) {
        struct in6_pktinfo info = { .ipi6_ifindex = 0 };
        memcpy(&info.ipi6_addr, source->bytes, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
            info.ipi6_ifindex = interface;
        control->header.cmsg_level = IPPROTO_IPV6;
        control->header.cmsg_type = IPV6_PKTINFO;
        control->header.cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(&control->header), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    struct in_pktinfo info = { .ipi_ifindex = 0 };
    memcpy(&info.ipi_spec_dst, source->bytes, 4);
    control->header.cmsg_level = IPPROTO_IP;
    control->header.cmsg_type = IP_PKTINFO;
    control->header.cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(&control->header), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
}

struct rpcw_outbox *rpcw_outbox_create(int descriptor)
{
    struct rpcw_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        abort();
    outbox->descriptor = descriptor;
    return outbox;
}

void rpcw_outbox_destroy(struct rpcw_outbox *outbox)
{
    free(outbox);
}

void rpcw_outbox_flush(struct rpcw_outbox *outbox)
{
    unsigned done = 0;
    while (done < outbox->count) {
        int sent = sendmmsg(outbox->descriptor, outbox->messages + done, outbox->count - done,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        /* The error is that of the first remaining message. */
        done += sent > 0 ? (unsigned)sent : 1;
    }
    outbox->count = 0;
}

void rpcw_outbox_put(struct rpcw_outbox *outbox, const void *bytes, size_t count, const struct rpcw_address *peer,
                     const struct rpcw_address *source, uint32_t interface)
{
    if (outbox->count == OUTBOX_MESSAGES)
        rpcw_outbox_flush(outbox);
    unsigned number = outbox->count++;
    bool fits = count <= OUTBOX_BYTES;
    if (fits)
        memcpy(outbox->bytes[number], bytes, count);
    outbox->vectors[number] = (struct iovec){
        .iov_base = fits ? outbox->bytes[number] : (void *)bytes,
        .iov_len = count,
    };
    outbox->messages[number].msg_hdr = (struct msghdr){
        .msg_name = &outbox->peers[number],
        .msg_namelen = to_sockaddr(peer, interface, &outbox->peers[number]),
        .msg_iov = &outbox->vectors[number],
        .msg_iovlen = 1,
        .msg_control = &outbox->controls[number],
        .msg_controllen = put_source(&outbox->controls[number], source, interface),
    };
    if (!fits)
        rpcw_outbox_flush(outbox);
}

static int set_option(int descriptor, int level, int name, int value)
{
    return setsockopt(descriptor, level, name, &value, sizeof value) < 0 ? errno : 0;
}

/* A reply leaves from the address that received the call. */
static int receive_packet_info(int descriptor, bool is_ipv6)
{
    return is_ipv6 ? set_option(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                   : set_option(descriptor, IPPROTO_IP, IP_PKTINFO, 1);
}

int rpcw_listen(int descriptor)
{
    return listen(descriptor, BACKLOG) < 0 ? errno : 0;
}

static int configure(int descriptor, const struct rpcw_address *at, bool is_stream)
{
    struct sockaddr_storage storage;
    socklen_t length = to_sockaddr(at, 0, &storage);
    int error = 0;
    if (at->is_ipv6)
        error = set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (!error && is_stream)
        error = set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && !is_stream) {
        (void)set_option(descriptor, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
        error = receive_packet_info(descriptor, at->is_ipv6);
    }
    if (!error && bind(descriptor, (struct sockaddr *)&storage, length) < 0)
        error = errno;
    if (!error && is_stream)
        error = rpcw_listen(descriptor);
    return error;
}

int rpcw_bound_socket(const struct rpcw_address *at, bool is_stream)
{
    int type = (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int descriptor = socket(at->is_ipv6 ? AF_INET6 : AF_INET, type, 0);
    if (descriptor < 0)
        return -errno;
    int error = configure(descriptor, at, is_stream);
    if (error) {
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int rpcw_make_transparent(int descriptor, bool is_ipv6)
{
    int level = is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int name = is_ipv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT;
    int is_transparent = 0;
    socklen_t length = sizeof is_transparent;
    if (getsockopt(descriptor, level, name, &is_transparent, &length) == 0 && is_transparent)
        return 0;
    return set_option(descriptor, level, name, 1);
}

int rpcw_describe_socket(int descriptor, bool *is_stream, struct rpcw_address *at)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int type = 0;
    socklen_t type_length = sizeof type;
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_length) < 0)
        return errno;
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0)
        return errno;
    *is_stream = type == SOCK_STREAM;
    memset(at, 0, sizeof *at);
    return from_sockaddr(&storage, at) ? 0 : EAFNOSUPPORT;
}

int rpcw_adopt_socket(int descriptor)
{
    bool is_stream = false;
    struct rpcw_address at;
    int error = rpcw_describe_socket(descriptor, &is_stream, &at);
    if (error)
        return error;
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0)
        return errno;
    return is_stream ? 0 : receive_packet_info(descriptor, at.is_ipv6);
}

bool rpcw_is_broadcast(uint32_t ipv4)
{
    /* Without SO_BROADCAST, connect(2) refuses a broadcast route with EACCES, and sends nothing. */
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = ipv4 };
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return false;
    bool is_broadcast = connect(descriptor, (struct sockaddr *)&to, sizeof to) < 0 && errno == EACCES;
    /* A route of the type "prohibit" gives EACCES too, with SO_BROADCAST as well. */
    if (is_broadcast)
        is_broadcast = set_option(descriptor, SOL_SOCKET, SO_BROADCAST, 1) == 0 &&
            connect(descriptor, (struct sockaddr *)&to, sizeof to) == 0;
    close(descriptor);
    return is_broadcast;
}
