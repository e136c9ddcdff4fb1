#define _GNU_SOURCE
#include "CSandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* SOCK_SEQPACKET: message boundaries are kept, the end of the peer is reported, and sendto(2) and connect(2) reach
 * no other socket. */
int csb_packet_sockets(int ends[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
}

/* Room for one descriptor. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int csb_send_packet(int end, const void *bytes, size_t count, int descriptor, int may_wait) {
    struct iovec part = {(void *)bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    int flags = MSG_NOSIGNAL | (may_wait ? 0 : MSG_DONTWAIT);
    while (sendmsg(end, &message, flags) < 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}

ssize_t csb_receive_packet(int end, void *bytes, size_t room, int *descriptor) {
    struct iovec part = {bytes, room};
    union control control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
        /* CMSG_LEN excludes the padding, which has room for a second descriptor; the kernel closes descriptors
         * without room. */
        .msg_controllen = CMSG_LEN(sizeof *descriptor),
    };
    ssize_t count;
    /* With MSG_TRUNC the result is the message's length, even if it exceeds the buffer. ECONNRESET is reported
     * once: the peer closed its end with unread messages; the messages that it sent before can still be received.
     * */
    while ((count = recvmsg(end, &message, MSG_CMSG_CLOEXEC | MSG_TRUNC)) < 0) {
        if (errno != EINTR && errno != ECONNRESET) return -errno;
    }
    *descriptor = -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
        && header->cmsg_len == CMSG_LEN(sizeof *descriptor)) {
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    }
    return count;
}
